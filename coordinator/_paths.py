"""Where polyrank keeps its data on this machine, and where the running daemon can be reached.

The data directory holds the database, the blobs and `run/daemon.json`, a small file in which a
running daemon says how to reach it. Everything here is stdlib only: the command line imports it
on every call.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

DATA_DIR_VARIABLE = "POLYRANK_DATA_DIR"
REGISTRY_VARIABLE = "POLYRANK_REGISTRY"
DEFAULT_REGISTRY_PORT = 9093
DEFAULT_REGISTRY_URL = f"grpc://127.0.0.1:{DEFAULT_REGISTRY_PORT}"


@dataclass(frozen=True)
class DaemonInfo:
    """What a running daemon wrote about itself in `run/daemon.json`."""

    pid: int
    registry: str
    superlink_port: int
    epoch: int
    started_at: str

    @property
    def is_running(self) -> bool:
        """Say whether a process with the daemon's id exists (a killed daemon leaves its file)."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def default_data_dir() -> Path:
    """Return `$POLYRANK_DATA_DIR`, or `~/.local/share/polyrank`; it need not exist."""
    named = os.environ.get(DATA_DIR_VARIABLE, "").strip()
    if named:
        return Path(named).expanduser()
    return Path.home() / ".local" / "share" / "polyrank"


def daemon_file(data_dir: Path) -> Path:
    """Return the path of the file in which the daemon of this data directory describes itself."""
    return data_dir / "run" / "daemon.json"


def read_daemon(data_dir: Path) -> DaemonInfo | None:
    """Return what the daemon of this data directory says about itself.

    None when there is no file, or when it is unreadable or not one of ours: a torn file means
    "no daemon known", and the caller goes on with the default address.
    """
    try:
        found: object = json.loads(daemon_file(data_dir).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    fields = cast("dict[str, object]", found)
    pid, registry = fields.get("pid"), fields.get("registry")
    port, epoch = fields.get("superlink_port"), fields.get("epoch")
    if not isinstance(pid, int) or not isinstance(registry, str) or pid <= 0:
        return None
    return DaemonInfo(
        pid=pid,
        registry=registry,
        superlink_port=port if isinstance(port, int) else 0,
        epoch=epoch if isinstance(epoch, int) else 0,
        started_at=str(fields.get("started_at", "")),
    )


def default_registry_url(data_dir: Path | None = None) -> str:
    """Return where the registry is when nobody said.

    For a named data directory: the address that its running daemon wrote. Else, in this order:
    `$POLYRANK_REGISTRY`; the running daemon of the default data directory. When there is no such
    daemon: `grpc://127.0.0.1:9093`.
    """
    named = os.environ.get(REGISTRY_VARIABLE, "").strip()
    if named and data_dir is None:
        return named
    daemon = read_daemon(data_dir or default_data_dir())
    if daemon is not None and daemon.is_running:
        return daemon.registry
    return DEFAULT_REGISTRY_URL
