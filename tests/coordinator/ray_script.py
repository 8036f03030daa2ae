"""Run in a process of its own by test_simulation_ray.py: simulations in Ray actors, and here.

Prints one JSON object a line; then trains for ever, in a Ray actor, until Ctrl-C.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from typing import Any

import numpy as np
import torch
from polyrank.coordinator import CoordinatorConfig, EngineError, SimulatedNode, Simulation
from polyrank.coordinator._flower_ray import ray_running
from polyrank.store import Registry

from .toy_stream import ToyStream

LINE = {"base_model": "toy", "rounds": 8, "min_nodes": 4, "deadline_seconds": 60,
        "training": {"steps": 15, "learning_rate": 0.5},
        "continual": {"mode": "act", "policy": {"base_windows": 3, "z_novelty": 4.0}}}  # fmt: skip
NAMES = ("ann", "bob", "cid", "dan", "eve", "fay")
FLIPPED = ("ann", "bob")


class Drawing(ToyStream):
    """Draws from the generators that a process shares, and is slower or faster by chance."""

    def train(self, task: Any) -> Any:
        noise = float(torch.rand(())) + random.random() + np.random.random()
        time.sleep(0.01 * (os.getpid() % 2))
        self._x = self._x + 0.01 * noise
        return super().train(task)


class Failing(Drawing):
    """Cannot train in the second round."""

    def train(self, task: Any) -> Any:
        if task.round == 2:
            raise ValueError("no such column: text")
        return super().train(task)


class Sleeping(ToyStream):
    """Says where it is, and trains for ever."""

    def train(self, task: Any) -> Any:
        while True:
            time.sleep(0.1)


def config(**line: Any) -> CoordinatorConfig:
    return CoordinatorConfig.parse({"adapters": {"line": {**LINE, **line}}})


def nodes() -> dict[str, SimulatedNode]:
    kinds = {"cid": Failing, "dan": ToyStream}
    return {n: SimulatedNode(n, kinds.get(n, Drawing)(n), max_rank=4) for n in NAMES}


def made(registry: Registry) -> dict[str, Any]:
    """All that a simulation decides."""
    found: dict[str, Any] = {}
    for line in registry.adapters():
        for version in registry.versions(line.name, limit=1000).items:
            found[version.ref] = version.digest
        found[f"{line.name}: contributions"] = sorted(
            (c.round, c.identity, c.status, c.reason, c.counted_in)
            for c in registry.contributions(line.name)
        )
    found["decisions"] = [json.dumps(d.payload, sort_keys=True) for d in registry.decisions()]
    found["kinds"] = sorted({d.kind for d in registry.decisions()})
    found["assigned"] = sorted((a.identity, a.adapter) for a in registry.assignments("line"))
    return found


def run(engine: str) -> dict[str, Any]:
    there = nodes()
    with Simulation(config(), [there[n] for n in NAMES[:5]], engine=engine) as simulation:

        def move(adapter: str, version: Any) -> None:
            if (adapter, version.number) == ("line", 2):
                simulation.join(there["fay"])
            if (adapter, version.number) == ("line", 5):
                for name in FLIPPED:
                    simulation.apply(there[name], lambda stream: stream.drift(is_flipped=True))
            if (adapter, version.number) == ("line", 7):
                simulation.leave(there["eve"])

        simulation.on_round = move
        simulation.run()
        found = made(simulation.registry)
        found["windows"] = {
            name: simulation.apply(there[name], lambda stream: stream.window) for name in NAMES
        }
        if engine == "ray":
            places = {simulation.apply(node, lambda _: os.getpid()) for node in there.values()}
            found["is_elsewhere"] = os.getpid() not in places
            found["refusals"] = refusals(simulation, there["ann"])
    return found


def refusals(simulation: Simulation, node: SimulatedNode) -> list[str]:
    """What a user is told who does what cannot be done."""
    worked, held = SimulatedNode("gus", ToyStream("gus"), max_rank=4), ToyStream("hal")
    worked.apply(lambda _: None)
    held.__dict__["lock"] = lock = threading.Lock()
    kept = SimulatedNode("hal", held, max_rank=4)
    found: list[str] = []
    for act in (
        lambda: node.trainer,
        lambda: Simulation(config(), [node]),
        lambda: asked(simulation, worked),
        lambda: asked(simulation, kept),
        lambda: simulation.apply(node, lambda stream: stream.no_such_thing),
        lambda: simulation.apply(node, lambda _: lock.locked()),
        lambda: simulation.apply(node, lambda _: os._exit(3)),
    ):
        try:
            act()
            found.append("")
        except (EngineError, AttributeError) as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


def asked(simulation: Simulation, node: SimulatedNode) -> None:
    """Join a node that cannot move, have something asked of it, and leave."""
    simulation.join(node)
    try:
        simulation.apply(node, lambda _: None)
    finally:
        simulation.leave(node)


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_AUTH_TOKEN")}
    handler = signal.getsignal(signal.SIGTERM)
    say(here=run("in-process"))
    with ray_running(torch.get_num_threads()):
        say(there=run("ray"))
        say(again=run("ray"))
        with Simulation(config(), engine="ray") as simulation:
            for name in NAMES[:4]:
                simulation.join(SimulatedNode(name, Sleeping(name), max_rank=2))
            simulation.on_progress = lambda progress: say(answers=progress.answers)
            try:
                simulation.run()
            except KeyboardInterrupt:
                say(stopped=True)
    say(
        as_before=before == {name: os.environ.get(name) for name in before}
        and signal.getsignal(signal.SIGTERM) is handler
    )


if __name__ == "__main__":
    main()
