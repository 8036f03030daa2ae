"""Which member each node had in each review, told anew from the decisions and their log. Pure.

A review lists only nodes with something to report, so most assignments are not in it. They follow
from where nodes begin (the root), what was carried out, and what was undone; where a review does
list a node, its word counts. The present assignments are on record themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..store import Choice, Decision, DecisionStep, StoreError
from ._report_records import Recorded
from ._report_time import undone

MAX_BANDS: Final = 60
# up to so many nodes have a band each; of more, those with the same history share one
MAX_SINGLE: Final = 30

History = tuple[str, ...]


@dataclass(frozen=True)
class Band:
    """Nodes that always had the same member as each other.

    Attributes:
        identities: sorted.
        history: the member in each review that is shown; "" before they were there.
        now: the present one; "" if it is not on record.
    """

    identities: tuple[str, ...]
    history: History
    now: str

    def stretches(self) -> list[tuple[int, int, str]]:
        """List (first place, place after the last, member) of the history and the present."""
        found: list[tuple[int, int, str]] = []
        for place, member in enumerate((*self.history, self.now)):
            if found and found[-1][2] == member:
                found[-1] = (found[-1][0], place + 1, member)
            else:
                found.append((place, place + 1, member))
        return [stretch for stretch in found if stretch[2]]


def histories(recorded: Recorded) -> dict[str, History]:
    """Return identity -> the member in each review that is shown."""
    replay = _Replay(recorded)
    places: dict[str, list[str]] = {identity: [] for identity in replay.where}
    for look in recorded.reviews:
        replay.until(look.at)
        for node in look.review.nodes:
            replay.where[node.identity] = node.adapter
        for identity, found in places.items():
            seen = recorded.nodes.get(identity)
            is_there = seen is None or seen.first_seen <= look.at
            found.append(replay.where[identity] if is_there else "")
    return {identity: tuple(found) for identity, found in places.items()}


def bands(recorded: Recorded) -> tuple[list[Band], int]:
    """Return the bands in the order of the present members, and how many nodes are in none."""
    now = {record.identity: record.adapter for record in recorded.assignments}
    told = histories(recorded)
    alike: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for identity, history in sorted(told.items(), key=lambda item: _name(item[0], recorded)):
        alone = identity if len(told) <= MAX_SINGLE else ""
        alike[history, now.get(identity, ""), alone].append(identity)
    order = recorded.places
    found = [
        Band(tuple(identities), told[identities[0]], now.get(identities[0], ""))
        for identities in alike.values()
    ]
    found.sort(key=lambda band: -len(band.identities))
    shown, left_out = found[:MAX_BANDS], sum(len(b.identities) for b in found[MAX_BANDS:])
    shown.sort(key=lambda band: (order.get(band.now, len(order)), -len(band.identities)))
    return shown, left_out


class _Replay:
    """Carries decisions out again, on paper; `where` is each node's member so far."""

    def __init__(self, recorded: Recorded) -> None:
        identities = {record.identity for record in recorded.assignments}
        identities |= {node.identity for look in recorded.reviews for node in look.review.nodes}
        self.where = dict.fromkeys(sorted(identities), recorded.family.root)
        self._made_by = recorded.made_by
        self._decisions = {decision.number: decision for decision in recorded.decisions}
        self._moved: dict[int, tuple[str, ...]] = {}
        self._open = _in_fact(recorded.steps)

    def until(self, at: datetime) -> None:
        """Do all that was done before a moment."""
        while self._open and self._open[0].at < at:
            step = self._open.pop(0)
            choice = _choice(self._decisions[step.decision])
            if choice is not None:
                (self._undo if step.state == "undone" else self._do)(step.decision, choice)

    def _do(self, number: int, choice: Choice) -> None:
        match choice.kind:
            case "reroute":
                self._move(number, choice.nodes, choice.target)
            case "expand_adapter":
                self._move(number, choice.nodes, self._made_by.get(number, ""))
            case "merge":
                self._move(number, self._users(choice.absorb), choice.adapter)
            case _:
                pass

    def _undo(self, number: int, choice: Choice) -> None:
        match choice.kind:
            case "reroute":
                there = [i for i in self._moved.get(number, ()) if self.where[i] == choice.target]
                self._move(number, there, choice.adapter)
            case "expand_adapter":
                self._move(number, self._users(self._made_by.get(number, "")), choice.adapter)
            case "merge":
                self._move(number, self._moved.get(number, ()), choice.absorb)
            case _:
                pass

    def _users(self, member: str) -> list[str]:
        return [identity for identity, own in self.where.items() if own == member]

    def _move(self, number: int, nodes: Sequence[str], member: str) -> None:
        known = tuple(identity for identity in nodes if identity in self.where)
        self._moved[number] = known
        if member:
            self.where.update(dict.fromkeys(known, member))


def _in_fact(steps: Sequence[DecisionStep]) -> list[DecisionStep]:
    """Return what was done; "carried out" after a request to undo says that it stays."""
    asked = {step.decision for step in steps if step.state == "undone" and step.actor}
    done: set[int] = set()
    found: list[DecisionStep] = []
    for step in steps:
        if step.state == "carried_out":
            if step.decision not in done or step.decision not in asked:
                found.append(step)
            done.add(step.decision)
    return sorted([*found, *undone(steps)], key=lambda step: step.sequence)


def _choice(decision: Decision) -> Choice | None:
    try:
        return Choice.from_json(decision.payload)
    except StoreError:  # not the driver's: nothing was carried out
        return None


def _name(identity: str, recorded: Recorded) -> str:
    node = recorded.nodes.get(identity)
    return node.name if node is not None else identity
