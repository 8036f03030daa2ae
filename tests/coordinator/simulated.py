"""What the tests of simulations share: lines, toy nodes, and what came of them."""

from __future__ import annotations

from typing import Any

from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._simulation import Simulation
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Registry

from .toy_node import ToyTrainer


def config(**lines: dict[str, Any]) -> CoordinatorConfig:
    adapters = {name: {"base_model": "toy", **values} for name, values in lines.items()}
    return CoordinatorConfig.parse({"adapters": adapters})


def toy(name: str, rank: int = 2, *, rows: int = 12, **options: Any) -> SimulatedNode:
    return SimulatedNode(name, ToyTrainer(name, rows=rows), max_rank=rank, **options)


def digests(registry: Registry, adapter: str = "line") -> list[str]:
    found = registry.versions(adapter, limit=1000).items
    return [version.digest for version in sorted(found, key=lambda v: v.number)]


def head(simulation: Simulation, adapter: str = "line") -> int | None:
    return {line.name: line.head for line in simulation.registry.adapters()}.get(adapter)
