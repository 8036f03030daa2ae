"""The options that all query commands share, and opening the registry that they ask."""

# pyright: reportUnknownMemberType=false
# (typer's Option and Argument mention a generic click type without its argument)

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import click
import typer

from ._paths import DATA_DIR_VARIABLE, REGISTRY_VARIABLE, default_registry_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..store import Registry, Routing, RoutingTable

TOKEN_VARIABLE = "POLYRANK_REGISTRY_TOKEN"


def _inherit(context: typer.Context, value: str | None) -> str | None:
    # `polyrank registry --registry URL versions demo` and `… versions demo --registry URL` both
    # work: an inner command takes what was given to the group.
    parent = context.parent
    return value or (parent.params.get("url") if parent is not None else None)


UrlOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        callback=_inherit,
        show_default=False,
        help=f"grpc://HOST:PORT or sqlite:///PATH. Default: ${REGISTRY_VARIABLE}, then the "
        "running daemon of the default data directory.",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        show_default=False,
        help=f"The daemon's data directory. Default: ${DATA_DIR_VARIABLE}, "
        "then ~/.local/share/polyrank.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

AdapterName = Annotated[str, typer.Argument(metavar="ADAPTER", help="Name of an adapter line.")]
Ref = Annotated[
    str, typer.Argument(metavar="REF", help="NAME, NAME@NUMBER, NAME@ALIAS or NAME@latest.")
]


def open_registry(url: str | None, *, blobs: Path | None = None) -> Registry:
    """Connect to the registry at `url`, or where it is by default; `blobs` is its blob folder.

    A token for a server that wants one is taken from `$POLYRANK_REGISTRY_TOKEN`: on a command
    line every user of the machine could read it. Raises a StoreError that says what to do; a
    missing SQLite file is an error here, since a query should not make an empty database.
    """
    # Loading it takes longer than printing a help text, which must not wait for it.
    from ..store import connect

    where = url or default_registry_url()
    _refuse_missing_file(where)
    token = os.environ.get(TOKEN_VARIABLE) if where.startswith("grpc") else None
    return connect(where, blobs=blobs, token=token or None, router=_route)


def _route(table: RoutingTable, summary: Mapping[str, Any], own: str | None) -> Routing:
    from ._router import router  # with torch, which no other query needs

    return router(table, summary, own)


def _refuse_missing_file(url: str) -> None:
    parts = urlsplit(url)
    if not parts.scheme.startswith("sqlite"):
        return
    path = Path(parts.path.removeprefix("/"))
    if not path.is_file():
        raise click.ClickException(
            f"{url}: no database there (file {path}); "
            "check the path: sqlite:///relative.db or sqlite:////absolute.db"
        )
