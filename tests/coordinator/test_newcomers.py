"""Nodes that join a family in which there is more than one adapter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from polyrank.store import Ledger, open_ledger

from .family_world import World


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


def trained(world: World, name: str) -> set[str]:
    """Return the lines that a node has trained."""
    identity = world.nodes[name].identity
    tasks = world.ledger.tasks()
    return {t.adapter for t in tasks if t.kind == "train" and t.identity == identity}


def test_a_newcomer_finds_its_adapter_before_it_trains_the_wrong_one(ledger: Ledger) -> None:
    world = World.warmed_up(ledger, merge_every=50, provisional_age=50)
    world.split()
    world.review(2)
    world.join("gil", is_flipped=True)
    world.join("hal")
    world.review(3)
    assert world.member("gil") == "line/2"
    assert world.member("hal") == "line"
    assert trained(world, "gil") == {"line/2"}
    assert trained(world, "hal") == {"line"}
    (placed,) = world.decisions("reroute")
    assert placed.payload["nodes"] == [world.nodes["gil"].identity]


def test_a_node_without_windows_is_not_kept_from_training_for_ever(ledger: Ledger) -> None:
    world = World.warmed_up(ledger, merge_every=50, provisional_age=50)
    world.split()
    world.join("gil")
    broken = world.streams["gil"].features().new_full((80, 8), float("nan"))
    world.streams["gil"].features = lambda rows=None: broken  # type: ignore[method-assign]
    world.review(4)
    assert trained(world, "gil") == {"line"}


def test_a_member_whose_nodes_are_gone_is_archived_and_who_comes_back_finds_it(
    ledger: Ledger,
) -> None:
    world = World.warmed_up(ledger, merge_every=50, provisional_age=50)
    world.split()
    world.review(2)
    for name in ("ann", "bob"):
        world.simulation.leave(world.nodes[name])

    def states() -> dict[str, str]:
        return {m.adapter: m.state for m in ledger.registry.members("line")}

    for _ in range(8):
        world.simulation.clock.advance(10.0)
        world.review()
        if states()["line/2"] == "archived":
            break
    assert states()["line/2"] == "archived"
    world.simulation.join(world.nodes["ann"])
    world.review(3)
    assert world.member("ann") == "line/2"
    assert states()["line/2"] == "active"
    assert world.member("bob") == "line/2", "it is still away, and nothing is known of it"
