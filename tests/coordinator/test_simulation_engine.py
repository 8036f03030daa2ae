"""What a simulation asks of its engine, and nodes that move; without Ray."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from polyrank.client._wire import Failure, Incoming
from polyrank.coordinator import ConfigError, CoordinatorConfig, EngineError, _flower_ray
from polyrank.coordinator._simulation import Simulation, simulate
from polyrank.coordinator._simulation_engine import InProcess
from polyrank.coordinator._simulation_node import SimulatedNode

from .toy_node import ToyTrainer


def config(rounds: int = 2) -> CoordinatorConfig:
    line = {"base_model": "toy", "rounds": rounds, "min_nodes": 3}
    return CoordinatorConfig.parse({"adapters": {"line": line}})


def toy(name: str, **options: Any) -> SimulatedNode:
    return SimulatedNode(name, ToyTrainer(name), **{"max_rank": 2, **options})


def digests(simulation: Simulation) -> list[str]:
    found = simulation.registry.versions("line").items
    return [v.digest for v in sorted(found, key=lambda v: v.number)]


class Eager(InProcess):
    """Answers as soon as it may, the last message first: an order that no driver would take."""

    def __init__(self) -> None:
        self.waiting: list[tuple[SimulatedNode, Incoming]] = []
        self.made: dict[str, Incoming | Failure] = {}
        self.calls: list[str] = []

    def begin(self, node: SimulatedNode, message: Incoming) -> None:
        if message.message_id not in self.made:
            self.waiting.append((node, message))

    def answer(self, node: SimulatedNode, message: Incoming) -> Incoming | Failure:
        while self.waiting:
            other, asked = self.waiting.pop()
            self.made[asked.message_id] = super().answer(other, asked)
            self.calls.append(other.name)
        return self.made[message.message_id]

    def forget(self, message_id: str) -> None:
        self.made.pop(message_id, None)

    def close(self) -> None:
        self.calls.append("closed")


def test_the_order_in_which_nodes_work_does_not_matter_and_nothing_is_kept():
    names = ("ann", "bob", "cyd")
    with simulate(config(), map(toy, names)) as here:
        expected = digests(here)
    engine = Eager()
    with simulate(config(), map(toy, names), engine=engine) as there:
        assert digests(there) == expected
        assert engine.calls[:3] != sorted(engine.calls[:3])
        assert engine.made == {}
        assert engine.calls[-1] != "closed"
    assert engine.calls[-1] == "closed"


def test_an_engine_is_closed_when_a_simulation_cannot_start():
    engine = Eager()
    with pytest.raises(ConfigError, match="two nodes are called 'ann'"):
        Simulation(config(), [toy("ann"), toy("ann")], engine=engine)
    assert engine.calls == ["closed"]


def test_an_engine_of_another_name_is_refused():
    with pytest.raises(ConfigError, match=r"no engine is called 'rya': use one of in-process, ray"):
        Simulation(config(), engine="rya")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_flower_ray, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install polyrank\[ray\]"):
        Simulation(config(), engine="ray")


def test_apply_reaches_a_trainer_on_the_nodes_own_generators():
    import torch

    def draw(trainer: ToyTrainer) -> float:
        return float(torch.rand(()))

    ann, same = toy("ann"), toy("ann")
    with Simulation(config(), [ann]) as simulation:
        torch.manual_seed(3)
        expected = float(torch.rand(()))
        torch.manual_seed(3)
        drawn = [simulation.apply(ann, draw) for _ in range(2)]
        assert float(torch.rand(())) == expected
        assert simulation.apply(ann, lambda trainer: trainer.num_rows) == 12
    assert drawn == [same.apply(draw), same.apply(draw)]
    assert drawn[0] != drawn[1]


# --------------------------------------------------------------------- nodes that move
def test_a_node_travels_as_what_it_was_made_of():
    node = toy(
        "ann", max_rank=3, seed=7, tags={"site": "north"}, adapters=("a/*",), device="cuda",
        memory_bytes=5, max_adapter_bytes=1 << 20,
    )  # fmt: skip
    there = pickle.loads(pickle.dumps(node))
    assert there.identity == node.identity
    assert there.config == node.config
    assert there.trainer.num_rows == 12


def test_nodes_that_travel_together_go_on_sharing_their_model():
    shared = ToyTrainer("ann")
    nodes = [SimulatedNode(name, shared, max_rank=2) for name in ("ann", "bob")]
    ann, bob = pickle.loads(pickle.dumps(nodes))
    assert ann.trainer is bob.trainer


def test_a_node_that_has_worked_does_not_travel():
    node = toy("ann")
    with simulate(config(), [node, toy("bob"), toy("cyd")]):
        pass
    with pytest.raises(EngineError, match="node 'ann' has worked in this process"):
        pickle.dumps(node)


@pytest.mark.parametrize(
    "act",
    [
        lambda node: node.trainer,
        lambda node: node.card,
        lambda node: node.answer(None),
        lambda node: node.apply(print),
        pickle.dumps,
        lambda node: Simulation(config(), [node]),
    ],
)
def test_a_node_that_has_moved_is_not_used_here_any_more(act: Callable[[SimulatedNode], Any]):
    node = toy("ann")
    node.move_away("a Ray actor")
    with pytest.raises(EngineError, match=r"node 'ann' lives in a Ray actor now.*Simulation.apply"):
        act(node)
    assert node.name == "ann"
