"""`polyrank registry` commands about what happened: aliases, nodes, rounds, events, evidence."""

# pyright: reportUnknownMemberType=false
# (typer's Option and Argument mention a generic click type without its argument)

from __future__ import annotations

from typing import Annotated

import typer

from ._cli_connect import AdapterName, JsonOption, UrlOption, open_registry
from ._cli_output import metrics as metrics_cell
from ._cli_output import print_json, print_json_line, print_line, print_table, short

AliasName = Annotated[str, typer.Argument(metavar="ALIAS", help="A moving name, such as stable.")]
MaybeAdapter = Annotated[
    str | None, typer.Argument(metavar="[ADAPTER]", help="Of this adapter only.")
]
Since = Annotated[int, typer.Option("--since", min=0, help="Those numbered above this.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")]


def add_records(app: typer.Typer) -> None:
    """Add these commands to `polyrank registry`."""
    for function in (aliases, nodes, rounds, contributions, events, evidence):
        app.command()(function)
    app.command("alias-history")(alias_history)


def aliases(adapter: AdapterName, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List an adapter's aliases."""
    with open_registry(url) as source:
        found = source.aliases(adapter)
    if as_json:
        print_json(aliases=found)
        return
    print_table(
        ["alias", "version", "reason", "set"],
        ([a.alias, f"{a.adapter}@{a.number}", a.reason, a.updated_at] for a in found),
        empty=f"adapter {adapter} has no aliases yet",
    )


def alias_history(
    adapter: AdapterName, alias: AliasName, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """List every change of an alias, oldest first."""
    with open_registry(url) as source:
        found = source.alias_history(adapter, alias)
    if as_json:
        print_json(alias_history=found)
        return
    print_table(
        ["change", "kind", "from", "to", "reason", "when"],
        ([c.sequence, c.kind, c.previous, c.number, c.reason, c.updated_at] for c in found),
    )


def nodes(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the nodes that ever took part."""
    with open_registry(url) as source:
        found = source.nodes()
    if as_json:
        print_json(nodes=found)
        return
    print_table(
        ["node", "identity", "status", "max rank", "device", "first seen", "last seen"],
        (
            [n.name, short(n.identity), n.status, n.card.get("max_rank"), n.card.get("device"),
             n.first_seen, n.last_seen]
            for n in found
        ),
        empty="no nodes yet",
    )  # fmt: skip


def rounds(
    adapter: MaybeAdapter = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """List rounds and what became of them."""
    with open_registry(url) as source:
        found = source.rounds(adapter)
    if as_json:
        print_json(rounds=found)
        return
    print_table(
        ["adapter", "round", "state", "start", "version", "reason", "opened", "closed"],
        (
            [r.adapter, r.number, r.state, r.start_number, r.version, r.reason, r.created_at,
             r.closed_at]
            for r in found
        ),
        empty="no rounds yet",
    )  # fmt: skip


def contributions(
    adapter: AdapterName,
    round: Annotated[int | None, typer.Option(min=0, help="Of this round only.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the updates that came, why some were rejected, and which version counted them."""
    with open_registry(url) as source:
        found = source.contributions(adapter, round=round)
    if as_json:
        print_json(contributions=found)
        return
    print_table(
        ["round", "node", "status", "rank", "examples", "metrics", "counted in", "reason", "when"],
        (
            [c.round, short(c.identity), c.status, c.rank, c.num_examples,
             metrics_cell(c.metrics), c.counted_in, c.reason, c.created_at]
            for c in found
        ),
        empty="no contributions yet",
    )  # fmt: skip


def events(
    since: Since = 0,
    limit: Limit = 100,
    adapter: Annotated[str | None, typer.Option(help="Of this adapter only.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what happened, oldest first; with --follow go on as it happens (JSON: one a line)."""
    if follow:
        _follow(since, adapter, url, as_json=as_json)
        return
    with open_registry(url) as source:
        found = source.events(since=since, limit=limit, adapter=adapter)
    if as_json:
        print_json(events=found)
        return
    print_table(
        ["number", "when", "kind", "adapter", "subject"],
        ([e.number, e.created_at, e.kind, e.adapter, e.subject] for e in found),
        empty="no events yet",
    )


def _follow(since: int, adapter: str | None, url: str | None, *, as_json: bool) -> None:
    with open_registry(url) as source, source.watch(since=since) as watch:
        for event in watch:
            if adapter is not None and event.adapter != adapter:
                continue
            if as_json:
                print_json_line(event)
            else:
                print_line(event.number, event.created_at, event.kind, event.adapter, event.subject)


def evidence(
    adapter: MaybeAdapter = None,
    since: Since = 0,
    limit: Limit = 100,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the recorded numbers that decisions rest on."""
    with open_registry(url) as source:
        found = source.evidence(adapter, since=since, limit=limit)
    if as_json:
        print_json(evidence=found)
        return
    print_table(
        ["number", "when", "kind", "adapter", "subject"],
        ([e.number, e.created_at, e.kind, e.adapter, e.subject] for e in found),
        empty="no evidence yet",
    )
