"""`polyrank report`: families of adapters as one HTML page."""

# pyright: reportUnknownMemberType=false
# (typer's Option and Argument mention a generic click type without its argument)

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
import typer

from ._cli_connect import JsonOption, UrlOption, open_registry
from ._cli_output import print_json, print_line, size

FamilyOption = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="NAME",
        show_default=False,
        help="The adapter it began as. Default: all families.",
    ),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The page; it is written over.")
]


def report(
    url: UrlOption = None,
    family: FamilyOption = None,
    output: OutputOption = Path("report.html"),
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page on families of adapters: losses, drift, decisions, members, nodes.

    The page is complete in itself: it loads nothing, runs nothing, and can be sent to anyone.
    """
    from ._report import report as write

    with open_registry(url) as source:
        made = write(source, family)
    path = output.absolute()
    try:
        path.write_text(made.html, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be written ({error.strerror}); give another --output"
        ) from error
    size_bytes = len(made.html.encode())
    if as_json:
        print_json(report={"path": path, "size_bytes": size_bytes, "families": made.families})
        return
    print_line(path, size(size_bytes))
    for one in made.families:
        print_line(one.family, one.state)
