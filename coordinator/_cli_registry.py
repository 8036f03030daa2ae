"""`polyrank registry …`: find, compare, promote, roll back and explain adapter versions.

Each command asks the registry and prints; with --json one document whose key says what it holds
(`{"versions": [...], "next_page_token": null}`), in the fields of the store's records.
"""

# pyright: reportUnknownMemberType=false
# (typer's Option and Argument mention a generic click type without its argument)

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ._cli_connect import AdapterName, JsonOption, Ref, UrlOption, open_registry
from ._cli_output import metrics as metrics_cell
from ._cli_output import print_facts, print_json, print_table, short, size
from ._cli_registry_changes import add_changes
from ._cli_registry_families import add_families
from ._cli_registry_records import add_records
from ._cli_registry_routes import add_routes

if TYPE_CHECKING:
    from ..store import Page, Version

app = typer.Typer(
    help="Query adapter versions; promote, roll back, export.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")]
PageToken = Annotated[str | None, typer.Option("--page-token", help="Go on after an earlier page.")]


@app.callback()
def registry(url: UrlOption = None) -> None:
    """Query adapter versions; promote, roll back, export."""


@app.command()
def adapters(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the adapter lines."""
    with open_registry(url) as source:
        found = source.adapters()
    if as_json:
        print_json(adapters=found)
        return
    print_table(
        ["adapter", "base model", "latest", "retired", "created"],
        ([a.name, a.base_model, a.head, a.retired, a.created_at] for a in found),
        empty="no adapters yet",
    )


@app.command()
def versions(
    adapter: AdapterName,
    limit: Limit = 50,
    page_token: PageToken = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List an adapter's versions, newest first."""
    with open_registry(url) as source:
        page = source.versions(adapter, limit=limit, page_token=page_token)
    _print_page(page, as_json=as_json, empty=f"adapter {adapter} has no versions yet")


@app.command()
def search(
    filter: Annotated[
        str, typer.Argument(metavar="FILTER", help="""Such as 'adapter = "a" and rank >= 8'.""")
    ] = "",
    order_by: Annotated[str, typer.Option(help="created or -created.")] = "-created",
    limit: Limit = 50,
    page_token: PageToken = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions of all adapters that meet a filter."""
    with open_registry(url) as source:
        page = source.search(filter, order_by=order_by, limit=limit, page_token=page_token)
    _print_page(page, as_json=as_json, empty="no version meets this filter")


@app.command()
def show(ref: Ref, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show one version: digest, modules, parents, metrics."""
    with open_registry(url) as source:
        found = source.version(ref)
    if as_json:
        print_json(version=found)
        return
    parents = " ".join(f"{p.adapter}@{p.number} ({p.role})" for p in found.parents)
    facts = {
        "version": found.ref,
        "digest": found.digest,
        "size": size(found.size_bytes),
        "base model": found.base_model,
        "origin": found.origin,
        "round": found.round,
        "parents": parents,
        "metrics": metrics_cell(found.metrics),
        "tags": " ".join(f"{key}={value}" for key, value in found.tags.items()),
        "retired": found.retired,
        "created": found.created_at,
    }
    print_facts(facts)
    rows = [[m.name, m.rank, "x".join(map(str, m.shape)), m.dtype] for m in found.modules]
    rows += [[d.name, "dense", "x".join(map(str, d.shape)), d.dtype] for d in found.dense]
    print_table(["module", "rank", "shape", "dtype"], rows, empty="no modules")


@app.command()
def lineage(
    ref: Ref,
    depth: Annotated[int | None, typer.Option(min=0, help="How far back; all by default.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a version and its ancestors."""
    with open_registry(url) as source:
        found = source.lineage(ref, depth=depth)
    if as_json:
        print_json(lineage=found)
        return
    print_table(
        ["depth", "version", "digest", "rank", "origin", "parents", "created"],
        (
            [a.depth, v.ref, short(v.digest), v.rank, v.origin,
             " ".join(f"{p.adapter}@{p.number}" for p in v.parents), v.created_at]
            for a in found
            for v in (a.version,)
        ),
    )  # fmt: skip


@app.command()
def similar(
    ref: Ref,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 10,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions on the same base model that are most alike."""
    with open_registry(url) as source:
        found = source.similar(ref, limit=limit)
    if as_json:
        print_json(similar=found)
        return
    print_table(
        ["version", "cosine", "rank", "digest"],
        ([n.version.ref, n.cosine, n.version.rank, short(n.version.digest)] for n in found),
        empty="nothing to compare with: no other version here has a sketch",
    )


@app.command()
def metrics(ref: Ref, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List what was measured on a version, and by which node."""
    with open_registry(url) as source:
        found = source.metrics(ref)
    if as_json:
        print_json(metrics=found)
        return
    print_table(
        ["metric", "value", "node", "measured"],
        ([m.name, m.value, short(m.identity or ""), m.created_at] for m in found),
        empty="nothing was measured on this version yet",
    )


def _print_page(page: Page[Version], *, as_json: bool, empty: str) -> None:
    if as_json:
        print_json(versions=page.items, next_page_token=page.next_page_token)
        return
    print_table(
        ["version", "rank", "size", "digest", "origin", "round", "metrics", "created"],
        (
            [v.ref + (" (retired)" if v.retired else ""), v.rank, size(v.size_bytes),
             short(v.digest), v.origin, v.round, metrics_cell(v.metrics), v.created_at]
            for v in page.items
        ),
        empty=empty,
    )  # fmt: skip
    if page.next_page_token is not None:
        typer.echo(f"more: add --page-token {page.next_page_token}")


add_records(app)
add_families(app)
add_routes(app)
add_changes(app)
