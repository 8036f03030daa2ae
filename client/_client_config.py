"""ClientConfig: who this node is and where it joins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ._errors import ConfigError

_ADDRESS = re.compile(r"(?P<host>[^\s:]+|\[[0-9A-Fa-f:]+\]):(?P<port>\d{1,5})\Z")


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """Settings of one node.

    Attributes:
        state_dir: this node's own folder: its key pair, finished tasks, newest adapter. One
            process at a time.
        name: what people call this node.
        max_rank: the largest LoRA rank that it trains.
        server: the federation's address, ``host:port``.
        tags: free labels, shown in the registry.
        adapters: glob patterns of the adapter lines that it joins.
        device: shown on its card.
        memory_bytes: shown on its card; None: what the machine has.
        max_adapter_bytes: refuse larger adapters.
        kept_tasks, kept_task_bytes: bounds of the cache of finished tasks, oldest out first.
        kept_versions: stable versions kept on disk for each adapter line.

    Raises:
        ConfigError: naming the setting.
    """

    state_dir: Path
    name: str
    max_rank: int
    server: str = "127.0.0.1:9092"
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    adapters: tuple[str, ...] = ("*",)
    device: str = "cpu"
    memory_bytes: int | None = None
    max_adapter_bytes: int = 4 << 30
    kept_tasks: int = 64
    kept_task_bytes: int = 8 << 30
    kept_versions: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "state_dir", Path(self.state_dir))
        object.__setattr__(self, "adapters", tuple(self.adapters))
        found = _ADDRESS.match(self.server)
        if not found or not 0 < int(found["port"]) < 65536:
            raise ConfigError(f"server is {self.server!r}: write host:port", key="server")
        if not 0 < len(self.name) <= 200:
            raise ConfigError("name must have 1 to 200 characters", key="name")
        if not self.adapters:
            raise ConfigError('adapters is empty: write ["*"] to join all', key="adapters")
        for key in ("max_rank", "max_adapter_bytes", "kept_tasks", "kept_task_bytes"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} is {getattr(self, key)}: must be at least 1", key=key)
        if self.kept_versions < 1:
            raise ConfigError("kept_versions must be at least 1", key="kept_versions")
