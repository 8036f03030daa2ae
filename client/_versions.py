"""The bytes of the versions that a node may be asked about again, so that they travel once.

    versions/<line>-<digest>.safetensors        <line>: the start of the sha-256 of its name

Of each line the version that was scored last and the stable one that was named last are kept, and
no more; of all lines together those of the few that were scored last. What is kept only saves
traffic: without it a node says so, and is asked in another way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import structlog

from ._durable import write_durably
from ._protocol import blob_digest

Blob = bytes | bytearray | memoryview

KEPT_LINES = 4
_log = structlog.get_logger(__name__)


class Versions:
    """Keeps versions by line and digest.

    Args:
        folder: where they are kept; None keeps them in memory alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[str, dict[str, Blob]] = {}

    def get(self, line: str, digest: str) -> Blob | None:
        """Return a version's bytes, checked; None when they are not here, or damaged."""
        if self._folder is None:
            return self._kept.get(line, {}).get(digest)
        if not digest.isalnum():
            return None  # a peer's text is no file name
        try:
            data = self._path(line, digest).read_bytes()
        except OSError:
            return None
        return data if blob_digest(data) == digest else None

    def keep(self, line: str, digest: str, blob: Blob, *, beside: Collection[str]) -> None:
        """Keep a version of a line, and of its others those that `beside` names; a full disk is
        logged and costs nothing else.
        """
        if self._folder is None:
            self._keep_in_memory(line, digest, blob, beside)
            return
        try:
            self._keep_on_disk(line, digest, blob, beside)
        except OSError as error:
            _log.warning("version_not_kept", digest=digest, reason=error.strerror)

    def _keep_in_memory(self, line: str, digest: str, blob: Blob, beside: Collection[str]) -> None:
        others = self._kept.pop(line, {})
        kept = {name: data for name, data in others.items() if name in beside}
        # bytes cannot change: hundreds of nodes in one process share them
        self._kept[line] = {**kept, digest: blob if isinstance(blob, bytes) else bytes(blob)}
        while len(self._kept) > KEPT_LINES:
            del self._kept[next(iter(self._kept))]

    def _keep_on_disk(self, line: str, digest: str, blob: Blob, beside: Collection[str]) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(line, digest)
        names = {path.name, *(self._path(line, other).name for other in beside)}
        for found in self._folder.glob(f"{_prefix(line)}-*"):
            if found.name not in names:
                found.unlink(missing_ok=True)
        if path.exists():
            path.touch()
        else:
            write_durably(path, [blob])
        self._forget_old_lines()

    def _forget_old_lines(self) -> None:
        assert self._folder is not None
        newest: dict[str, int] = {}
        files = list(self._folder.iterdir())
        for path in files:
            line = path.name.partition("-")[0]
            newest[line] = max(newest.get(line, 0), path.stat().st_mtime_ns)
        kept = sorted(newest, key=lambda line: newest[line])[-KEPT_LINES:]
        for path in files:
            if path.name.partition("-")[0] not in kept:
                path.unlink(missing_ok=True)

    def _path(self, line: str, digest: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{_prefix(line)}-{digest}.safetensors"


def _prefix(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:16]
