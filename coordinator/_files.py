"""The data directory: one daemon at a time, and a small file that says how to reach it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from ._errors import DataDirError, DataDirLocked
from ._flower_superlink import process_start
from ._paths import daemon_file


class DataDirLock:
    """An exclusive lock on a data directory; it ends with the process, however that ends."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._path = data_dir / "run" / "lock"
        self._file: int | None = None

    def acquire(self, *, take_over: bool = False) -> bool:
        """Take the lock; return whether it is held now (False only with `take_over`).

        Raises:
            DataDirLocked: another daemon holds it and `take_over` is False.
            DataDirError: the directory cannot be made or written.
        """
        if self._file is not None:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(
                f"data directory {self._data_dir}: {error.strerror}: check daemon.data_dir and its "
                "permissions",
                path=self._data_dir,
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read_pid(file)
            os.close(file)
            if take_over:
                return False
            raise DataDirLocked(self._data_dir, holder) from error
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file
        return True

    def release(self) -> None:
        """Let the lock go; harmless when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def write_daemon_file(data_dir: Path, facts: dict[str, Any]) -> None:
    """Write `run/daemon.json` so that a reader sees the old file or the new one, whole."""
    path = daemon_file(data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(facts, sort_keys=True) + "\n", "utf-8")
    temporary.replace(path)


def remove_daemon_file(data_dir: Path) -> None:
    """Remove `run/daemon.json` if it speaks of this process."""
    path = daemon_file(data_dir)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if json.loads(path.read_text("utf-8")).get("pid") == os.getpid():
            path.unlink()


def end_superlink(data_dir: Path, *, wait_seconds: float = 10.0) -> int | None:
    """End the SuperLink that another daemon of this data directory runs; return its process id.

    Only for taking over: the daemon that owns it may be alive (paused, or stuck). The process's
    start time is compared, so a later process with the same number is left alone.
    """
    try:
        record = json.loads((data_dir / "superlink.pid").read_text("utf-8"))
        pid, started = int(record["pid"]), str(record["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not started or process_start(pid) != started:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + wait_seconds
    while process_start(pid) == started and time.monotonic() < deadline:
        time.sleep(0.02)
    return pid


def _read_pid(file: int) -> int | None:
    try:
        return int(os.pread(file, 32, 0) or b"0") or None
    except ValueError:
        return None
