"""Nodes serve what is stable: after the last round, a rollback, a move; and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polyrank.client._latest import LatestAdapters
from polyrank.client._protocol import TaskEnvelope
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Ledger, open_ledger

from .family_world import NAMES, World
from .toy_stream import ToyStream


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


class ServedNode(SimulatedNode):
    """A node with a folder, that remembers what it was asked to serve and with how many bytes."""

    def __init__(self, name: str, trainer: ToyStream, folder: Path) -> None:
        super().__init__(name, trainer, max_rank=4, folder=folder / name)
        self.folder = folder / name
        self.offers: list[tuple[str, int, int]] = []

    def answer(self, incoming: Any) -> Any:
        task = TaskEnvelope.from_bytes(incoming.envelope)
        if "serve" in task.config:
            self.offers.append((task.adapter, task.start_number, len(incoming.blob)))
        return super().answer(incoming)

    def serves(self, line: str | None = "line") -> int:
        return int(LatestAdapters(self.folder).path(line).name.partition("-")[0])


class ServedWorld(World):
    def __init__(self, ledger: Ledger, folder: Path, *, rounds: int = 3, mode: str = "act") -> None:
        super().__init__(ledger, mode)
        lines = {
            n: x.model_copy(update={"rounds": rounds}) for n, x in self.config.adapters.items()
        }
        self.config = self.config.model_copy(update={"adapters": lines})
        self.folder = folder
        self.nodes = {n: ServedNode(n, self.streams[n], folder) for n in NAMES}
        self.restart()

    def rest(self) -> None:
        self.simulation.clock.advance(1.0)
        self.simulation.run()

    def serving(self) -> set[int]:
        return {node.serves() for node in self.nodes.values()}  # type: ignore[attr-defined]

    def offers(self) -> list[tuple[str, int, int]]:
        """Return what nodes were offered since the last call."""
        found = [offer for node in self.nodes.values() for offer in node.offers]  # type: ignore[attr-defined]
        for node in self.nodes.values():
            node.offers.clear()  # type: ignore[attr-defined]
        return found


def test_training_brings_the_stable_version_and_only_the_last_one_is_offered_without_bytes(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = ServedWorld(ledger, tmp_path)
    world.review(3)
    world.simulation.run(until=lambda: world.reviews == 3 and world.serving() == {2})
    assert world.offers() == [], "they got it with their training"
    world.rest()
    assert ledger.registry.version("line@stable").number == 3
    assert world.serving() == {3}
    assert world.offers() == [("line", 3, 0)] * 6
    world.rest()
    assert world.offers() == [], "once is enough"


@pytest.mark.parametrize("mode", ["off", "act"])
def test_an_operators_rollback_reaches_the_nodes_and_so_does_going_forward_again(
    ledger: Ledger, tmp_path: Path, mode: str
) -> None:
    world = ServedWorld(ledger, tmp_path, mode=mode)
    world.rest()
    assert world.serving() == {3}
    world.offers()
    ledger.registry.rollback("line", "stable", reason="worse")
    world.rest()
    assert world.serving() == {2}
    assert len(world.offers()) >= 6
    ledger.registry.set_alias("line", "stable", 3)
    world.rest()
    assert world.serving() == {3}


def test_a_node_that_joins_when_no_round_runs_is_brought_the_version(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = ServedWorld(ledger, tmp_path)
    world.rest()
    late = ServedNode("late", ToyStream("late"), tmp_path)
    world.simulation.join(late)
    world.rest()
    assert late.serves() == 3
    assert [offer[:2] for offer in late.offers] == [("line", 3)] * len(late.offers)


def test_nodes_that_have_lost_the_bytes_get_them(ledger: Ledger, tmp_path: Path) -> None:
    world = ServedWorld(ledger, tmp_path)
    world.simulation.run(until=lambda: world.reviews == 4)
    for node in world.nodes.values():
        node._desk._worker._versions._kept.clear()
    world.rest()
    assert world.serving() == {3}
    sizes = [size > 0 for _, _, size in world.offers()]
    assert (sizes.count(False), sizes.count(True)) == (6, 6)


def test_a_node_that_is_moved_serves_its_new_adapter(ledger: Ledger, tmp_path: Path) -> None:
    world = ServedWorld(ledger, tmp_path, rounds=40)
    world.split()
    world.review(2)
    ann, eve = world.nodes["ann"], world.nodes["eve"]
    assert isinstance(ann, ServedNode)
    assert isinstance(eve, ServedNode)
    assert LatestAdapters(ann.folder).path().parent.name == "line%2F2"
    assert LatestAdapters(eve.folder).path().parent.name == "line"
