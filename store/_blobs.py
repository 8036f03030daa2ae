"""Blobs by digest: durable before anybody names them, checked whenever they are read.

    put = stage (write a temporary file, hash, fsync) -> place (rename, fsync the folder)

Staging is slow and needs no lock; placing is quick and is done inside the database transaction
that names the blob, so that a deletion, which is done inside one too, cannot come in between.
A crash leaves a temporary file or a blob that nothing names: both are harmless.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from ._errors import BlobDamaged, BlobMissing, BlobTooLarge, InvalidValue, StorageFailure
from ._registry_types import Source

CHUNK_BYTES = 1 << 20
MAX_BLOB_BYTES = 4 << 30
STALE_SECONDS = 86400.0
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Staged(ABC):
    """Bytes that are hashed and durable, but not yet under their digest."""

    digest: str
    size_bytes: int

    @abstractmethod
    def stream(self) -> BinaryIO:
        """Open the bytes for reading."""

    @abstractmethod
    def place(self) -> None:
        """Make the bytes durable under their digest, replacing what is there."""

    @abstractmethod
    def discard(self) -> None:
        """Forget the bytes unless they were placed."""


class Blobs(ABC):
    """A content-addressed store of bytes."""

    @abstractmethod
    def stage(self, source: Source, max_bytes: int = MAX_BLOB_BYTES) -> Staged:
        """Take bytes in, in pieces. Raises BlobTooLarge, InvalidValue, StorageFailure."""

    @abstractmethod
    def open(self, digest: str) -> BinaryIO:
        """Open a blob after checking it. Raises BlobMissing, BlobDamaged."""

    @abstractmethod
    def read(self, digest: str) -> bytes:
        """Return a checked blob. Raises BlobMissing, BlobDamaged."""

    @abstractmethod
    def delete(self, digest: str) -> None:
        """Delete a blob; it may be gone already."""

    @abstractmethod
    def digests(self) -> list[str]:
        """List what is there by its names, unchecked and in no order."""


class FolderBlobs(Blobs):
    """Blobs as files of a folder: FOLDER/ab/ab12... and FOLDER/tmp for what is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tmp = folder / "tmp"
        with _failing_at(folder):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)  # another process may be as quick
                _sync_folder(folder.parent)
            self._tmp.mkdir(exist_ok=True)
            self._sweep()

    def _sweep(self) -> None:
        """Delete what a killed process was writing more than a day ago."""
        for path in self._tmp.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def path(self, digest: str) -> Path:
        """Return where a blob is."""
        return self.folder / digest[:2] / digest

    def stage(self, source: Source, max_bytes: int = MAX_BLOB_BYTES) -> Staged:
        """Write and fsync a temporary file."""
        with _failing_at(self._tmp):
            descriptor, name = tempfile.mkstemp(dir=self._tmp)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as sink, _failing_at(temporary):
                digest, size = _copy(source, sink, max_bytes)
                sink.flush()
                os.fsync(sink.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return _StagedFile(temporary, self.path(digest), digest, size)

    def open(self, digest: str) -> BinaryIO:
        """Open a blob's file after hashing what is in it."""
        with contextlib.ExitStack() as undo:
            stream = undo.enter_context(self._opened(digest))
            with _damaging(digest, self.path(digest)):
                found = hashlib.file_digest(stream, "sha256")
                stream.seek(0)
            self._check(digest, found.hexdigest())
            undo.pop_all()
            return stream

    def read(self, digest: str) -> bytes:
        """Read a blob's file once, then hash what was read."""
        with self._opened(digest) as stream, _damaging(digest, self.path(digest)):
            data = stream.read()
        self._check(digest, hashlib.sha256(data).hexdigest())
        return data

    def _opened(self, digest: str) -> io.BufferedReader:
        path = self.path(digest)
        with _damaging(digest, path):
            try:
                return path.open("rb")
            except FileNotFoundError:
                raise BlobMissing(digest, str(path)) from None

    def _check(self, digest: str, found: str) -> None:
        if found != digest:
            raise BlobDamaged(digest, str(self.path(digest)), "torn or changed bytes")

    def delete(self, digest: str) -> None:
        """Delete a blob's file."""
        with _failing_at(self.path(digest)):
            self.path(digest).unlink(missing_ok=True)

    def digests(self) -> list[str]:
        """List the files that are where a blob of their name is."""
        with _failing_at(self.folder):
            found = [path.name for path in self.folder.glob("??/*")]
        return [name for name in found if _DIGEST.fullmatch(name) and self.path(name).is_file()]


class _StagedFile(Staged):
    def __init__(self, temporary: Path, target: Path, digest: str, size_bytes: int) -> None:
        self._temporary = temporary
        self._target = target
        self.digest = digest
        self.size_bytes = size_bytes

    def stream(self) -> BinaryIO:
        return self._temporary.open("rb")

    def place(self) -> None:
        """Rename always, also over a blob that is there: that is how a damaged one is healed."""
        shard = self._target.parent
        with _failing_at(self._target):
            if not shard.is_dir():
                shard.mkdir(exist_ok=True)
                _sync_folder(shard.parent)
            self._temporary.replace(self._target)
            _sync_folder(shard)

    def discard(self) -> None:
        self._temporary.unlink(missing_ok=True)


class MemoryBlobs(Blobs):
    """Blobs in a dict, for memory://; as durable as the process."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def stage(self, source: Source, max_bytes: int = MAX_BLOB_BYTES) -> Staged:
        """Copy the bytes."""
        sink = io.BytesIO()
        digest, _ = _copy(source, sink, max_bytes)
        return _StagedBytes(self._blobs, digest, sink.getvalue())

    def open(self, digest: str) -> BinaryIO:
        """Open a copy."""
        return io.BytesIO(self.read(digest))

    def read(self, digest: str) -> bytes:
        """Return the bytes."""
        try:
            return self._blobs[digest]
        except KeyError:
            raise BlobMissing(digest, "memory") from None

    def delete(self, digest: str) -> None:
        """Forget a blob."""
        self._blobs.pop(digest, None)

    def digests(self) -> list[str]:
        """List what is kept."""
        return list(self._blobs)


class _StagedBytes(Staged):
    def __init__(self, blobs: dict[str, bytes], digest: str, data: bytes) -> None:
        self._blobs = blobs
        self._data = data
        self.digest = digest
        self.size_bytes = len(data)

    def stream(self) -> BinaryIO:
        return io.BytesIO(self._data)

    def place(self) -> None:
        self._blobs[self.digest] = self._data

    def discard(self) -> None:
        pass


def _copy(source: Source, sink: BinaryIO, max_bytes: int) -> tuple[str, int]:
    """Copy in pieces; return digest and size."""
    hashed = hashlib.sha256()
    size = 0
    for chunk in _chunks(source):
        size += len(chunk)
        if size > max_bytes:
            raise BlobTooLarge(max_bytes)
        hashed.update(chunk)
        sink.write(chunk)
    return hashed.hexdigest(), size


def _chunks(source: Source) -> Iterator[bytes | memoryview]:
    if isinstance(source, bytes | bytearray | memoryview):
        whole = memoryview(source).cast("B")
        for start in range(0, len(whole), CHUNK_BYTES):
            yield whole[start : start + CHUNK_BYTES]
    elif isinstance(source, Path):
        try:
            stream = source.open("rb")
        except OSError as error:
            problem = f"{source}: {error.strerror}; give a file that can be read"
            raise InvalidValue("data", problem) from error
        with stream:
            yield from _pieces(stream)
    elif callable(getattr(source, "read", None)):
        yield from _pieces(source)
    else:
        raise InvalidValue("data", f"{type(source).__name__}; give bytes, a Path or a file")


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        if not isinstance(chunk, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidValue("data", "the file is open as text; open it in binary mode")
        yield chunk


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _damaging(digest: str, path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise BlobDamaged(digest, str(path), error.strerror or "unreadable") from error


@contextlib.contextmanager
def _failing_at(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailure(str(path), error.strerror or str(error)) from error
