"""The same seeds, the same bytes: in one process, in two, and in a federation of real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._simulation import simulate
from polyrank.coordinator._simulation_node import SimulatedNode

from .federation import Federation
from .toy_node import ToyTrainer

SCRIPT = """
import json, random, sys
import numpy, torch
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._simulation import Simulation
from polyrank.coordinator._simulation_node import SimulatedNode
from toy_node import ToyTrainer

class Drawing(ToyTrainer):
    '''Trains on rows that it draws from generators which a whole process shares.'''

    def train(self, task):
        noise = torch.randn(self._x.shape) + random.random() + numpy.random.random()
        self._x, kept = self._x + 0.1 * noise, self._x
        try:
            return super().train(task)
        finally:
            self._x = kept

def run(seed):
    lines = {name: {"base_model": "toy", "rounds": 3, "min_nodes": 2, "max_nodes": 3}
             for name in ("left", "right")}
    kinds = [ToyTrainer, Drawing, ToyTrainer, Drawing]
    nodes = [SimulatedNode(f"n{i}", kind(f"n{i}", rows=10 + i), max_rank=1 + i, seed=seed)
             for i, kind in enumerate(kinds)]
    with Simulation(CoordinatorConfig.parse({"adapters": lines}), nodes[:3]) as simulation:
        def move(adapter, version):
            if (adapter, version.number) == ("left", 1):
                simulation.join(nodes[3])
            if (adapter, version.number) == ("right", 2):
                simulation.leave(nodes[1])
        simulation.on_round = move
        simulation.run()
        return sorted(f"{v.ref} {v.digest}" for name in lines
                      for v in simulation.registry.versions(name).items)

found = []
for seed in sys.argv[1:]:
    found.append(run(int(seed)))
    torch.rand(7)  # what the program draws in between is its own affair
    random.random()
print(json.dumps(found))
"""


def run_script(*seeds: str, hash_seed: str) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *seeds],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
            ),
        },
    )
    return json.loads(done.stdout)


def test_two_runs_with_the_same_seeds_give_the_same_bytes_in_one_process_and_in_two():
    first, again, other_seed = run_script("0", "0", "1", hash_seed="1")
    (elsewhere,) = run_script("0", hash_seed="2")
    assert len(first) == 8
    assert len({line.split()[1] for line in first}) == 7  # both lines begin with the same bytes
    assert first == again == elsewhere
    assert set(first) & set(other_seed) == {line for line in first if "@0" in line}


@pytest.mark.processes
def test_a_federation_of_real_processes_makes_the_bytes_of_its_simulation(tmp_path: Path):
    line = {
        "base_model": "toy",
        "rounds": 2,
        "min_nodes": 3,
        "deadline_seconds": 200,
        "training": {"steps": 4},
    }
    ranks = {"ann": 4, "bob": 2, "cyd": 1}
    nodes = [SimulatedNode(name, ToyTrainer(name), max_rank=rank) for name, rank in ranks.items()]
    with simulate(CoordinatorConfig.parse({"adapters": {"line": line}}), nodes) as done:
        simulated = {v.ref: v.digest for v in done.registry.versions("line").items}
        scores = {
            ref: sorted(
                (m.identity, m.name, m.value) for m in done.registry.metrics(ref) if m.identity
            )
            for ref in simulated
        }
    with Federation(tmp_path, {"line": line}) as federation:
        for node in nodes:
            state = tmp_path / "nodes" / node.name
            state.mkdir(parents=True)
            (state / "node.key").write_bytes(node.key.private_bytes)
        federation.start_daemon()
        for name, rank in ranks.items():
            federation.start_node(name, "--rank", str(rank))
        federation.wait_event("version_evaluated", number=2, count=3)
        with federation.registry() as registry:
            real = {v.ref: v.digest for v in registry.versions("line").items}
            for ref, expected in scores.items():
                found = [(m.identity, m.name, m.value) for m in registry.metrics(ref) if m.identity]
                assert sorted(found) == expected
    assert real == simulated
    assert len(real) == 3
