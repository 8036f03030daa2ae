"""Files that are whole or absent, whatever happens: write beside, fsync, rename, fsync folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Piece = bytes | bytearray | memoryview


def write_durably(path: Path, pieces: Iterable[Piece], *, mode: int = 0o600) -> None:
    """Write ``pieces`` one after the other into ``path``, replacing what is there.

    Raises:
        OSError: the disk is full or the folder cannot be written; ``path`` is then as before.
    """
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
