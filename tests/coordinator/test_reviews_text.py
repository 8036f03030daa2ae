"""A family of language models: no classes, losses per token, held against the base model's own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from polyrank.aggregation import Adapter
from polyrank.client import Evaluation
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Ledger, Review, open_ledger

from .family_world import NAMES, WARM_UP, World
from .toy_stream import ToyStream


class ToyText(ToyStream):
    """Rows of two tokens each, in place of a class."""

    def evaluate(self, adapter: Adapter, rows: Sequence[int] | None = None) -> Evaluation:
        found = super().evaluate(adapter, rows)
        return Evaluation([2 * loss for loss in found.losses], tokens=[2] * len(found.losses))


class TextWorld(World):
    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        line = self.config.model_dump()["adapters"]["line"]
        line["continual"]["classes"] = 0
        self.config = CoordinatorConfig.parse({"adapters": {"line": line}})
        self.streams = {name: ToyText(name) for name in NAMES}
        self.nodes = {n: SimulatedNode(n, self.streams[n], max_rank=4) for n in NAMES}
        self.restart()

    def last_review(self) -> Review:
        found = [e for e in self.ledger.registry.evidence(limit=1000) if e.kind == "review"]
        return Review.from_json(found[-1].payload["review"])


def test_a_text_that_contradicts_is_severe_at_once_because_the_base_model_alone_does_better():
    with open_ledger("memory://") as ledger:
        world = TextWorld(ledger)
        world.review(WARM_UP)
        world.flip("ann", "bob")
        world.review()
        nodes = {node.identity: node for node in world.last_review().nodes}
        for name in ("ann", "bob"):
            node = nodes[world.nodes[name].identity]
            assert node.balanced_accuracy is node.chance is None
            # the toy's base gives both tokens the same odds, whatever the row
            assert node.uninformed_loss == pytest.approx(0.6931, abs=1e-4)
            assert node.loss > 0.8
        (split,) = world.decisions("expand_adapter")
        assert "worse than knowing nothing" in split.reason
        assert world.member("ann") == world.member("bob") == "line/2"
