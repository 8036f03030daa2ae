"""How much rank each member has, review by review, what it needs, and what changed it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..store import Decision, RankEvidence
from ._report_records import Look, Recorded
from ._report_time import Timeline, edge_of, is_shown

CHANGES = frozenset({"expand_rank", "shrink_rank"})


@dataclass(frozen=True)
class Level:
    """A member's rank in one review; `needed` is what its spectrum asks for, where measured."""

    review: int
    version: int
    rank: int
    needed: int | None


@dataclass(frozen=True)
class Change:
    """A change of rank, or a trial at another rank that changed nothing.

    Attributes:
        edge: when, on the time axis.
        before: the rank that it had.
        after: the rank that was decided, or tried; None: not known.
        gain: mean loss that the trial saves, in nats per row; None: no trial was judged.
        error: standard error of that gain.
        nodes: how many judged it.
        decision: its number; None for a trial without one.
        state: what became of the decision.
        reason: its words.
    """

    adapter: str
    edge: int
    before: int
    after: int | None
    gain: float | None = None
    error: float | None = None
    nodes: int = 0
    decision: int | None = None
    state: str = ""
    reason: str = ""

    @property
    def is_made(self) -> bool:
        """Whether the rank was changed, and still is."""
        return self.state == "carried_out"

    @property
    def words(self) -> str:
        """The change in figures, such as "8 to 16"."""
        return f"{self.before} to {self.after}" if self.after else f"above {self.before}"


@dataclass(frozen=True)
class Ranks:
    """What is known of ranks.

    Attributes:
        levels: member -> its levels, oldest first.
        changes: and trials, oldest first.
        now: member in service -> its rank now.
    """

    levels: Mapping[str, tuple[Level, ...]]
    changes: tuple[Change, ...]
    now: Mapping[str, int]

    @property
    def is_still(self) -> bool:
        """Whether there is nothing to show: no change, no trial, nothing measured."""
        measured = any(one.needed is not None for own in self.levels.values() for one in own)
        return not (self.changes or measured)


def ranks(recorded: Recorded, timeline: Timeline) -> Ranks:
    """Return the ranks that reviews saw, and what became of them."""
    levels: dict[str, list[Level]] = defaultdict(list)
    for look in recorded.reviews:
        needs = {rank.adapter: _needed(rank) for rank in look.review.ranks}
        for member in look.review.members:
            if member.state == "active":
                needed = needs.get(member.adapter)
                level = Level(look.review.number, member.version, member.rank, needed)
                levels[member.adapter].append(level)
    known = {name: tuple(levels[name]) for name in recorded.places if name in levels}
    made = _decided(recorded, timeline, known)
    taken = {d.subject for d in recorded.decisions if d.kind in CHANGES}
    tried = [
        _tried(look, rank)
        for look in recorded.reviews
        for rank in look.review.ranks
        if rank.trial is not None and rank.trial not in taken
    ]
    changes = tuple(sorted([*made, *tried], key=lambda c: (c.edge, c.decision or 0)))
    return Ranks(known, changes, _now(recorded, timeline, known))


def _now(
    recorded: Recorded, timeline: Timeline, levels: Mapping[str, Sequence[Level]]
) -> dict[str, int]:
    """Return the ranks that the newest review saw, or that came since then with a change."""
    now = {n: own[-1].rank for n, own in levels.items() if own[-1].review == timeline.last}
    for version in recorded.landmarks:
        if version.adapter in now and version.created_at > recorded.reviews[-1].at:
            now[version.adapter] = version.rank
    return now


def _needed(rank: RankEvidence) -> int:
    return rank.energy_rank if rank.elbow is None else rank.elbow


def _decided(
    recorded: Recorded, timeline: Timeline, levels: Mapping[str, Sequence[Level]]
) -> list[Change]:
    reviews = {look.evidence: look.review.number for look in recorded.reviews}
    return [
        _change(decision, edge_of(decision, reviews, timeline), levels)
        for decision in recorded.decisions
        if decision.kind in CHANGES and is_shown(decision, recorded, reviews)
    ]


def _change(decision: Decision, edge: int, levels: Mapping[str, Sequence[Level]]) -> Change:
    adapter = decision.adapter or ""
    numbers: Mapping[str, float] = decision.payload.get("numbers", {})
    before = [one.rank for one in levels.get(adapter, ()) if one.review <= edge]
    after = numbers.get("new_rank")
    return Change(
        adapter=adapter,
        edge=edge,
        before=int(numbers.get("rank", before[-1] if before else 0)),  # an operator gives none
        after=None if after is None else int(after),
        gain=numbers.get("gain"),
        error=numbers.get("standard_error"),
        nodes=int(numbers.get("nodes", 0)),
        decision=decision.number,
        state=decision.state,
        reason=decision.reason,
    )


def _tried(look: Look, rank: RankEvidence) -> Change:
    most = look.policy.max_rank
    twice = 2 * rank.rank if most is None else min(2 * rank.rank, most)
    return Change(
        adapter=rank.adapter,
        edge=look.review.number,
        before=rank.rank,
        after=twice,
        gain=rank.gain,
        error=rank.standard_error,
        nodes=rank.identities,
    )
