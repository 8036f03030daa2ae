"""The engines of the simulator: nodes one after the other in one process, against Ray actors.

    python benchmarks/simulate_engines.py --nodes 60 --rounds 2 --json FILE

Both engines run the same nodes in one go, and must make the same bytes. `work` is the number of
gradient steps of a training: a step on these rows takes some milliseconds. Ray's start counts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
from polyrank.aggregation import Adapter, Factors
from polyrank.client import Evaluation, ModelDescription, TrainResult, TrainTask
from polyrank.coordinator import CoordinatorConfig, SimulatedNode, simulate
from torch.nn.functional import cross_entropy

DIM, ROWS = 256, 512


class Worker:
    """One layer on seeded rows, with a training that costs something."""

    model_loads = 1

    def __init__(self, seed: int, work: int) -> None:
        self.description = ModelDescription("simulate_engines", {"layer": (DIM, DIM)}, {})
        self._work = work
        generator = torch.Generator().manual_seed(seed)
        self._x = torch.randn(ROWS, DIM, generator=generator)
        self._y = self._x[:, 0].gt(0).long()

    def train(self, task: TrainTask) -> TrainResult:
        start, frozen = task.start.trainable.factors["layer"], task.start.frozen.factors["layer"]
        beneath = frozen.b @ frozen.a
        b, a = start.b.clone().requires_grad_(), start.a.clone().requires_grad_()
        loss = torch.zeros(())
        for _ in range(self._work):
            loss = self._loss(beneath + b @ a)
            grads = torch.autograd.grad(loss, (b, a))
            with torch.no_grad():
                b -= 0.1 * grads[0]
                a -= 0.1 * grads[1]
        done = Adapter({"layer": Factors(b.detach(), a.detach())})
        return TrainResult(done, ROWS, {"loss": loss.item()})

    def evaluate(self, adapter: Adapter, rows: object = None) -> Evaluation:
        factors = adapter.factors["layer"]
        logits = self._logits(factors.b @ factors.a)
        losses = cross_entropy(logits, self._y, reduction="none")
        return Evaluation(losses.tolist(), (logits.argmax(1) == self._y).tolist(), self._y.tolist())

    def _logits(self, delta: torch.Tensor) -> torch.Tensor:
        return (self._x + torch.tanh(self._x @ delta.T))[:, :2]

    def _loss(self, delta: torch.Tensor) -> torch.Tensor:
        return cross_entropy(self._logits(delta), self._y)


def measure(engine: str, nodes: int, rounds: int, work: int) -> tuple[float, list[str]]:
    """Return the seconds of a simulation, and the digests of its versions."""
    line = {"base_model": "bench", "rounds": rounds, "min_nodes": nodes}
    config = CoordinatorConfig.parse({"adapters": {"line": line}})
    there = [SimulatedNode(f"n{i}", Worker(i, work), max_rank=4) for i in range(nodes)]
    began = time.perf_counter()
    with simulate(config, there, engine=engine) as done:
        digests = [version.digest for version in done.registry.versions("line", limit=1000).items]
    return time.perf_counter() - began, digests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seconds: dict[str, float] = {}
    made: dict[str, list[str]] = {}
    for engine in ("in-process", "ray"):
        seconds[engine], made[engine] = measure(engine, given.nodes, given.rounds, given.work)
        print(f"{engine:<12} {seconds[engine]:7.1f} s", flush=True)
    assert made["in-process"] == made["ray"], "the engines make other bytes"
    found = {
        "nodes": given.nodes,
        "rounds": given.rounds,
        "work": given.work,
        "cores": os.cpu_count(),
        "load": [round(each, 1) for each in os.getloadavg()],
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "ratio": round(seconds["ray"] / seconds["in-process"], 3),
        "same_bytes": True,
    }
    print(f"ray / in-process: {found['ratio']:.2f}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
