"""Does a new line start better from the inventory than from its seed? Quiet streams, held apart.

    python benchmarks/continual_cold_start.py

Three lines learn first, each from four nodes on a domain of its own, for eight rounds. Then a line
on the fourth domain (none of its rows were seen) makes four rounds, once from the inventory and
once from its seed, on the same windows. What counts is the loss of each of its versions on its
nodes' next windows, before they train on them.
Writes `results/continual_cold_start.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from continual_data import DOMAINS, stream
from continual_trainer import TRAINING, Ground, StreamTrainer
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._simulation import Simulation
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Ledger, open_ledger

RESULTS = Path(__file__).parent / "results" / "continual_cold_start.json"
NODES, RANK, LEARNT, ROUNDS = 4, 8, 8, 4
SEEDS = 2


def run(
    ground: Ground, ledger: Ledger, lines: dict[str, str], rounds: int, seed: int, **more: Any
) -> None:
    """Let lines (name -> domain) make their rounds, each with nodes of its own."""
    settings = {"base_model": "minilm", "rounds": rounds, "min_nodes": NODES, "state_rank": RANK,
                "seed": seed, "training": dict(TRAINING), **more}  # fmt: skip
    nodes = [
        SimulatedNode(
            f"{line}{i}",
            StreamTrainer(ground, stream("quiet", ground.pool, seed, base=domain), i),
            max_rank=RANK,
            seed=seed,
            adapters=(line,),
        )
        for line, domain in lines.items()
        for i in range(NODES)
    ]
    config = CoordinatorConfig.parse({"adapters": dict.fromkeys(lines, settings)})
    with Simulation(config, nodes, ledger=ledger) as simulation:
        simulation.run()


def losses(ground: Ground, new: str, seed: int) -> dict[str, list[float]]:
    """Return the mean loss of versions 0 to ROUNDS of a line on a new domain, for both starts."""
    found: dict[str, list[float]] = {}
    with open_ledger("memory://") as ledger:
        run(ground, ledger, {name: name for name in DOMAINS if name != new}, LEARNT, seed)
        for start in ("inventory", "seed"):  # the inventory first: the other one is not in it
            more = {"start_from": "inventory"} if start == "inventory" else {}
            run(ground, ledger, {start: new}, ROUNDS, seed, **more)
            found[start] = [
                round(
                    fmean(
                        m.value
                        for m in ledger.registry.metrics(f"{start}@{number}")
                        if m.name == "loss"
                    ),
                    4,
                )
                for number in range(ROUNDS + 1)
            ]
    return found


def main() -> None:
    """Measure each domain as the new one."""
    torch.set_num_threads(1)
    ground = Ground.load(lambda text: print(text, file=sys.stderr))
    cells: list[dict[str, Any]] = []
    for seed in range(SEEDS):
        for new in DOMAINS:
            cells.append({"new": new, "seed": seed, **losses(ground, new, seed)})
            print(cells[-1], file=sys.stderr)
    means = {
        start: [round(fmean(cell[start][n] for cell in cells), 4) for n in range(ROUNDS + 1)]
        for start in ("inventory", "seed")
    }
    command = "python benchmarks/continual_cold_start.py"
    RESULTS.write_text(json.dumps({"command": command, "mean": means, "cells": cells}, indent=1))
    print(json.dumps(means))


if __name__ == "__main__":
    main()
