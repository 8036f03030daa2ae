"""What a report reads of one family from a registry: the only part of it that asks anything.

Evidence and decisions are read in small pages, since a review of hundreds of nodes is large and a
remote registry limits a message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from ..store import (
    AdaptationPolicy,
    AdapterLine,
    AssignmentRecord,
    Decision,
    DecisionStep,
    Evidence,
    FamilyRecord,
    MemberRecord,
    MetricRecord,
    NodeRecord,
    Page,
    Registry,
    Review,
    StoreError,
    Version,
)
from ._read_all import read_all, read_pages

MAX_REVIEWS: Final = 250
MAX_READINGS: Final = 600  # versions whose measurements are read, one call each
_PAGE: Final = 16
_STEPS: Final = 1000


@dataclass(frozen=True)
class Look:
    """One review as it was recorded: what was seen, the settings, when, and as which evidence."""

    review: Review
    policy: AdaptationPolicy
    at: datetime
    evidence: int


@dataclass(frozen=True)
class Recorded:
    """Everything on record that a report of one family shows.

    Attributes:
        members: as they came, the root first.
        reviews: the newest ones, oldest first.
        earlier: how many reviews before those are not read.
        unreadable: how many reviews are not as this version of polyrank writes them.
        landmarks: the versions that no round made, oldest first.
        measured: reference -> what its nodes measured.
        sampled: measurements are of each so many reviews.
    """

    family: FamilyRecord
    line: AdapterLine
    members: tuple[MemberRecord, ...]
    nodes: Mapping[str, NodeRecord]
    assignments: tuple[AssignmentRecord, ...]
    reviews: tuple[Look, ...]
    earlier: int
    unreadable: int
    decisions: tuple[Decision, ...]
    steps: tuple[DecisionStep, ...]
    made_by: Mapping[int, str]
    landmarks: tuple[Version, ...]
    measured: Mapping[str, tuple[MetricRecord, ...]]
    sampled: int

    @property
    def places(self) -> Mapping[str, int]:
        """Member -> its place among the members, which gives its colour."""
        return {member.adapter: place for place, member in enumerate(self.members)}


def read_family(registry: Registry, root: str) -> Recorded:
    """Read one family. Raises NotFound if there is none of this root."""
    family = registry.family(root)
    lines = {line.name: line for line in registry.adapters()}
    members = sorted(
        registry.members(root), key=lambda m: (m.adapter != root, lines[m.adapter].created_at)
    )
    names = [member.adapter for member in members]
    looks, earlier, unreadable = _looks(registry, root)
    decisions = _decisions(registry, names)
    readings, sampled = _thinned(evaluated(looks), MAX_READINGS)
    return Recorded(
        family=family,
        line=lines[root],
        members=tuple(members),
        nodes={node.identity: node for node in registry.nodes()},
        assignments=tuple(registry.assignments(root)),
        reviews=looks,
        earlier=earlier,
        unreadable=unreadable,
        decisions=decisions,
        steps=_steps(registry, {decision.number for decision in decisions}),
        made_by=_makers(lines[name] for name in names),
        landmarks=_landmarks(registry, names),
        measured={
            ref: tuple(m for m in registry.metrics(ref) if m.identity is not None)
            for ref in dict.fromkeys(f"{name}@{version}" for _, name, version in readings)
        },
        sampled=sampled,
    )


def evaluated(looks: Sequence[Look]) -> list[tuple[int, str, int]]:
    """List (review, member, version) where a review had a version that the one before had not."""
    known: dict[str, int] = {}
    found: list[tuple[int, str, int]] = []
    for look in looks:
        for member in look.review.members:
            if member.state == "active" and known.get(member.adapter) != member.version:
                found.append((look.review.number, member.adapter, member.version))
            known[member.adapter] = member.version
    return found


def _thinned(
    readings: Sequence[tuple[int, str, int]], most: int
) -> tuple[list[tuple[int, str, int]], int]:
    """Keep those of each so many reviews, so that at most `most` remain."""
    every = 1
    kept = list(readings)
    while len(kept) > most:
        every += 1
        kept = [reading for reading in readings if reading[0] % every == 0]
    return kept, every


def _looks(registry: Registry, root: str) -> tuple[tuple[Look, ...], int, int]:
    kept: deque[Look] = deque(maxlen=MAX_REVIEWS)
    count = unreadable = 0

    def page(since: int) -> Sequence[Evidence]:
        return registry.evidence(root, since=since, limit=_PAGE)

    for evidence in read_all(page):
        if evidence.kind != "review":
            continue
        look = _look(evidence)
        if look is None:
            unreadable += 1
        else:
            kept.append(look)
            count += 1
    return tuple(kept), count - len(kept), unreadable


def _look(evidence: Evidence) -> Look | None:
    payload: Mapping[str, Any] = evidence.payload
    try:
        review = Review.from_json(payload["review"])
        policy = AdaptationPolicy.from_json(payload["policy"])
    except (StoreError, KeyError):  # of another version of polyrank: it is counted
        return None
    return Look(review, policy, evidence.created_at, evidence.number)


def _decisions(registry: Registry, names: Sequence[str]) -> tuple[Decision, ...]:
    found: list[Decision] = []
    for name in names:

        def page(since: int, name: str = name) -> Sequence[Decision]:
            return registry.decisions(name, since=since, limit=_PAGE)

        found += read_all(page)
    return tuple(sorted(found, key=lambda decision: decision.number))


def _steps(registry: Registry, decisions: set[int]) -> tuple[DecisionStep, ...]:
    found: list[DecisionStep] = []
    since = 0
    while page := registry.decision_log(since=since, limit=_STEPS):
        found += [step for step in page if step.decision in decisions]
        since = page[-1].sequence
    return tuple(found)


def _makers(lines: Iterable[AdapterLine]) -> dict[int, str]:
    """Return decision -> the member that it made; the daemon writes it in a line's tags."""
    tagged = [(line.tags.get("decision", ""), line.name) for line in lines]
    return {int(number): name for number, name in tagged if number.isdecimal()}


def _landmarks(registry: Registry, names: Sequence[str]) -> tuple[Version, ...]:
    def of(name: str, token: str | None) -> Page[Version]:
        return registry.search(
            f'adapter = "{name}" and origin != "round"', order_by="created", page_token=token
        )

    found = [version for name in names for version in read_pages(partial(of, name))]
    return tuple(sorted(found, key=lambda version: version.created_at))
