"""A node's data file, which its owner may replace while the node runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ._text_rows import TextRows


class FileSource:
    """Reads a data file again when it has changed.

    The owner writes the new file under another name and renames it over the old one: what is read
    is then one file or the other. A file that is seen to change while it is read is left for the
    next look.

    Args:
        path: the file.
        read: reads it; raises DataError for a file that cannot be used.
    """

    def __init__(self, path: Path, read: Callable[[], TextRows]) -> None:
        self._path = path
        self._read = read
        self._seen = _facts(path)
        self._rows: TextRows | None = None

    def read(self) -> TextRows:
        """Return the rows as they are now; raises DataError."""
        self._seen = _facts(self._path)
        self._rows = self._read()
        return self._rows

    def __call__(self) -> TextRows | None:
        """Return the rows if they have changed since the last look, else None.

        Raises:
            DataError: the file cannot be used; it is not read again before it changes again.
        """
        facts = _facts(self._path)
        if facts == self._seen:
            return None
        self._seen = facts
        rows = self._read()
        if rows == self._rows or _facts(self._path) != facts:
            return None
        self._rows = rows
        return rows


def _facts(path: Path) -> tuple[int, int, int] | None:
    """Tell a file by number, size and time of change: a renamed copy may keep its old time."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
