"""What a family remembers of one node and of one member, as it goes on record.

Pure values. A watch is what the tests compare a window with; it is written with each review, so a
new driver goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ._rank_memory import RankMemory

RECENT_WINDOWS = 8
KEPT_MOVES = 4
EARLIER_REFERENCES = 3
EARLIER_WINDOWS = 12
"""Of the references that were put aside, all in all: a watch on record is 4 KB at most."""
PATH_WINDOWS = 12
Zs = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Moments:
    """Sums over the clipped losses of one window: rows, nats, nats squared."""

    count: int
    loss_sum: float
    loss_square_sum: float


@dataclass(frozen=True)
class Watch:
    """What is remembered of one node under its present adapter.

    Attributes:
        base: loss moments of its last windows that were not harmful, newest last.
        reference: task keys of the windows that new features are compared with.
        harm: whether each of its last windows was harmful, newest last.
        since_move: reviews since it was moved to its adapter; None: it never was.
        seen: task key of the last window that was reviewed.
        reviewed: number of the review that had it.
        moves: numbers of the reviews that had its last windows before a move, newest last.
        shown: z of loss, novelty and label frequencies of its last windows, newest last.
        earlier: task keys of references that were put aside, newest last.
        path: task keys of its last windows under whatever adapter and reference, newest last; a
            new stretch begins where its data changed at once.
        named: what the drift within the newest stretch was called last.
    """

    base: tuple[Moments, ...] = ()
    reference: tuple[str, ...] = ()
    harm: tuple[bool, ...] = ()
    since_move: int | None = None
    seen: str = ""
    reviewed: int = 0
    moves: tuple[int, ...] = ()
    shown: tuple[Zs, ...] = ()
    earlier: tuple[tuple[str, ...], ...] = ()
    path: tuple[tuple[str, ...], ...] = ()
    named: str = ""

    def recent_moves(self, review: int, refractory: int) -> int:
        """Return how many moves are less than `refractory` reviews old in this review."""
        return sum(review - at <= refractory for at in self.moves)

    def after(
        self,
        key: str,
        moments: Moments,
        *,
        is_harmful: bool,
        is_reference: bool,
        windows: int,
        review: int,
        shown: Zs = (None, None, None),
        named: str = "",
        is_turn: bool = False,
    ) -> Watch:
        """Return the watch after the window of a review; `windows` is how many make a base.

        `named` is what its drift is called, `is_turn` whether a new stretch begins with it.
        """
        base = self.base if is_harmful else (*self.base, moments)[-windows:]
        wants = is_reference and len(self.reference) < windows
        return replace(
            self,
            base=base,
            reference=(*self.reference, key) if wants else self.reference,
            harm=(*self.harm, is_harmful)[-RECENT_WINDOWS:],
            since_move=None if self.since_move is None else self.since_move + 1,
            seen=key,
            reviewed=review,
            shown=(*self.shown, shown)[-RECENT_WINDOWS:],
            path=self._path_with(key, is_turn=is_turn) if is_reference else self.path,
            named=named or self.named,
        )

    def moved(self) -> Watch:
        """Return the watch of a node that has another adapter from now on."""
        last = (self.reviewed,)
        moves = self.moves if self.moves[-1:] == last else (*self.moves, *last)[-KEPT_MOVES:]
        return Watch(
            since_move=0,
            seen=self.seen,
            reviewed=self.reviewed,
            moves=moves,
            earlier=self._put_aside(),
            path=self.path,
            named=self.named,
        )

    def pinned(self) -> Watch:
        """Return the watch with a new reference: what was new is known now."""
        return replace(self, reference=(), shown=(), earlier=self._put_aside())

    def _put_aside(self) -> tuple[tuple[str, ...], ...]:
        kept = (*self.earlier, self.reference) if self.reference else self.earlier
        kept = kept[-EARLIER_REFERENCES:]
        while sum(map(len, kept)) > EARLIER_WINDOWS:
            kept = kept[1:]
        return kept

    def _path_with(self, key: str, *, is_turn: bool) -> tuple[tuple[str, ...], ...]:
        before = self.path if is_turn or not self.path else self.path[:-1]
        newest = () if len(before) == len(self.path) else self.path[-1]
        path = (*before, (*newest, key))
        if sum(map(len, path)) <= PATH_WINDOWS:
            return path
        oldest = path[0][1:]
        return (oldest, *path[1:]) if oldest else path[1:]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "base": [[m.count, m.loss_sum, m.loss_square_sum] for m in self.base],
            "reference": list(self.reference),
            "harm": list(self.harm),
            "since_move": self.since_move,
            "seen": self.seen,
            "reviewed": self.reviewed,
            "moves": list(self.moves),
            "shown": [list(zs) for zs in self.shown],
            "earlier": [list(keys) for keys in self.earlier],
            "path": [list(keys) for keys in self.path],
            "named": self.named,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; an empty mapping is a node that was never reviewed."""
        return cls(
            base=tuple(Moments(int(n), float(s), float(q)) for n, s, q in values.get("base", ())),
            reference=tuple(values.get("reference", ())),
            harm=tuple(bool(flag) for flag in values.get("harm", ())),
            since_move=values.get("since_move"),
            seen=str(values.get("seen", "")),
            reviewed=int(values.get("reviewed", 0)),
            moves=tuple(int(number) for number in values.get("moves", ())),
            shown=tuple((loss, new, prior) for loss, new, prior in values.get("shown", ())),
            earlier=tuple(tuple(map(str, keys)) for keys in values.get("earlier", ())),
            path=tuple(tuple(map(str, keys)) for keys in values.get("path", ())),
            named=str(values.get("named", "")),
        )


@dataclass(frozen=True)
class Membership:
    """What is remembered of one member of a family.

    Attributes:
        age: reviews since it was made.
        parent: the member that it was started from; None for the root.
        provisional: no merge trial has decided yet whether it stays.
        idle: reviews in a row in which no node used it.
        trials: other member -> number of the review of their last trial.
        pinned: number of the review that pinned a version of it last.
        absorbed: the nodes that it had when it was merged into another, to undo that.
        merged_into: the version that it was merged into; None: it was not.
        ranks: what is remembered of its rank.
        reference: what its users' data look like, see `_references`; None: not known yet.
        took: the merge whose other side the reference has taken in last.
        held: reviews in a row in which its newest version was held.
        recalled: number of the review that last tried the version that was stable before.
    """

    age: int = 0
    parent: str | None = None
    provisional: bool = False
    idle: int = 0
    trials: Mapping[str, int] = field(default_factory=dict[str, int])
    pinned: int | None = None
    absorbed: tuple[str, ...] = ()
    merged_into: str | None = None
    ranks: RankMemory = field(default_factory=RankMemory)
    reference: Mapping[str, Any] | None = None
    took: str | None = None
    held: int = 0
    recalled: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **vars(self),
            "trials": dict(self.trials),
            "absorbed": list(self.absorbed),
            "ranks": self.ranks.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        known: dict[str, Any] = dict(values)
        known["trials"] = dict(values.get("trials", {}))
        known["absorbed"] = tuple(values.get("absorbed", ()))
        known["ranks"] = RankMemory.from_json(values.get("ranks", {}))
        return cls(**known)
