"""What the quality benchmark compares: methods with their options, and the two bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from polyrank.coordinator._plans import usual_state_rank

Traffic = Literal["state", "slice", "stack", "change"]
"""What a node must get: the whole state; its first r_k slots; all updates of the round before side
by side; what the round before changed, as compact as that goes."""

CENTRAL, LOCAL = "centralised", "local only"
STOPPED = "centralised, stopped"
EVEN, CENTRAL_EVEN = "stacking, even", "centralised, even"


@dataclass(frozen=True)
class Variant:
    """One row of the tables.

    Attributes:
        name: in cells and tables.
        method: of `polyrank.aggregation.METHODS`; a bound's own name for the two bounds.
        options: of the method.
        share: the state's cap as a share of the largest rank, or their "mean"; 0: no cap.
        caps_nodes: whether no node trains more than the state's cap, as the service's default.
        rate_by_rank: whether a node of rank r trains at sqrt(8 / r) of the learning rate.
        traffic: what a node must get.
        needs_equal: refuses nodes of unequal rank, so it runs in the equal scenario alone.
        momentum: of the server.
        server_rate: what a round's change is multiplied by.
        evenly_drawn: whether batches are random with the classes in proportion, not rows of like
            length together as PeftTrainer draws them.
        stops: whether the version with the lowest validation loss is taken, not the last one.
        training: settings of the nodes' trainings, beside what all have.
        rate: where the search for a learning rate begins.
        runs_as: the variant whose runs these are too.
        scenarios: where it runs; empty: everywhere.
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    share: float | Literal["mean"] = 1.0
    caps_nodes: bool = False
    rate_by_rank: bool = False
    traffic: Traffic = "state"
    needs_equal: bool = False
    momentum: float = 0.0
    server_rate: float = 1.0
    evenly_drawn: bool = False
    stops: bool = False
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rate: float = 1e-2
    runs_as: str = ""
    scenarios: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """The name that runs are kept under."""
        return self.runs_as or self.name

    @property
    def made_of(self) -> tuple[object, ...]:
        """What a run's outcome follows from, beside the scenario."""
        told = (self.method, dict(self.options), self.share, self.traffic, self.momentum)
        told = told if self.server_rate == 1.0 else (*told, self.server_rate)
        told = (*told, dict(self.training)) if self.training else told
        told = (*told, "evenly drawn") if self.evenly_drawn else told
        told = (*told, "rate by rank") if self.rate_by_rank else told
        return (*told, "nodes capped") if self.caps_nodes else told

    @property
    def is_bound(self) -> bool:
        """Whether it is no method but what methods are measured by."""
        return self.method in (CENTRAL, LOCAL)

    def state_rank(self, ranks: Sequence[int]) -> int | None:
        """Return the state's cap in a federation of nodes with these ranks."""
        if self.share == "mean":
            return usual_state_rank("stacking", ranks, max(ranks))
        return math.ceil(self.share * max(ranks)) if self.share else None

    def node_rank(self, ranks: Sequence[int], rank: int) -> int:
        """Return what a node trains that can train `rank`."""
        cap = self.state_rank(ranks) if self.caps_nodes else None
        return rank if cap is None else min(rank, cap)

    def node_rate(self, rate: float, rank: int) -> float:
        """Return the learning rate of a node that trains `rank`."""
        return rate * math.sqrt(8 / rank) if self.rate_by_rank else rate


DEFAULT = "stacking"
_CLASSIFIER = ("base", "long", "spread", "skewed", "equal")
_AND_TWENTY = (*_CLASSIFIER, "twenty")
_EVEN = ("base", "twenty")
_RESTARTED = ("base", "spread", "skewed")
_AND_TEXTS = (*_CLASSIFIER, "texts")


def _ours(name: str, **more: Any) -> Variant:
    """Return the default method, or a variant of it."""
    return Variant(name, "stacking", **{"share": "mean", "caps_nodes": True, **more})


_LIST = (
    Variant(CENTRAL, CENTRAL, rate=1e-3),
    Variant(STOPPED, CENTRAL, stops=True, rate=1e-3, runs_as=CENTRAL),
    Variant(CENTRAL_EVEN, CENTRAL, evenly_drawn=True, rate=1e-3, scenarios=_EVEN),
    _ours(DEFAULT),
    _ours("stacking, by rank", rate_by_rank=True, scenarios=("base", "spread")),
    _ours("stacking, 1/2 rank", share=1 / 2, scenarios=("base", "spread")),
    _ours("stacking, uncapped", share=1 / 2, caps_nodes=False, scenarios=("base", "spread")),
    _ours("stacking, full rank", share=1.0, caps_nodes=False, scenarios=("base", "spread")),
    _ours("1/2 rank, by rank", share=1 / 2, rate_by_rank=True, scenarios=("base", "spread")),
    _ours("1/2 rank, momentum", share=1 / 2, momentum=0.3, scenarios=("base",)),
    _ours("1/2 rank, rate 1.5", share=1 / 2, server_rate=1.5, scenarios=("base",)),
    _ours("stacking, momentum", momentum=0.3, scenarios=("twenty",)),
    _ours("stacking, rate 1.5", server_rate=1.5, scenarios=("twenty",)),
    _ours("stacking, balanced", training={"class_balance": True}, scenarios=("skewed",)),
    _ours(EVEN, evenly_drawn=True, scenarios=_EVEN),
    _ours("stacking, spectral", options={"start": "fresh-spectral"}, scenarios=_RESTARTED),
    _ours("stacking, random", options={"start": "fresh-random"}, rate=2e-2, scenarios=_RESTARTED),
    Variant(
        "flora",
        "stacking",
        {"start": "fresh-random"},
        share=0,
        traffic="stack",
        rate=2e-2,
        scenarios=_AND_TWENTY,
    ),
    Variant("fedit", "fedit", traffic="slice", scenarios=_AND_TEXTS),
    Variant("hetlora", "hetlora", traffic="slice", scenarios=_AND_TEXTS),
    Variant("flexlora", "flexlora", traffic="slice"),
    Variant("ffa", "ffa", traffic="slice", rate=8e-2, scenarios=_CLASSIFIER),
    Variant("rolora", "rolora", traffic="slice", rate=2e-2, scenarios=_CLASSIFIER),
    Variant("florist", "florist", share=0, traffic="change", rate=2e-2, scenarios=_CLASSIFIER),
    Variant("fedex", "fedex", share=0, traffic="stack", needs_equal=True, scenarios=("equal",)),
    Variant(LOCAL, LOCAL, rate=2e-3),
)
VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in _LIST}
