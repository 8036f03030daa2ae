"""What a node keeps on its disk, kept in memory instead: its state, finished tasks, adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..aggregation import Adapter
from ..client._latest import LatestAdapters, VersionInfo
from ..client._protocol import KeyPair, ReplyEnvelope
from ..client._state import NodeState
from ..client._task_cache import TaskCache
from ..client._work import Blob


class MemoryState(NodeState):
    """A node's state without a directory: its key pair and how much it has trained."""

    def __init__(self, key: KeyPair, path: Path) -> None:
        self.path = path
        self.key = key
        self.starts = 1
        self.trainings = 0
        self._lock = -1

    def count_training(self, trainings: int) -> None:
        """Keep the larger count."""
        self.trainings = max(self.trainings, trainings)


class MemoryTaskCache(TaskCache):
    """Finished replies by task key; the oldest make room as they do on a disk."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._kept: dict[str, tuple[ReplyEnvelope, Blob]] = {}

    def put(self, reply: ReplyEnvelope, blob: Blob) -> None:
        """Keep a reply."""
        self._kept.pop(reply.task_key, None)
        self._kept[reply.task_key] = (reply, blob)
        total = sum(len(data) for _, data in self._kept.values())
        while len(self._kept) > 1 and (
            len(self._kept) > self._max_entries or total > self._max_bytes
        ):
            total -= len(self._kept.pop(next(iter(self._kept)))[1])

    def get(self, task_key: str) -> tuple[ReplyEnvelope, memoryview] | None:
        """Return a kept reply and its blob, or None."""
        found = self._kept.get(task_key)
        return None if found is None else (found[0], memoryview(found[1]))

    def trainings(self) -> int:
        """Return the largest count of trainings in any kept reply."""
        return max((reply.trainings for reply, _ in self._kept.values()), default=0)


class NoAdapters(LatestAdapters):
    """Takes stable versions and writes none of them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._nowhere = folder

    def write(self, adapter: Adapter, info: VersionInfo, *, options: Mapping[str, Any]) -> Path:
        """Return where a node with a disk would have kept the version."""
        return self._nowhere
