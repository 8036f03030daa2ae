"""A federation without processes: real trainers, real ledger, one call a round.

It makes the same records as the daemon, with the same calls of the store, so that what reads them
(the demo's table, the exactness check) can be tested in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from polyrank import aggregation
from polyrank.aggregation import Adapter
from polyrank.client._metrics import metrics_of
from polyrank.client._trainer import Trainer, TrainTask
from polyrank.coordinator._demo_plan import ADAPTER
from polyrank.store import Ledger, NewTask, Version

NodeStatus = Literal["live", "gone", "refused"]


@dataclass
class SmallWorld:
    """A ledger, and trainers with their ranks, by node name (which is the identity too)."""

    ledger: Ledger
    trainers: Mapping[str, Trainer] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.epoch = self.ledger.take_epoch("test")

    def greet(self, *names: str, status: NodeStatus = "live") -> None:
        for name in names:
            self.ledger.put_node(
                name, name=name, card={}, address="1", status=status, epoch=self.epoch
            )

    def begin(self, adapter: Adapter) -> Version:
        """Publish version 0."""
        self.ledger.register_base_model("base", fingerprint="f" * 64, epoch=self.epoch)
        self.ledger.create_adapter(ADAPTER, base_model="base", epoch=self.epoch)
        return self.ledger.publish(
            ADAPTER, aggregation.encode(adapter), origin="initial", epoch=self.epoch
        )

    def open_round(self, start: int) -> int:
        """Plan and open a round with a training task for each node."""
        planned = self.ledger.plan_round(ADAPTER, plan={}, start_number=start, epoch=self.epoch)
        digest = self.ledger.registry.version(f"{ADAPTER}@{start}").digest
        for name, rank in self.ranks.items():
            task = NewTask(
                key=f"{planned.number}-{name}",
                kind="train",
                adapter=ADAPTER,
                round=planned.number,
                identity=name,
                start_digest=digest,
                config_digest="c" * 64,
                rank=rank,
            )
            self.ledger.put_task(task, epoch=self.epoch)
        self._move(planned.number, "planned", "open")
        return planned.number

    def train(self, number: int, start: int, settings: Mapping[str, object]) -> None:
        """Let each node train for an open round and keep its update."""
        state = aggregation.decode(self.ledger.registry.read(f"{ADAPTER}@{start}"))
        for name, trainer in self.trainers.items():
            rank = self.ranks[name]
            begun = aggregation.warm_start(state, rank, seed=number)
            done = trainer.train(TrainTask(ADAPTER, number, begun, rank, number, settings))
            self.accept(number, name, done.adapter, done.num_examples)

    def accept(self, number: int, name: str, update: Adapter, examples: int) -> None:
        self.ledger.accept(
            f"{number}-{name}",
            data=aggregation.encode(update),
            num_examples=examples,
            epoch=self.epoch,
        )

    def commit(self, number: int, start: int, state_rank: int) -> Version:
        """Aggregate an open round's updates into the next version."""
        registry = self.ledger.registry
        state = aggregation.decode(registry.read(f"{ADAPTER}@{start}"))
        found = self.ledger.contributions(ADAPTER, round=number, status="accepted")
        weights = aggregation.normalise([each.num_examples for each in found])
        updates = [
            (
                aggregation.leading(state, each.rank),
                aggregation.decode(self.ledger.read_blob(each.digest)),
                weight,
            )
            for each, weight in zip(found, weights, strict=True)
        ]
        result = aggregation.next_state(state, updates, state_rank=state_rank).adapter
        self._move(number, "open", "aggregating")
        return self.ledger.commit_round(
            ADAPTER,
            number,
            data=aggregation.encode(result),
            counted=[each.task_key for each in found],
            aliases=("stable",),
            epoch=self.epoch,
        )

    def evaluate(self, version: Version) -> None:
        """Let each node measure a version and record what it found."""
        adapter = aggregation.decode(self.ledger.registry.read(version.ref))
        for name, trainer in self.trainers.items():
            self.measure(version.number, name, metrics_of(trainer.evaluate(adapter)))

    def measure(self, number: int, name: str, metrics: Mapping[str, float]) -> None:
        self.ledger.record_metrics(f"{ADAPTER}@{number}", metrics, identity=name, epoch=self.epoch)

    def _move(self, number: int, expect: str, state: str) -> None:
        self.ledger.move_round(ADAPTER, number, state=state, expect=expect, epoch=self.epoch)
