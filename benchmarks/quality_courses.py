"""The models that the quality benchmark runs on: a classifier of sentiment, a language model."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any

import torch
from continual_data import Test
from continual_trainer import Draw, Watch, as_peft_trainer, train_on
from polyrank.aggregation import Adapter
from polyrank.client import ModelDescription, TrainResult, TrainTask
from polyrank.coordinator._assets_fetch import Report
from quality_data import Partition, Scenario, Share, partition
from quality_states import TopGround
from torch.nn import functional


def evenly(
    lengths: Sequence[int], labels: Sequence[int], size: int, seed: int
) -> Iterator[list[int]]:
    """Draw batches at random, the classes in each as they are in all rows."""
    del lengths
    draw = random.Random(seed)
    classes: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        classes[label].append(place)
    while True:
        for places in classes.values():
            draw.shuffle(places)
        ranked = (
            ((rank + 0.5) / len(places), label, place)
            for label, places in classes.items()
            for rank, place in enumerate(places)
        )
        order = [place for _, _, place in sorted(ranked)]
        batches = [order[begin : begin + size] for begin in range(0, len(order), size)]
        draw.shuffle(batches)
        yield from batches


class Sentiment:
    """MiniLM on four domains of sentiment: cross-entropy in nats, and balanced accuracy."""

    def __init__(self, ground: TopGround, draw: Draw = as_peft_trainer) -> None:
        self.ground, self._draw = ground, draw
        self.description: ModelDescription = ground.description

    @classmethod
    def load(cls, report: Report, *, evenly_drawn: bool = False) -> Sentiment:
        """Load everything; the first time, compute and store the states of all rows."""
        return cls(TopGround.load(report), evenly if evenly_drawn else as_peft_trainer)

    @lru_cache(maxsize=4)  # noqa: B019 (one course a process)
    def partition(self, scenario: Scenario, seed: int) -> Partition:
        """Deal the rows of one seed."""
        return partition(scenario, self.ground.pool, seed)

    def train(self, share: Share, task: TrainTask, watch: Watch | None = None) -> TrainResult:
        """Train on a node's rows."""
        return train_on(self.ground, share.rows, share.labels, task, watch=watch, draw=self._draw)

    def score(self, adapter: Adapter, tests: Mapping[str, Test]) -> dict[str, Any]:
        """Score an adapter, domains and classes alike."""
        rows = tuple(row for test in tests.values() for row in test.rows)
        logits = self.ground.logits(adapter, rows)
        domains: dict[str, dict[str, float]] = {}
        begin = 0
        for domain, test in tests.items():
            found = logits[begin : begin + len(test.rows)]
            begin += len(test.rows)
            labels = torch.tensor(test.labels)
            losses = functional.cross_entropy(found, labels, reduction="none").double()
            right = (found.argmax(1) == labels).double()
            domains[domain] = {"loss": _by_class(losses, labels), "score": _by_class(right, labels)}
        return {key: fmean(d[key] for d in domains.values()) for key in ("loss", "score")} | {
            "domains": domains
        }


def _by_class(values: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the mean of the classes' means."""
    return fmean(float(values[labels == label].mean()) for label in labels.unique())
