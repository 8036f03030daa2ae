"""`polyrank registry` commands about families of adapters: what was decided, and its undoing."""

# pyright: reportUnknownMemberType=false
# (typer's Option and Argument mention a generic click type without its argument)

from __future__ import annotations

import getpass
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ._cli_connect import JsonOption, UrlOption, open_registry
from ._cli_output import print_json, print_line, print_table, short
from ._cli_registry_records import Limit, MaybeAdapter, Since
from ._read_all import read_all

if TYPE_CHECKING:
    from ..store import Decision, Registry

_PAGE = 1000


class Forced(StrEnum):
    """What an operator may decide without evidence."""

    REROUTE = "reroute"
    EXPAND = "expand_adapter"
    MERGE = "merge"
    ARCHIVE = "archive"
    PIN = "pin"
    EXPAND_RANK = "expand_rank"
    SHRINK_RANK = "shrink_rank"
    ROLLBACK = "rollback"


FamilyName = Annotated[str, typer.Argument(metavar="FAMILY", help="The adapter it began as.")]
Number = Annotated[int, typer.Argument(metavar="DECISION", min=1, help="Its number.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the decision's log.")]


def add_families(app: typer.Typer) -> None:
    """Add these commands to `polyrank registry`."""
    for function in (families, assignments, decisions, approve, veto, undo, force):
        app.command()(function)
    app.command("decision-log")(decision_log)


def families(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the families of adapters with their members."""
    with open_registry(url) as source:
        found = source.families()
        members = {family.root: source.members(family.root) for family in found}
        users = {
            family.root: Counter(a.adapter for a in source.assignments(family.root))
            for family in found
        }
    if as_json:
        print_json(families=found, members=[m for group in members.values() for m in group])
        return
    print_table(
        ["family", "reviews", "member", "state", "nodes", "from", "merged into"],
        (
            [family.root, family.reviews, member.adapter, member.state,
             users[family.root][member.adapter], member.payload.get("parent"),
             member.payload.get("merged_into")]
            for family in found
            for member in members[family.root]
        ),
        empty="no family yet: set [adapters.NAME.continual] mode in the daemon's configuration",
    )  # fmt: skip


def assignments(family: FamilyName, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List which adapter each node of a family trains and serves."""
    with open_registry(url) as source:
        found = source.assignments(family)
        names = {node.identity: node.name for node in source.nodes()}
    if as_json:
        print_json(assignments=found)
        return
    print_table(
        ["node", "identity", "adapter", "since"],
        ([names.get(a.identity), short(a.identity), a.adapter, a.updated_at] for a in found),
        empty=f"family {family} has not been reviewed yet",
    )


def decisions(
    adapter: MaybeAdapter = None,
    since: Since = 0,
    limit: Limit = 100,
    replay: Annotated[
        bool, typer.Option("--replay", help="Decide again from the recorded evidence and compare.")
    ] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List recorded choices, what became of them, and the evidence that they rest on."""
    with open_registry(url) as source:
        if replay:
            _replay(source, as_json=as_json)
            return
        found = source.decisions(adapter, since=since, limit=limit)
    if as_json:
        print_json(decisions=found)
        return
    print_table(
        ["number", "when", "kind", "adapter", "subject", "state", "reason", "evidence"],
        (
            [d.number, d.created_at, d.kind, d.adapter, d.subject, d.state, d.reason,
             " ".join(map(str, d.evidence))]
            for d in found
        ),
        empty="no decisions yet",
    )  # fmt: skip


def decision_log(
    decision: Annotated[
        int | None, typer.Argument(metavar="[DECISION]", help="Of this one only.")
    ] = None,
    since: Since = 0,
    limit: Limit = 100,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what became of decisions, step by step: proposed, approved, carried out, undone."""
    with open_registry(url) as source:
        found = source.decision_log(decision, since=since, limit=limit)
    if as_json:
        print_json(decision_log=found)
        return
    print_table(
        ["step", "decision", "state", "by", "reason", "when"],
        ([s.sequence, s.decision, s.state, s.actor, s.reason, s.at] for s in found),
        empty="no decision has a log yet",
    )


def approve(
    decision: Number, reason: Reason = "", url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Approve a proposed decision: the daemon carries it out before the next round."""
    _settle(decision, "approved", reason, url, as_json=as_json)


def veto(
    decision: Number, reason: Reason = "", url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Veto a proposed decision: it is not carried out."""
    _settle(decision, "vetoed", reason, url, as_json=as_json)


def undo(
    decision: Number, reason: Reason = "", url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Undo a decision that was carried out: the daemon does it before the next round."""
    _settle(decision, "undone", reason, url, as_json=as_json)


def force(
    kind: Annotated[Forced, typer.Argument(metavar="KIND", help="What to do.")],
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="The member that nodes leave, or that goes on.")
    ],
    target: Annotated[
        str,
        typer.Option(help="Where nodes go (demo/2), or the version to start from or pin (demo@7)."),
    ] = "",
    absorb: Annotated[str, typer.Option(help="Of a merge: the member that ends.")] = "",
    nodes: Annotated[str, typer.Option(help="Names or identities, separated by commas.")] = "",
    rank: Annotated[int | None, typer.Option(help="Of a change of rank: the new one.")] = None,
    reason: Reason = "",
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide by yourself: recorded as yours, carried out by the daemon before the next round.

    KIND is one of reroute, expand_adapter, merge, archive, pin, expand_rank, shrink_rank, rollback.
    """
    from ..store import Choice

    with open_registry(url) as source:
        choice = Choice(
            kind=kind.value,
            adapter=adapter,
            target=target or adapter,
            absorb=absorb,
            nodes=_identities(source, nodes),
            numbers={} if rank is None else {"new_rank": rank},
            reason=reason or "An operator's choice.",
        )
        found = source.force(choice, actor=getpass.getuser())
    if as_json:
        print_json(decision=found)
    else:
        print_line(found.number, found.created_at, found.kind, found.adapter, found.state)


def _identities(source: Registry, names: str) -> tuple[str, ...]:
    """Turn names of nodes, or beginnings of identities, into identities."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = source.nodes() if wanted else []
    found: list[str] = []
    for name in wanted:
        fitting = {n.identity for n in known if name == n.name or n.identity.startswith(name)}
        if len(fitting) != 1:
            raise typer.BadParameter(
                f"{name!r} names {len(fitting)} nodes: `polyrank registry nodes` lists them",
                param_hint="--nodes",
            )
        found += fitting
    return tuple(sorted(found))


def _settle(
    decision: int,
    state: Literal["approved", "vetoed", "undone"],
    reason: str,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    with open_registry(url) as source:
        step = source.settle(decision, state=state, reason=reason, actor=getpass.getuser())
    if as_json:
        print_json(step=step)
    else:
        print_line(step.sequence, step.at, f"decision {step.decision}", step.state, step.reason)


def _replay(source: Registry, *, as_json: bool) -> None:
    """Decide each review again; exit with 1 if one differs from what is on record."""
    from ..store import replays

    recorded = read_all(lambda since: source.evidence(since=since, limit=_PAGE))
    found = {one.number: one for one in recorded if one.kind == "review"}
    chosen: dict[int, list[Decision]] = {number: [] for number in found}
    for decision in read_all(lambda since: source.decisions(since=since, limit=_PAGE)):
        for number in decision.evidence[:1]:
            if number in chosen:
                chosen[number].append(decision)
    rows = [
        (one, len(chosen[number]), replays(one.payload, [d.payload for d in chosen[number]]))
        for number, one in sorted(found.items())
    ]
    differing = [one for one, _, is_same in rows if not is_same]
    if as_json:
        print_json(
            replay=[
                {"evidence": one.number, "subject": one.subject, "decisions": count, "same": same}
                for one, count, same in rows
            ]
        )
    else:
        print_table(
            ["evidence", "review", "decisions", "the same again"],
            (
                [one.number, one.subject, count, "yes" if same else "NO"]
                for one, count, same in rows
            ),
            empty="no review has been recorded yet",
        )
    if differing:
        raise typer.Exit(1)
