"""What a family remembers of one member's rank, as it goes on record; and where its trial is.

Pure values. A trial at twice the rank is one ordinary round beside a member's own: it starts from
the same version, runs when the member's round is over, and before its new version is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from ..store import RoundRecord, Version

Stage = Literal["waits", "due", "runs", "over"]
_ENDED = frozenset({"committed", "abandoned"})


@dataclass(frozen=True)
class RankTry:
    """A trial of a member at another rank.

    Attributes:
        review: number of the review that asked for it.
        rank: the rank that is tried.
        source: number of the member's version that it starts from.
        start: number of the same bytes on the line of rank trials.
        flat: rounds without progress when it was asked for.
    """

    review: int
    rank: int
    source: int
    start: int
    flat: int


@dataclass(frozen=True)
class RankMemory:
    """What is remembered of a member's rank.

    Attributes:
        rank: the rank of its state from now on; None: as configured.
        changed: the version with which `rank` came, such as "demo@9"; None: it never changed.
        flat: reviews in a row in which its new version was not surely better than the one before.
        tried: number of the review that last asked for a trial.
        trial: the trial that is not judged yet.
        undone: number of the last review before an operator undid a change of its rank.
    """

    rank: int | None = None
    changed: str | None = None
    flat: int = 0
    tried: int | None = None
    trial: RankTry | None = None
    undone: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), "trial": None if self.trial is None else vars(self.trial)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; an empty mapping is a member whose rank nobody touched."""
        known: dict[str, Any] = dict(values)
        trial = values.get("trial")
        known["trial"] = None if trial is None else RankTry(**trial)
        return cls(**known)


def after_review(
    memory: RankMemory, *, flat: int, has_ended: bool, asked: RankTry | None
) -> RankMemory:
    """Return what is remembered after a review.

    Args:
        memory: from before.
        flat: reviews in a row without progress, this one included.
        has_ended: a trial that was under way is judged by now, or never will be.
        asked: the trial that this review asks for.
    """
    return replace(
        memory,
        flat=flat,
        tried=memory.tried if asked is None else asked.review,
        trial=asked or (None if has_ended else memory.trial),
    )


def stage(trial: RankTry, newest: RoundRecord | None, head: Version | None) -> Stage:
    """Say where a trial is.

    Args:
        trial: not judged yet.
        newest: the newest round on the line of rank trials.
        head: the member's newest version.

    Returns:
        "waits" for the member's own round, "due" once that is over, "runs", or "over": also where
        the member went on from another version, so that there is nothing to compare with.
    """
    if newest is not None and newest.start_number == trial.start:
        return "over" if newest.state in _ENDED else "runs"
    if head is None or head.number == trial.source:
        return "waits"
    source = (head.adapter, trial.source)
    is_next = head.round is not None and source in [(p.adapter, p.number) for p in head.parents]
    return "due" if is_next else "over"
