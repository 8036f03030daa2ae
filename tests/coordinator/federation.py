"""A federation of real processes for tests: one daemon, toy nodes, and a look at their logs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyrank.store import Registry, connect

TOY_NODE = Path(__file__).with_name("toy_node.py")
Event = Mapping[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def toml_value(value: object) -> str:
    return json.dumps(value) if not isinstance(value, dict) else inline_table(value)


def inline_table(values: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{key} = {toml_value(value)}" for key, value in values.items()) + "}"


class Federation:
    """Starts processes under one folder and ends them all; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        adapters: Mapping[str, Mapping[str, object]],
        *,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "daemon"
        self.port = free_port()
        self.may_end: set[str] = set()  # names of processes that may end by themselves
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.config = folder / "polyrank.toml"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            "[daemon]",
            f"data_dir = {json.dumps(str(self.data_dir))}",
            "[superlink]",
            f"port = {self.port}",
            "[registry]",
            "port = 0",
            "[limits]",
            *(f"{key} = {value}" for key, value in (limits or {}).items()),
        ]
        for name, settings in adapters.items():
            lines.append(f'[adapters."{name}"]')
            lines += [f"{key} = {toml_value(value)}" for key, value in settings.items()]
        self.config.write_text("\n".join(lines) + "\n", "utf-8")

    # ------------------------------------------------------------------ processes
    def start_daemon(self, *options: str, name: str = "daemon", pause_at: str = "") -> None:
        command = ["-m", "polyrank.coordinator._cli", "up", "--config", str(self.config), *options]
        self.start(name, command, {"POLYRANK_PAUSE_AT": pause_at} if pause_at else {})

    def start_node(self, name: str, *options: str, state: str | None = None) -> None:
        command = [
            str(TOY_NODE),
            "--server",
            f"127.0.0.1:{self.port}",
            "--state-dir",
            str(self.folder / "nodes" / (state or name)),
            "--name",
            name,
            *options,
        ]
        self.start(name, command)

    def start(self, name: str, command: list[str], extra: Mapping[str, str] | None = None) -> None:
        with self.output(name).open("ab") as sink:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(extra or {})},
            )

    def output(self, name: str) -> Path:
        return self.folder / f"{name}.out"

    def pid(self, name: str) -> int:
        return self.processes[name].pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self.processes[name].send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            self.processes[name].wait(30)

    def superlink_pid(self) -> int:
        return json.loads((self.data_dir / "superlink.pid").read_text())["pid"]

    def is_stopped(self, name: str) -> bool:
        """Whether the process is paused by SIGSTOP."""
        stat = Path(f"/proc/{self.pid(name)}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    # ------------------------------------------------------------------ observing
    def events(self, name: str = "", **fields: object) -> list[Event]:
        """Events of the daemon's log, all epochs, that have this name and these fields."""
        path = self.data_dir / "log" / "daemon.jsonl"
        if not path.exists():
            return []
        found: list[Event] = []
        for line in path.read_text().splitlines():
            event = json.loads(line)
            if name in ("", event["event"]) and all(event.get(k) == v for k, v in fields.items()):
                found.append(event)
        return found

    def wait_event(
        self, name: str, *, count: int = 1, timeout: float = 200.0, **fields: object
    ) -> Event:
        """Wait for the count-th event of this name and these fields."""
        self.wait(
            lambda: len(self.events(name, **fields)) >= count,
            f"event {name} {fields} x{count}",
            timeout,
        )
        return self.events(name, **fields)[count - 1]

    def wait(self, condition: Callable[[], object], what: str, timeout: float = 200.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            for name, process in self.processes.items():
                if process.poll() not in (None, 0, -9, -15, -2) and name not in self.may_end:
                    raise AssertionError(f"{name} ended ({process.poll()}):\n{self.tail(name)}")
            if time.monotonic() > end:
                said = "\n".join(f"--- {name}\n{self.tail(name)}" for name in self.processes)
                raise AssertionError(f"no {what} within {timeout} s\n{said}")
            time.sleep(0.05)

    def tail(self, name: str, lines: int = 25) -> str:
        path = self.output(name)
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def registry(self, *, remote: bool = False) -> Registry:
        """Open the registry: the database itself, or the running daemon's through gRPC."""
        if remote:
            return connect(
                json.loads((self.data_dir / "run" / "daemon.json").read_text())["registry"]
            )
        return connect(f"sqlite:///{self.data_dir}/registry.db", blobs=self.data_dir / "blobs")

    # ------------------------------------------------------------------ ending
    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
