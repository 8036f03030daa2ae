"""The node's state directory: one process at a time, one key pair for life, durable counts."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from ._durable import write_durably
from ._errors import BadSignature, StateError, StateLocked
from ._signing import KeyPair


class NodeState:
    """The opened state directory; close it, or use it as a context manager.

    Attributes:
        key: the key pair, made at the first start and never replaced.
        starts: how often this directory was opened, this time included.
        trainings: how many trainings were finished, over all starts.

    Raises:
        StateLocked: another process holds the directory.
        StateError: it cannot be written, or what it holds is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateError(
                f"state directory {path} cannot be used: {error.strerror}", path=path
            ) from error
        try:
            self._take_lock()
            self.key = self._load_key()
            counts = self._load_counts()
            self.starts = counts["starts"] + 1
            self.trainings = counts["trainings"]
            self._save_counts()
        except BaseException:
            os.close(self._lock)
            raise

    def count_training(self, trainings: int) -> None:
        """Record durably that ``trainings`` were finished; never lowers the count."""
        if trainings > self.trainings:
            self.trainings = trainings
            self._save_counts()

    def close(self) -> None:
        """Let the next process in; closing twice is fine."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def __enter__(self) -> NodeState:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = (self.path / "lock").read_text("utf-8").strip() or "unknown"
            raise StateLocked(
                f"state directory {self.path} is in use by process {holder}: stop it, or give this "
                "node another state_dir",
                path=self.path,
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _load_key(self) -> KeyPair:
        path = self.path / "node.key"
        try:
            if path.exists():
                return KeyPair.from_private_bytes(path.read_bytes())
            key = KeyPair.generate()
            write_durably(path, [key.private_bytes])
            return key
        except (OSError, BadSignature) as error:
            raise StateError(
                f"key file {path} cannot be used ({error}): restore it from a backup, or remove it "
                "to join as a new node",
                path=path,
            ) from error

    def _load_counts(self) -> dict[str, int]:
        path = self.path / "counts.json"
        try:
            found: Any = json.loads(path.read_bytes())
            return {name: int(found[name]) for name in ("starts", "trainings")}
        except FileNotFoundError:
            return {"starts": 0, "trainings": 0}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"{path} is damaged ({error}): remove it; only two counts are lost", path=path
            ) from error

    def _save_counts(self) -> None:
        counts = {"starts": self.starts, "trainings": self.trainings}
        try:
            write_durably(self.path / "counts.json", [json.dumps(counts).encode()])
        except OSError as error:
            raise StateError(
                f"state directory {self.path} cannot be written: {error.strerror}", path=self.path
            ) from error
