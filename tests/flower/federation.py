"""Real processes for the tests of the Flower edges."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from polyrank.coordinator._flower import DriverSession, Failure, Incoming, SuperLink

ECHO_NODE = Path(__file__).with_name("echo_node.py")


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for a truthy value and return it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Node:
    """One echo node as a process."""

    def __init__(self, address: str, state_dir: Path) -> None:
        self.process = subprocess.Popen([sys.executable, str(ECHO_NODE), address, str(state_dir)])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Federation:
    """A SuperLink, a session in it and some echo nodes."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.link = SuperLink(directory / "coordinator", port=port)
        self.link.start()
        self.session = DriverSession(self.link.address)
        self.session.open()
        self.nodes: list[Node] = []

    def add_node(self) -> Node:
        node = Node(self.link.address, self.directory / f"node-{len(self.nodes)}")
        self.nodes.append(node)
        return node

    def await_nodes(self, count: int, *, other_than: set[int] | None = None) -> set[int]:
        old = other_than or set()
        until(lambda: len(self.session.node_ids() - old) >= count, 90, f"{count} nodes")
        return self.session.node_ids() - old

    def resume(self) -> None:
        """Do what the daemon does after the death of its SuperLink."""
        self.session.close(ok=False)
        self.link.start()
        self.session = DriverSession(self.link.address)
        self.session.open()

    def ask(self, node_id: int, blob: bytes = b"", *, kind: str = "train", **wish: Any) -> str:
        envelope = json.dumps(wish).encode()
        return self.session.send(node_id, kind, envelope, b"", blob, ttl_seconds=600)

    def answer(self, message_id: str, seconds: float = 90) -> Incoming | Failure:
        def pull() -> Incoming | Failure | None:
            return self.session.pull(message_id)

        found = until(pull, seconds, "an answer")
        self.session.confirm(message_id)
        return found

    def stop(self) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
        self.session.close()
        self.link.stop()


@contextlib.contextmanager
def federation(directory: Path, port: int, nodes: int) -> Iterator[Federation]:
    made = Federation(directory, port)
    try:
        for _ in range(nodes):
            made.add_node()
        yield made
    finally:
        made.stop()


def digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
