"""The node's card: what it tells the coordinator about itself, and nothing about its data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ._client_config import ClientConfig
from ._protocol import Card
from ._trainer import ModelDescription

_LIBRARIES = ("polyrank", "torch", "flwr", "transformers", "peft")


def make_card(
    config: ClientConfig,
    described: ModelDescription,
    *,
    model_loads: int,
    trainings: int,
    started_at: str,
) -> Card:
    """Describe this node as it is now; the process id tells a restart from a second process."""
    memory = config.memory_bytes
    return Card(
        name=config.name,
        max_rank=config.max_rank,
        memory_bytes=_physical_memory_bytes() if memory is None else memory,
        device=config.device,
        tags=dict(config.tags),
        libraries=dict(_libraries()),
        adapters=config.adapters,
        fingerprint=described.fingerprint,
        modules={name: tuple(shape) for name, shape in described.modules.items()},
        dense={name: tuple(shape) for name, shape in described.dense.items()},
        model_loads=model_loads,
        trainings=trainings,
        process_id=os.getpid(),
        started_at=started_at,
    )


@cache
def _libraries() -> Mapping[str, str]:
    """Return the versions of what is installed: a look at many files, and the same each time."""
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _physical_memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None  # not every system tells
