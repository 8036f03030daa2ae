"""Child processes that run Flower's own programs: start, stop, log, ports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

STOP_GRACE_SECONDS: Final = 5.0
_LAUNCHER: Final = f"{(__package__ or 'polyrank.client')}._flower_launch"


class Child:
    """One run of the launcher: `program` is ``supernode`` or ``superlink``.

    The child leads a session of its own, so Ctrl-C in a terminal reaches only its parent, which
    stops it in good order; it ends with its parent in any case (see `_flower_launch`).
    """

    def __init__(self, program: str, arguments: list[str], *, home: Path, log: Path) -> None:
        home, log = home.resolve(), log.resolve()
        home.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._is_asked = False
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _LAUNCHER, program, *arguments],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=home,
                env=_environment(home, log),
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout_seconds: float) -> int | None:
        """Wait for the end; None if it still runs."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Ask it to end, and do not wait; once, since Flower takes a second signal as a kill."""
        if self.poll() is None and not self._is_asked:
            self._is_asked = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Ask it to end, then make it."""
        if self.poll() is None:
            self.terminate()
            if self.wait(grace_seconds) is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def free_port(host: str = "127.0.0.1") -> int:
    """Find a port that is free now; another process may take it before it is used."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log file, for an error message."""
    try:
        text = log.read_bytes()[-8192:].decode("utf-8", "replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])


def _environment(home: Path, log: Path) -> dict[str, str]:
    """Copy our environment without what would open doors, with no call to the internet."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("FLWR_INTERNAL_") and key != "FLWR_LOG_LEVEL"
    }
    bypass = ",".join(filter(None, (kept.get("NO_PROXY"), "127.0.0.1", "localhost", "::1")))
    return kept | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": bypass,
        "no_proxy": bypass,
        "PYTHONUNBUFFERED": "1",
        "POLYRANK_LOG_FILE": str(log),
    }
