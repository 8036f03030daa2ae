"""Merging two members: the exact weighted stack of their states, cut back to their rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..aggregation import Limits, decode, encode, normalise, profile, spectral, stack
from ..store import Ledger, Parent, Version


@dataclass(frozen=True)
class Merged:
    """A merge: its bytes, what was measured of it, the parents with their weights.

    Of the metrics, `num_examples` are those of both sides, for a later merge's weights.
    """

    data: bytes
    profile: dict[str, Any]
    parents: tuple[Parent, Parent]
    metrics: dict[str, float]


def merge(ledger: Ledger, keep: Version, absorb: Version, *, limits: Limits) -> Merged:
    """Compute w_1 S_1 + w_2 S_2, weighted by the examples that the last rounds counted.

    Rank: the larger of the two (Eckart-Young); `discarded` is the relative error of the cut.
    """
    pair = (keep, absorb)
    examples = [max(v.metrics.get("num_examples", 1.0), 1.0) for v in pair]
    weights = normalise(examples)
    states = [decode(bytearray(ledger.registry.read(v.ref)), limits) for v in pair]
    stacked = stack(list(zip(states, weights, strict=True)))
    cut = spectral(stacked, max(keep.rank, absorb.rank, 1))
    parents = (
        Parent(adapter=keep.adapter, number=keep.number, weight=weights[0], role="merge"),
        Parent(adapter=absorb.adapter, number=absorb.number, weight=weights[1], role="merge"),
    )
    metrics = {"discarded": cut.error.overall, "num_examples": sum(examples)}
    return Merged(encode(cut.adapter), profile(cut.adapter).to_json(), parents, metrics)
