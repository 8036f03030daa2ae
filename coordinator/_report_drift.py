"""The drift statistics on record, against their thresholds: nodes by reviews. Pure."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ..store import AdaptationPolicy, NodeEvidence
from ._report_records import Recorded

MAX_ROWS: Final = 60
Test = Literal["harm", "novelty", "prior", "none"]


@dataclass(frozen=True)
class Cell:
    """One listed window.

    Attributes:
        ratio: the largest of the z values, each over its threshold.
        test: the one that is the largest; "none" if no value is on record.
        is_uninformed: the loss is above that of knowing nothing.
        node: the numbers.
    """

    review: int
    ratio: float
    test: Test
    is_uninformed: bool
    node: NodeEvidence

    @property
    def level(self) -> int:
        """0: below every threshold; 1: up to twice, 2: up to four times, 3: beyond."""
        return sum(self.ratio > limit for limit in (1, 2, 4))


@dataclass(frozen=True)
class Row:
    """One node; or the strongest window of several in each review, when `count` is above 1."""

    identity: str
    cells: tuple[Cell, ...]
    count: int = 1


@dataclass(frozen=True)
class Drift:
    """The rows, by first alarm; `others` sums up the nodes that have no row of their own.

    `silent` nodes were never listed; `windows` is how many windows each review had.
    """

    rows: tuple[Row, ...]
    others: Row | None
    silent: int
    windows: Mapping[int, int]


def drift(recorded: Recorded) -> Drift:
    """Return what reviews listed of each node."""
    cells: dict[str, list[Cell]] = defaultdict(list)
    windows: dict[int, int] = {}
    for look in recorded.reviews:
        for node in look.review.nodes:
            cells[node.identity].append(_cell(look.review.number, node, look.policy))
        windows[look.review.number] = len(look.review.nodes) + sum(look.review.quiet.values())
    rows = [Row(identity, tuple(found)) for identity, found in cells.items()]
    rows.sort(key=_strength, reverse=True)
    shown, rest = rows[:MAX_ROWS], rows[MAX_ROWS:]
    known = {record.identity for record in recorded.assignments} | cells.keys()
    return Drift(
        tuple(sorted(shown, key=_first_alarm)),
        _summed_up(rest) if rest else None,
        len(known) - len(cells),
        windows,
    )


def _cell(review: int, node: NodeEvidence, policy: AdaptationPolicy) -> Cell:
    values: list[tuple[Test, float | None, float]] = [
        ("harm", node.harm_z, policy.z_loss),
        ("novelty", node.novelty_z, policy.z_novelty),
        ("prior", node.prior_z, policy.z_prior),
    ]
    ratios: list[tuple[float, Test]] = [
        (_ratio(z, threshold), test) for test, z, threshold in values if z is not None
    ]
    ratio, test = max(ratios, key=lambda pair: pair[0], default=(0.0, "none"))
    uninformed = node.uninformed_loss is not None and node.loss > node.uninformed_loss
    return Cell(review, ratio, test, uninformed, node)


def _ratio(z: float, threshold: float) -> float:
    if threshold > 0:
        return z / threshold
    return math.inf if z > 0 else 0.0


def _strength(row: Row) -> tuple[float, int, str]:
    return max(cell.ratio for cell in row.cells), len(row.cells), row.identity


def _first_alarm(row: Row) -> tuple[int, float, str]:
    loud = [cell.review for cell in row.cells if cell.level]
    return min(loud, default=sys.maxsize), -_strength(row)[0], row.identity


def _summed_up(rows: Sequence[Row]) -> Row:
    strongest: dict[int, Cell] = {}
    for cell in (cell for row in rows for cell in row.cells):
        known = strongest.get(cell.review)
        if known is None or cell.ratio > known.ratio:
            strongest[cell.review] = cell
    return Row("", tuple(strongest[review] for review in sorted(strongest)), len(rows))
