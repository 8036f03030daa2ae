"""A daemon that was killed in the middle of a review waits for nodes that come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._nodes import RETURN_SECONDS
from polyrank.coordinator._simulation import Simulation
from polyrank.store import Ledger, open_ledger

from .family_world import World


@pytest.fixture
def world() -> Iterator[World]:
    """Two nodes have left for an adapter of their own and are asked whether they want to return."""
    with open_ledger("memory://") as ledger:
        world = World.warmed_up(ledger, refractory=1, provisional_age=50, merge_every=50)
        world.split()
        world.review(2)
        world.flip("ann", "bob", back=True)
        world.simulation.run(until=lambda: open_probes(ledger))
        assert len(open_probes(ledger)) == 2
        yield world


def open_probes(ledger: Ledger) -> list:
    return [task for task in ledger.tasks("line", state="open") if task.kind == "probe"]


def restart_without_bob(world: World) -> None:
    """Start a new driver whose nodes are there, but for one that has to answer."""
    there = [node for name, node in world.nodes.items() if name != "bob"]
    world.simulation = Simulation(world.config, there, ledger=world.ledger)
    registry = world.ledger.registry
    world.simulation.run(
        until=lambda: sum(n.status == "live" for n in registry.nodes()) == len(there)
    )


def test_who_is_back_a_little_late_is_moved_with_the_others(world: World) -> None:
    restart_without_bob(world)
    world.simulation.run(until=lambda: len(open_probes(world.ledger)) == 1)
    world.simulation.join(world.nodes["bob"])
    world.review()
    (back,) = world.decisions("reroute")
    assert set(back.payload["nodes"]) == {world.nodes[name].identity for name in ("ann", "bob")}


def test_who_never_comes_back_is_waited_for_that_long_and_no_longer(world: World) -> None:
    restart_without_bob(world)
    began = world.simulation.clock.elapsed_seconds
    before = world.reviews
    world.simulation.run(until=lambda: world.reviews > before)
    assert RETURN_SECONDS - 5 < world.simulation.clock.elapsed_seconds - began < RETURN_SECONDS + 5
    assert len(world.decisions("reroute")[0].payload["nodes"]) == 1


def test_an_evaluation_that_was_out_during_a_review_is_still_answered_after_a_restart() -> None:
    with open_ledger("memory://") as ledger:
        world = World(ledger)
        values = world.config.model_dump()
        values["adapters"]["line"]["quorum"] = 2  # its review waits for no sixth answer
        world.config = CoordinatorConfig.parse(values)
        world.restart()
        late = world.nodes["fay"].identity

        def asked() -> list:
            return [t for t in ledger.tasks(round=0) if t.kind == "evaluate"]

        world.simulation.run(until=lambda: len(asked()) == 6)
        there = [node for name, node in world.nodes.items() if name != "fay"]
        world.simulation = Simulation(world.config, there, ledger=ledger)
        before = dict(ledger.registry.family("line").payload["spec"])
        world.simulation.run(until=lambda: world.reviews == 1)
        assert before != ledger.registry.family("line").payload["spec"], "another question now"
        (open_one,) = [t for t in asked() if t.state == "open"]
        assert open_one.identity == late
        world.simulation.join(world.nodes["fay"])
        world.simulation.run(until=lambda: all(t.state != "open" for t in asked()))
        assert {t.state for t in asked()} == {"done"}
