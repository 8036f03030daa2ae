"""What the quality benchmark compares: methods with their options, and the two bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

Traffic = Literal["state", "slice", "stack", "change"]
"""What a node must get: the whole state; its first r_k slots; all updates of the round before side
by side; what the round before changed, as compact as that goes."""

CENTRAL, LOCAL = "centralised", "local only"
STOPPED = "centralised, stopped"


@dataclass(frozen=True)
class Variant:
    """One row of the tables.

    Attributes:
        name: in cells and tables.
        method: of `polyrank.aggregation.METHODS`; a bound's own name for the two bounds.
        options: of the method.
        share: the state's cap as a share of the largest rank; 0: no cap.
        at_least_mean: whether the cap is never below the mean rank, as the service's default.
        caps_nodes: whether no node trains more than the state's cap.
        traffic: what a node must get.
        needs_equal: refuses nodes of unequal rank, so it runs in the equal scenario alone.
        momentum: of the server.
        server_rate: what a round's change is multiplied by.
        stops: whether the version with the lowest validation loss is taken, not the last one.
        rate: where the search for a learning rate begins.
        runs_as: the variant whose runs these are too.
        scenarios: where it runs; empty: everywhere.
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    share: float = 1 / 2
    at_least_mean: bool = True
    caps_nodes: bool = False
    traffic: Traffic = "state"
    needs_equal: bool = False
    momentum: float = 0.0
    server_rate: float = 1.0
    stops: bool = False
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
        return (*told, "nodes capped") if self.caps_nodes else told

    @property
    def is_bound(self) -> bool:
        """Whether it is no method but what methods are measured by."""
        return self.method in (CENTRAL, LOCAL)

    def state_rank(self, ranks: Sequence[int]) -> int | None:
        """Return the state's cap in a federation of nodes with these ranks."""
        if not self.share:
            return None
        least = math.ceil(fmean(ranks)) if self.at_least_mean else 1
        return max(least, math.ceil(self.share * max(ranks)))

    def node_rank(self, ranks: Sequence[int], rank: int) -> int:
        """Return what a node trains that can train `rank`."""
        cap = self.state_rank(ranks) if self.caps_nodes else None
        return rank if cap is None else min(rank, cap)


DEFAULT = "stacking"
_CLASSIFIER = ("base", "long", "spread", "skewed", "equal")
_AND_TWENTY = (*_CLASSIFIER, "twenty")
_AND_TEXTS = (*_CLASSIFIER, "texts")
_LIST = (
    Variant(CENTRAL, CENTRAL, share=1.0, rate=1e-3),
    Variant(STOPPED, CENTRAL, share=1.0, stops=True, rate=1e-3, runs_as=CENTRAL),
    Variant(DEFAULT, "stacking"),
    Variant("stacking, full rank", "stacking", share=1.0, scenarios=_AND_TWENTY),
    Variant(
        "stacking, 1/4 rank",
        "stacking",
        share=1 / 4,
        at_least_mean=False,
        scenarios=("base", "spread", "twenty"),
    ),
    Variant(
        "stacking, nodes capped",
        "stacking",
        caps_nodes=True,
        scenarios=("base", "long", "spread", "texts"),
    ),
    Variant("stacking, momentum", "stacking", momentum=0.3, scenarios=("base", "long", "twenty")),
    Variant(
        "stacking, rate 1.5", "stacking", server_rate=1.5, scenarios=("base", "long", "twenty")
    ),
    Variant("stacking, spectral", "stacking", {"start": "fresh-spectral"}, scenarios=_CLASSIFIER),
    Variant(
        "stacking, random", "stacking", {"start": "fresh-random"}, rate=2e-2, scenarios=_CLASSIFIER
    ),
    Variant(
        "flora",
        "stacking",
        {"start": "fresh-random"},
        share=0,
        traffic="stack",
        rate=2e-2,
        scenarios=_AND_TWENTY,
    ),
    Variant("fedit", "fedit", share=1.0, traffic="slice", scenarios=_AND_TEXTS),
    Variant("hetlora", "hetlora", share=1.0, traffic="slice", scenarios=_AND_TEXTS),
    Variant("flexlora", "flexlora", share=1.0, traffic="slice"),
    Variant("ffa", "ffa", share=1.0, traffic="slice", rate=8e-2, scenarios=_CLASSIFIER),
    Variant("rolora", "rolora", share=1.0, traffic="slice", rate=2e-2, scenarios=_CLASSIFIER),
    Variant("florist", "florist", share=0, traffic="change", rate=2e-2, scenarios=_CLASSIFIER),
    Variant("fedex", "fedex", share=0, traffic="stack", needs_equal=True, scenarios=("equal",)),
    Variant(LOCAL, LOCAL, share=1.0, rate=2e-3),
)
VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in _LIST}
