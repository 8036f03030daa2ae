"""Finished replies, kept durably under their task key before they are sent.

One file a task, so that it is whole or absent: a magic, the sha-256 of all that follows, two
lengths, the envelope, the blob. The signature is not kept: a reply is signed when it is sent.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import struct
from pathlib import Path

import structlog

from ._durable import write_durably
from ._errors import ProtocolError, StateError
from ._protocol import ReplyEnvelope

Blob = bytes | bytearray | memoryview

_MAGIC = b"polyrank-task-1\n"
_LENGTHS = struct.Struct("<QQ")
_HEAD_BYTES = len(_MAGIC) + 32 + _LENGTHS.size
_MAX_ENVELOPE_BYTES = 4 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = structlog.get_logger(__name__)


class TaskCache:
    """Finished replies by task key; at most ``max_entries`` and ``max_bytes``, oldest out first."""

    def __init__(self, folder: Path, *, max_entries: int, max_bytes: int) -> None:
        self._folder = folder
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for partial in folder.glob("*.partial"):
            partial.unlink()

    def put(self, reply: ReplyEnvelope, blob: Blob) -> None:
        """Keep a reply; when this returns it is on disk. On a full disk older ones make room.

        Raises:
            StateError: it cannot be written.
        """
        envelope = reply.to_bytes()
        lengths = _LENGTHS.pack(len(envelope), len(blob))
        digest = _digest(lengths, envelope, blob)
        path = self._folder / reply.task_key
        try:
            self._write(path, [_MAGIC, digest, lengths, envelope, blob])
            self._evict(path)
        except OSError as error:
            raise StateError(
                f"finished task cannot be kept in {self._folder}: {error.strerror}", path=path
            ) from error

    def get(self, task_key: str) -> tuple[ReplyEnvelope, memoryview] | None:
        """Return a kept reply and its blob, or None; a damaged entry is dropped and logged."""
        path = self._folder / task_key
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _parse(data, task_key)
        except (ProtocolError, struct.error) as error:
            _log.warning("cached_task_damaged", task_key=task_key, error=str(error))
            path.unlink(missing_ok=True)
            return None

    def trainings(self) -> int:
        """Return the largest count of trainings in any kept reply, to repair a lost count."""
        return max((_trainings_in(path) for path in self._entries()), default=0)

    def _entries(self) -> list[Path]:
        """List the kept files, oldest first."""
        files = [path for path in self._folder.iterdir() if path.suffix != ".partial"]
        return sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _write(self, path: Path, pieces: list[Blob]) -> None:
        """Write an entry; on a full disk drop the oldest others, if that makes room for it."""
        needed = sum(map(len, pieces))
        while True:
            try:
                write_durably(path, pieces)
                return
            except OSError as error:
                others = [entry for entry in self._entries() if entry != path]
                held = sum(entry.stat().st_size for entry in others)
                is_hopeless = shutil.disk_usage(self._folder).free + held < needed
                if error.errno not in _FULL or not others or is_hopeless:
                    raise
                _drop(others[0])

    def _evict(self, newest: Path) -> None:
        entries = [path for path in self._entries() if path != newest]
        sizes = {path: path.stat().st_size for path in [*entries, newest]}
        total = sum(sizes.values())
        while entries and (len(entries) + 1 > self._max_entries or total > self._max_bytes):
            oldest = entries.pop(0)
            total -= sizes[oldest]
            _drop(oldest)


def _drop(entry: Path) -> None:
    size = entry.stat().st_size
    entry.unlink()
    _log.info("cached_task_evicted", task_key=entry.name, size_bytes=size)


def _trainings_in(path: Path) -> int:
    """Read the count in one entry without its blob: together the blobs may have many gigabytes."""
    try:
        with path.open("rb") as file:
            envelope_bytes, _ = _LENGTHS.unpack(file.read(_HEAD_BYTES)[-_LENGTHS.size :])
            if envelope_bytes > _MAX_ENVELOPE_BYTES:
                return 0
            return ReplyEnvelope.from_bytes(file.read(envelope_bytes)).trainings
    except (OSError, struct.error, ProtocolError):
        return 0  # damaged: dropped when it is asked for


def _digest(*pieces: Blob) -> bytes:
    running = hashlib.sha256()
    for piece in pieces:
        running.update(piece)
    return running.digest()


def _parse(data: bytes, task_key: str) -> tuple[ReplyEnvelope, memoryview]:
    view = memoryview(data)
    body = view[len(_MAGIC) + 32 :]
    if data[: len(_MAGIC)] != _MAGIC or _digest(body) != data[len(_MAGIC) : len(_MAGIC) + 32]:
        raise ProtocolError("its digest does not match")
    envelope_bytes, blob_bytes = _LENGTHS.unpack_from(body)
    content = view[_HEAD_BYTES:]
    if len(content) != envelope_bytes + blob_bytes:
        raise ProtocolError("its lengths do not match")
    reply = ReplyEnvelope.from_bytes(bytes(content[:envelope_bytes]))
    if reply.task_key != task_key:
        raise ProtocolError("it belongs to another task")
    return reply, content[envelope_bytes:]
