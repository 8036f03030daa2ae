"""Logs whether the federation's server can be reached, since the SuperNode waits in silence."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import structlog

RETRY_SECONDS = 5.0
CHECK_SECONDS = 30.0
REMIND_SECONDS = 60.0
_log = structlog.get_logger(__name__)


class Reachability:
    """Tries the server's port now and then, in a thread of its own; logs changes.

    Args:
        server: ``host:port``.
        log_path: Flower's log, named in the warning.
        stopping: ends the thread.
    """

    def __init__(self, server: str, log_path: Path, stopping: threading.Event) -> None:
        self._server = server
        self._log_path = log_path
        self._stopping = stopping
        self._thread = threading.Thread(target=self._watch, name="reachability", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def _watch(self) -> None:
        trouble: str | None = "not tried yet"
        silent_seconds = REMIND_SECONDS
        while not self._stopping.is_set():
            before, trouble = trouble, probe(self._server)
            if trouble is None and before is not None:
                _log.info("server_reached", server=self._server)
            elif trouble is not None and (before is None or silent_seconds >= REMIND_SECONDS):
                silent_seconds = 0.0
                _log.warning(
                    "server_unreachable",
                    server=self._server,
                    reason=trouble,
                    hint="is the coordinator up, and the address right? trying on",
                    flower_log=str(self._log_path),
                )
            pause = CHECK_SECONDS if trouble is None else RETRY_SECONDS
            silent_seconds += pause
            self._stopping.wait(pause)


def probe(server: str, timeout_seconds: float = 3.0) -> str | None:
    """Try to connect; returns None when somebody listens, else why not in a few words."""
    host, _, port = server.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout_seconds):
            return None
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
