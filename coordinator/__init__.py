"""The coordinator: a daemon that runs federated rounds and answers questions about versions.

`Coordinator(config).start()` brings up the SuperLink, the round driver and the registry's gRPC
server; `polyrank up` is the same as a command. `simulate` runs a whole federation in this process,
by the same rounds. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._config import CoordinatorConfig
    from ._daemon import Coordinator
    from ._errors import (
        ConfigError,
        CoordinatorError,
        DataDirError,
        DataDirLocked,
        EngineError,
        LinkDown,
        PortBusy,
        StaleDriver,
        StoreMismatch,
    )
    from ._router import router
    from ._simulation import Simulation, simulate
    from ._simulation_driver import SimulationStuck
    from ._simulation_node import SimulatedNode
    from ._simulation_ray import RayEngine

_HOME = {
    "Coordinator": "_daemon",
    "CoordinatorConfig": "_config",
    "ConfigError": "_errors",
    "CoordinatorError": "_errors",
    "DataDirError": "_errors",
    "DataDirLocked": "_errors",
    "EngineError": "_errors",
    "LinkDown": "_errors",
    "PortBusy": "_errors",
    "StaleDriver": "_errors",
    "StoreMismatch": "_errors",
    "RayEngine": "_simulation_ray",
    "router": "_router",
    "SimulatedNode": "_simulation_node",
    "Simulation": "_simulation",
    "SimulationStuck": "_simulation_driver",
    "simulate": "_simulation",
}

__all__ = [
    "ConfigError",
    "Coordinator",
    "CoordinatorConfig",
    "CoordinatorError",
    "DataDirError",
    "DataDirLocked",
    "EngineError",
    "LinkDown",
    "PortBusy",
    "RayEngine",
    "SimulatedNode",
    "Simulation",
    "SimulationStuck",
    "StaleDriver",
    "StoreMismatch",
    "router",
    "simulate",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
