"""The head of a family's report: a few facts and the state now in one sentence. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..store import Decision
from ._report_records import Recorded
from ._report_time import MARKED


@dataclass(frozen=True)
class Summary:
    """Facts by name, the sentence, and what a reader has to know is missing."""

    facts: tuple[tuple[str, str], ...]
    sentence: str
    left_out: tuple[str, ...]


def summary(recorded: Recorded) -> Summary:
    """Return the head of a report."""
    members = Counter(member.state for member in recorded.members)
    assigned = Counter(record.adapter for record in recorded.assignments)
    live = sum(
        recorded.nodes[record.identity].status == "live"
        for record in recorded.assignments
        if record.identity in recorded.nodes
    )
    facts = (
        ("base model", recorded.line.base_model),
        ("reviews", str(recorded.family.reviews)),
        ("members", f"{members['active']} active, {members['archived']} archived"),
        ("nodes", f"{assigned.total()} assigned, {live} live"),
        ("time", _period(recorded.line.created_at, recorded.family.updated_at)),
    )
    return Summary(facts, sentence(recorded), tuple(_left_out(recorded)))


def sentence(recorded: Recorded) -> str:
    """Say the state now."""
    if not recorded.family.reviews:
        return "It has not been reviewed yet."
    users = Counter(record.adapter for record in recorded.assignments)
    trained = [
        f"{_count(users[member.adapter], 'node')} on {member.adapter}"
        for member in recorded.members
        if users[member.adapter]
    ]
    parts = [f"After {_count(recorded.family.reviews, 'review')}: {_listed(trained)}"]
    waiting = sum(decision.state == "proposed" for decision in recorded.decisions)
    if waiting:
        parts.append(f"{_count(waiting, 'decision')} waiting for an operator")
    held = _held(recorded)
    if held:
        parts.append(f"held by {'its gate' if len(held) == 1 else 'their gates'}: {_listed(held)}")
    changes = [d for d in recorded.decisions if d.kind not in ("keep", "hold")]
    parts.append(f"the last change was {_change(changes)}" if changes else "nothing was changed")
    return "; ".join(parts) + "."


def _held(recorded: Recorded) -> list[str]:
    """Return the versions that the newest review did not let through."""
    newest = recorded.reviews[-1].evidence if recorded.reviews else 0
    return [d.subject for d in recorded.decisions if d.kind == "hold" and newest in d.evidence]


def _change(changes: Sequence[Decision]) -> str:
    done = [d for d in changes if d.state in ("carried_out", "undone")] or changes
    last = done[-1]
    return f"decision {last.number} ({MARKED.get(last.kind, last.kind)}, {_state(last)})"


def _state(decision: Decision) -> str:
    return decision.state.replace("_", " ")


def _left_out(recorded: Recorded) -> list[str]:
    found: list[str] = []
    if recorded.earlier:
        shown = len(recorded.reviews)
        found.append(f"The charts show the newest {shown} reviews; {recorded.earlier} are older.")
    if recorded.unreadable:
        was = "review was" if recorded.unreadable == 1 else "reviews were"
        found.append(
            f"{recorded.unreadable} {was} written by another version of polyrank and left out."
        )
    return found


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts) or "no node is assigned"
    shown = list(parts[:6])
    if len(parts) > 6:
        shown.append(_count(len(parts) - 6, "more member"))
    return ", ".join(shown[:-1]) + " and " + shown[-1]


def _count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _period(start: datetime, end: datetime) -> str:
    first, last = (at.astimezone(UTC) for at in (start, end))
    until = "%H:%M UTC" if first.date() == last.date() else "%Y-%m-%d %H:%M UTC"
    return f"{first:%Y-%m-%d %H:%M} to {last.strftime(until)}"
