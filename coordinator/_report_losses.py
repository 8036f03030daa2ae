"""How each member does, review by review: the mean over its nodes, and each node. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..store import MetricRecord
from ._report_records import Recorded, evaluated

_PREFERRED: Final = ("loss", "balanced_accuracy", "accuracy")
_ROWS: Final = "num_examples"


@dataclass(frozen=True)
class Point:
    """A member's newest version in one review; `mean` is weighted by the nodes' rows.

    `is_held` says that its gate held it: it was not served.
    """

    review: int
    version: int
    mean: float
    by_node: Mapping[str, float]
    is_held: bool = False

    @property
    def low(self) -> float:
        """The smallest value of a node."""
        return min(self.by_node.values())

    @property
    def high(self) -> float:
        """The largest value of a node."""
        return max(self.by_node.values())


@dataclass(frozen=True)
class Losses:
    """One metric over time: member -> points, members without a point left out."""

    metric: str
    points: Mapping[str, tuple[Point, ...]]

    @property
    def unit(self) -> str:
        """What it is measured in."""
        return "nats per row" if self.metric == "loss" else "0 to 1"

    @property
    def name(self) -> str:
        """The metric in words."""
        return self.metric.replace("_", " ")


def losses(recorded: Recorded) -> Losses:
    """Return the loss of each member over the reviews, or else what its nodes measured instead."""
    metric = _metric(recorded.measured)
    points: dict[str, list[Point]] = defaultdict(list)
    held = {d.subject for d in recorded.decisions if d.kind == "hold"}
    for review, adapter, version in evaluated(recorded.reviews):
        values, rows = _newest(recorded.measured.get(f"{adapter}@{version}", ()), metric)
        if values:
            total = sum(rows[identity] for identity in values)
            mean = sum(value * rows[identity] for identity, value in values.items()) / total
            is_held = f"{adapter}@{version}" in held
            points[adapter].append(Point(review, version, mean, values, is_held))
    return Losses(metric, {name: tuple(points[name]) for name in recorded.places if name in points})


def _metric(measured: Mapping[str, Sequence[MetricRecord]]) -> str:
    counts = Counter(m.name for records in measured.values() for m in records)
    del counts[_ROWS]
    for name in _PREFERRED:
        if counts[name]:
            return name
    return min(counts, key=lambda name: (-counts[name], name), default="loss")


def _newest(
    records: Sequence[MetricRecord], metric: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Return each node's newest value, and its rows (1 where they are not known)."""
    found = {m.identity or "": m.value for m in records if m.name == metric}
    rows = {m.identity or "": m.value for m in records if m.name == _ROWS and m.value > 0}
    return found, {identity: rows.get(identity, 1.0) for identity in found}
