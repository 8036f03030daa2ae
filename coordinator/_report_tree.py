"""The family tree: a lane for each member, and the versions that no ordinary round made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..store import Version
from ._report_records import Recorded
from ._report_time import Timeline

_WORDS = {
    "expand": "expanded",
    "merge": "merged",
    "undo": "undone",
    "expand_rank": "more rank",
    "shrink_rank": "less rank",
}


@dataclass(frozen=True)
class Stretch:
    """A time in which a member had one state; edges."""

    start: int
    end: int
    is_active: bool


@dataclass(frozen=True)
class Lane:
    """One member over time."""

    adapter: str
    place: int
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True)
class Knot:
    """A version that matters, on its lane.

    Attributes:
        kind: its origin ("initial", "expand", "merge", "undo", ...), or "pin".
        place: the lane's place.
        source: the place of the lane that it came from, if it is another one.
        label: the version's number, as in "v7".
        title: what happened, in words.
    """

    edge: int
    kind: str
    place: int
    source: int | None
    label: str
    title: str


def lanes(recorded: Recorded, timeline: Timeline) -> list[Lane]:
    """Return when each member was active and when it was only stored."""
    starts = _starts(recorded, timeline)
    found: list[Lane] = []
    for member in recorded.members:
        place, name = recorded.places[member.adapter], member.adapter
        states: list[tuple[int, bool]] = [
            (look.review.number, one.state == "active")
            for look in recorded.reviews
            for one in look.review.members
            if one.adapter == name
        ]
        states.append((timeline.last + 1, member.state == "active"))
        found.append(Lane(name, place, _stretches(states, starts.get(name, states[0][0] - 1))))
    return found


def knots(recorded: Recorded, timeline: Timeline) -> list[Knot]:
    """Return the versions that matter in the time that is shown, and the pins."""
    shown = recorded.reviews[0].at if recorded.earlier else None
    found = [
        _knot(version, recorded, timeline)
        for version in recorded.landmarks
        if shown is None or version.created_at >= shown
    ]
    return sorted([*found, *_pins(recorded, timeline)], key=lambda knot: (knot.edge, knot.place))


def _starts(recorded: Recorded, timeline: Timeline) -> dict[str, int]:
    first: dict[str, int] = {}
    for version in recorded.landmarks:
        first.setdefault(version.adapter, timeline.after(version.created_at))
    return first


def _stretches(states: Sequence[tuple[int, bool]], start: int) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    for review, is_active in states:
        if found and found[-1].is_active == is_active:
            found[-1] = Stretch(found[-1].start, review, is_active)
        else:
            found.append(Stretch(found[-1].end if found else start, review, is_active))
    return tuple(found)


def _knot(version: Version, recorded: Recorded, timeline: Timeline) -> Knot:
    places = recorded.places
    others = [p for p in version.parents if p.adapter != version.adapter and p.adapter in places]
    source = places[others[0].adapter] if others else None
    parents = " and ".join(f"{parent.adapter}@{parent.number}" for parent in version.parents)
    word = _WORDS.get(version.origin, version.origin)
    title = f"{version.ref}: {word}" + (f" from {parents}" if parents else "")
    edge = timeline.after(version.created_at)
    return Knot(edge, version.origin, places[version.adapter], source, f"v{version.number}", title)


def _pins(recorded: Recorded, timeline: Timeline) -> list[Knot]:
    done = {step.decision: step.at for step in recorded.steps if step.state == "carried_out"}
    found: list[Knot] = []
    for decision in recorded.decisions:
        name, _, version = decision.subject.partition("@")
        is_pin = decision.kind == "pin" and decision.number in done
        if is_pin and name in recorded.places:
            edge = timeline.after(done[decision.number])
            title = f"{decision.subject} pinned: kept for good (decision {decision.number})"
            place = recorded.places[name]
            found.append(Knot(edge, "pin", place, None, f"v{version}", title))
    return found
