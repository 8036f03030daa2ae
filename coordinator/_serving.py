"""Which version each node serves, as far as this driver knows, and who still has to be told.

Nothing of it is on record: to be told again does no harm and costs a few hundred bytes, so a new
driver begins with knowing nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ..store import Ledger
from ._lines import Line
from ._round_view import Served

MOST_REFUSALS = 2


class Serving:
    """Remembers what nodes were given."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._given: dict[tuple[str, str], tuple[str, str]] = {}
        self._refused: Counter[tuple[str, str, str]] = Counter()
        self._asked: dict[tuple[str, str], int] = {}
        self._count = 0

    def gave(self, line: Line, identity: str, digest: str) -> None:
        """Take down that a node has made a version the one that it serves."""
        self._given[_root(line), identity] = (line.name, digest)
        self._asked.pop((line.name, identity), None)

    def refused(self, line: Line, identity: str, digest: str) -> None:
        """Take down that a node could not; it is asked once more, with the bytes."""
        self._refused[line.name, digest, identity] += 1
        self._asked.pop((line.name, identity), None)

    def asked(self, line: Line, identity: str) -> None:
        """Take down that a node was asked to serve what is stable now."""
        assert line.tip is not None, "only stable versions are served"
        self._asked[line.name, identity] = line.tip.sequence

    def turn(self) -> int:
        """Return a number that no other question of this driver has."""
        self._count += 1
        return self._count

    def forget(self, present: Collection[str]) -> None:
        """Forget the questions to nodes that have left: they are asked again when they return."""
        self._asked = {key: change for key, change in self._asked.items() if key[1] in present}
        for key in [key for key in self._refused if key[2] not in present]:
            del self._refused[key]

    def view(self, line: Line, nodes: Collection[str]) -> Served | None:
        """Return what is stable, and which of these nodes are not known to serve it."""
        stable, tip = line.stable, line.tip
        if stable is None or tip is None:
            return None
        own = (line.name, stable.digest)
        unknown = {i for i in nodes if self._given.get((_root(line), i)) != own}
        if line.family is None and unknown and line.head == stable:
            # each evaluates a version once, and serves it from then on: records say who has
            scored = self._scored(line, stable.round or 0, stable.digest)
            unknown -= {i for i in scored if (_root(line), i) not in self._given}
        missing = {
            identity
            for identity in unknown
            if self._asked.get((line.name, identity)) != tip.sequence
            and self._refused[line.name, stable.digest, identity] < MOST_REFUSALS
        }
        has_kept = bool(missing) and line.family is not None
        keepers = self._scored(line, stable.round or 0, stable.digest) if has_kept else set[str]()
        refusing = {i for i in missing if self._refused[line.name, stable.digest, i]}
        return Served(
            number=stable.number,
            digest=stable.digest,
            missing=frozenset(missing),
            keepers=frozenset(keepers - refusing),
        )

    def may_serve(self, line: Line, *, is_settled: bool) -> bool:
        """Say whether what is stable will not move in a moment, and no round brings it.

        Args:
            line: of the nodes.
            is_settled: whether a review, or a decision that waits, cannot move it.
        """
        head, stable = line.head, line.stable
        if head is None or stable is None:
            return False
        if line.family is None:
            rounds = line.policy.rounds
            return stable.number != head.number or (rounds is not None and head.number >= rounds)
        if is_settled or head.round is None or stable.number == head.number:
            return is_settled
        return line.plan(head.round).stable != stable.digest  # somebody moved it since

    def _scored(self, line: Line, round: int, digest: str) -> set[str]:
        """Return the nodes that have scored a version, and so may still have its bytes."""
        tasks = self._ledger.tasks(line.name, round=round)
        return {
            task.identity
            for task in tasks
            if (task.kind, task.state, task.start_digest) == ("evaluate", "done", digest)
        }


def _root(line: Line) -> str:
    return line.name if line.family is None else line.family.root
