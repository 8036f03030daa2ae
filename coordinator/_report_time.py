"""The time of a report: reviews are its unit, and what happens lies between two of them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..store import Decision, DecisionStep
from ._report_labels import node_names, spoken
from ._report_records import Look, Recorded

MARKED = {
    "expand_adapter": "expand",
    "merge": "merge",
    "reroute": "move",
    "pin": "pin",
    "archive": "archive",
    "expand_rank": "rank up",
    "shrink_rank": "rank down",
    "rollback": "roll back",
    "hold": "hold",
}


@dataclass(frozen=True)
class Timeline:
    """The reviews that are shown; review k lies between the edges k - 1 and k.

    What a review decided is carried out after it and before the next: at edge k.
    """

    numbers: tuple[int, ...]
    times: tuple[datetime, ...]

    @classmethod
    def of(cls, looks: Sequence[Look]) -> Timeline:
        """Return the time of these reviews, oldest first."""
        return cls(tuple(look.review.number for look in looks), tuple(look.at for look in looks))

    @property
    def first(self) -> int:
        """The edge where it begins."""
        return self.numbers[0] - 1 if self.numbers else 0

    @property
    def last(self) -> int:
        """The edge where the newest review ends: now."""
        return self.numbers[-1] if self.numbers else 0

    def after(self, at: datetime) -> int:
        """Return the edge of a moment: that of the last review before it."""
        place = bisect_right(self.times, at)
        return self.numbers[place - 1] if place else self.first


@dataclass(frozen=True)
class Mark:
    """A decision on the time axis, or its undoing.

    Attributes:
        edge: where.
        kind: the decision's kind, or "undo".
        word: one or two words for it.
        decision: its number.
        is_done: whether it was carried out (also if it was undone later); a hold always is, since
            there is nothing to do.
        state: what became of it.
        title: its reason.
    """

    edge: int
    kind: str
    word: str
    decision: int
    is_done: bool
    state: str
    title: str


def marks(recorded: Recorded, timeline: Timeline) -> list[Mark]:
    """List what to mark, in time; choices to leave things as they are get no mark."""
    reviews = {look.evidence: look.review.number for look in recorded.reviews}
    names = node_names(recorded.nodes)
    edges = {d.number: edge_of(d, reviews, timeline) for d in recorded.decisions}
    found = [
        Mark(
            edges[d.number],
            d.kind,
            MARKED.get(d.kind, d.kind.replace("_", " ")),
            d.number,
            d.kind == "hold" or d.state in ("carried_out", "undone"),
            "held" if d.kind == "hold" else d.state.replace("_", " "),
            spoken(d.reason, names),
        )
        for d in recorded.decisions
        if d.kind != "keep" and is_shown(d, recorded, reviews)
    ]
    for step in undone(recorded.steps):
        edge = timeline.after(step.at)
        found.append(
            Mark(edge, "undo", "undo", step.decision, True, "undone", f"{step.decision} undone")
        )
    return sorted(found, key=lambda mark: (mark.edge, mark.kind == "undo", mark.decision))


def undone(steps: Sequence[DecisionStep]) -> list[DecisionStep]:
    """List the steps by which the driver undid something: those of operators are requests."""
    return [step for step in steps if step.state == "undone" and not step.actor]


def edge_of(decision: Decision, reviews: dict[int, int], timeline: Timeline) -> int:
    """Return where a decision is: after its review, or when it was recorded if it has none."""
    known = [reviews[number] for number in decision.evidence if number in reviews]
    return known[0] if known else timeline.after(decision.created_at)


def is_shown(decision: Decision, recorded: Recorded, reviews: dict[int, int]) -> bool:
    """Say whether a decision lies in the time that is shown."""
    if any(number in reviews for number in decision.evidence) or not recorded.earlier:
        return True
    return decision.created_at >= recorded.reviews[0].at
