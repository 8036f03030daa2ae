"""One cell of the quality benchmark: a federation, or its bounds, in a plain loop.

No daemon and no store: in each of R rounds every node begins as the method says, trains, and the
method makes the next state; a method sees what the service would give it. The two bounds are a
centralised run (all rows in one place, the largest rank, one optimiser) and nodes that train alone.
All take as many steps of the same size over the same rows, and a learning rate that falls linearly
to zero over the whole run: by round in a federation, by step in the bounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol

from continual_data import Test
from continual_trainer import Watch
from polyrank.aggregation import (
    Adapter,
    Factors,
    Start,
    began,
    begin,
    empty,
    initial_dense,
    method,
    normalise,
    with_momentum,
)
from polyrank.client import ModelDescription, TrainResult, TrainTask
from quality_data import Partition, Scenario, Share
from quality_methods import CENTRAL, Variant
from quality_traffic import Sent, download, upload

LINE = "quality"
BATCH = 16
Scores = dict[str, Any]


class Course(Protocol):
    """A model with rows: trains shares, scores adapters."""

    description: ModelDescription

    def partition(self, scenario: Scenario, seed: int) -> Partition:
        """Deal the rows of one seed."""
        ...

    def train(self, share: Share, task: TrainTask, watch: Watch | None = None) -> TrainResult:
        """Train on a node's rows; `watch` sees the adapter after each step."""
        ...

    def score(self, adapter: Adapter, tests: Mapping[str, Test]) -> Scores:
        """Score a whole adapter: {"loss", "score" (None: has none), "domains"}."""
        ...


@dataclass(frozen=True)
class Job:
    """What a cell is run with.

    Attributes:
        course: model and rows.
        scenario: the federation.
        rate: the learning rate that the run begins with.
        seed: of the partition, version 0, starts and batches.
    """

    course: Course
    scenario: Scenario
    rate: float
    seed: int

    @property
    def rows(self) -> Partition:
        """The rows of the seed."""
        return self.course.partition(self.scenario, self.seed)

    @property
    def version_0(self) -> Adapter:
        """What all nodes begin with."""
        described = self.course.description
        return empty(described.modules, initial_dense(described.dense, self.seed))

    def task(self, start: Start, rank: int, number: int, node: int, **config: Any) -> TrainTask:
        """Return a training; batches come in an order that round and node decide."""
        seed = (self.seed * 1000 + number) * 100 + node
        return TrainTask(LINE, number, start, rank, seed, {"batch_size": BATCH, **config})


class Versions:
    """The scores of every version of a run, and the one with the lowest validation loss."""

    def __init__(self, job: Job) -> None:
        self._job, self._rows = job, job.rows
        self.curve: list[Scores] = []
        self._best = self._last = Adapter({})

    def add(self, adapter: Adapter, **more: Any) -> None:
        """Score a version on the validation rows."""
        self.curve.append({**self._job.course.score(adapter, self._rows.validation), **more})
        self._last = copied(adapter)
        if self.curve[-1]["loss"] <= min(scores["loss"] for scores in self.curve):
            self._best = self._last

    def row(self) -> dict[str, Any]:
        """Return the test scores of the last version and of the best one, and the curve."""
        test = self._job.course.score(self._last, self._rows.test)
        is_last = self._best is self._last
        stopped = test if is_last else self._job.course.score(self._best, self._rows.test)
        return {"test": test, "stopped": stopped, "curve": self.curve}


def copied(adapter: Adapter) -> Adapter:
    """Copy an adapter that is still being trained."""
    return Adapter(
        {name: Factors(pair.b.clone(), pair.a.clone()) for name, pair in adapter.factors.items()},
        {name: value.clone() for name, value in adapter.dense.items()},
    )


def run(job: Job, variant: Variant) -> dict[str, Any]:
    """Run one cell."""
    if variant.is_bound:
        return centralised(job) if variant.method == CENTRAL else local_only(job)
    return federated(job, variant)


def federated(job: Job, variant: Variant) -> dict[str, Any]:
    """Run a federation; the curve has mean traffic of a node, server time, errors of cuts too."""
    rows, state, previous = job.rows, job.version_0, None
    way = method(variant.method, **variant.options)
    versions, sent = Versions(job), Sent.version_0(state)
    cap = variant.state_rank(job.scenario.ranks)
    for number in range(job.scenario.rounds):
        starting = way.starting(number)
        downs = [download(variant, state, sent, node.rank) for node in rows.nodes]
        updates, trains = _updates(job, variant, state, starting, number)
        began_at = time.perf_counter()
        steps = with_momentum(
            updates,
            state,
            previous,
            momentum=variant.momentum,
            learning_rate=variant.server_rate,
        )
        result = way.next_state(state, steps, step=number, state_rank=cap)
        seconds = time.perf_counter() - began_at
        sent = Sent.of_round(trains, [(update, share) for _, update, share in updates],
                             (state, result.adapter))  # fmt: skip
        previous, state = state, result.adapter
        versions.add(
            state,
            up=round(fmean(upload(update, trains) for _, update, _ in updates)),
            down=round(fmean(downs)),
            server_seconds=round(seconds, 5),
            error=result.error.overall,
            rank=max(state.ranks.values()),
        )
    return versions.row()


def _updates(
    job: Job, variant: Variant, state: Adapter, starting: str, number: int
) -> tuple[list[tuple[Adapter, Adapter, float]], str]:
    """Let all nodes train; return (began, update, weight) of each, and what they trained."""
    nodes, rounds = job.rows.nodes, job.scenario.rounds
    weights = normalise([len(node.rows) for node in nodes])
    rate = job.rate * (1 - number / rounds)
    found: list[tuple[Adapter, Adapter, float]] = []
    trains = "both"
    for place, (node, weight) in enumerate(zip(nodes, weights, strict=True)):
        rank = variant.node_rank(job.scenario.ranks, node.rank)
        start = begin(state, rank, seed=job.seed * 1000 + number, start=starting)
        task = job.task(
            start,
            rank,
            number,
            place,
            learning_rate=variant.node_rate(rate, rank),
            epochs=job.scenario.passes,
            **variant.training,
        )
        update = job.course.train(node, task).adapter
        found.append((began(state, rank, starting), update, weight))
        trains = start.trains
    return found, trains


def centralised(job: Job) -> dict[str, Any]:
    """Train on all rows in one place, with one optimiser; a version after each round's passes."""
    scenario, versions = job.scenario, Versions(job)
    union = job.rows.union
    steps = math.ceil(len(union.rows) * scenario.passes * scenario.rounds / BATCH)
    marks = [round(steps * (number + 1) / scenario.rounds) for number in range(scenario.rounds)]

    def watch(done: int, adapter: Callable[[], Adapter]) -> None:
        if done in marks:
            versions.add(adapter())

    _alone(job, union, watch=watch)
    return versions.row()


def local_only(job: Job) -> dict[str, Any]:
    """Train each node alone; scores are means over nodes, on all domains and on each one's own."""
    rows = job.rows
    validated: list[Scores] = []
    tested: list[Scores] = []
    for place, node in enumerate(rows.nodes):
        adapter = _alone(job, node, place=place)
        validated.append(job.course.score(adapter, rows.validation))
        tested.append(job.course.score(adapter, rows.test))
    own = [score["domains"][node.domain] for score, node in zip(tested, rows.nodes, strict=True)]
    test = _mean(tested)
    return {"test": test, "stopped": test, "own": own, "curve": [_mean(validated)]}


def _alone(job: Job, share: Share, *, place: int = 0, watch: Watch | None = None) -> Adapter:
    scenario = job.scenario
    start = begin(job.version_0, share.rank, seed=job.seed * 1000, start="warm")
    passes = scenario.passes * scenario.rounds
    config = {"learning_rate": job.rate, "epochs": passes, "schedule": "linear"}
    task = job.task(start, share.rank, 0, place, **config)
    return job.course.train(share, task, watch).adapter


def _mean(scores: Sequence[Scores]) -> Scores:
    scored = [score["score"] for score in scores]
    domains = {
        domain: {
            key: None if value is None else fmean(score["domains"][domain][key] for score in scores)
            for key, value in found.items()
        }
        for domain, found in scores[0]["domains"].items()
    }
    return {
        "loss": fmean(score["loss"] for score in scores),
        "score": None if None in scored else fmean(scored),
        "domains": domains,
    }
