"""A federation of real processes that a test can stop, kill and mend at known places.

Which contributions a round counts, and in which order, is fixed: each line's nodes have fixed key
pairs, and each round needs all of them. So every run of the same lines must end with the same
bytes, whatever was killed on the way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import psutil
from polyrank.client._durable import write_durably
from polyrank.client._signing import KeyPair

from ..coordinator.federation import Federation
from .nursery import PATH, Nursery

HERE = Path(__file__).parent
ROUNDS = 3
CRASH_ROUND = 2  # there is a version before it to start from, and a round after it
PATIENCE_SECONDS = 240.0
MARK = "POLYRANK_CRASH_WORLD"


@dataclasses.dataclass(frozen=True)
class Member:
    """One node of the matrix; the line it joins is trained by it and one other."""

    name: str
    rank: int
    line: str
    stream: tuple[str, ...] = ()  # options of crash_node.py that make it one with a stream

    @property
    def key(self) -> KeyPair:
        return KeyPair.from_private_bytes(hashlib.sha256(self.name.encode()).digest())


FIRST = {"left": (Member("ann", 4, "left"), Member("bob", 2, "left"))}
BOTH = {**FIRST, "right": (Member("cyd", 3, "right"), Member("dan", 2, "right"))}
EMPTY: Mapping[str, str] = MappingProxyType({})
SETTINGS: Mapping[str, object] = MappingProxyType({
    "base_model": "toy", "rounds": ROUNDS, "min_nodes": 2, "deadline_seconds": 3600.0,
    "training": {"steps": 2},
})  # fmt: skip
Lines = Mapping[str, tuple[Member, ...]]


class World(Federation):
    """One federation; its processes carry a mark, by which those left over are found."""

    def __init__(
        self,
        folder: Path,
        lines: Lines,
        nursery: Nursery | None = None,
        settings: Mapping[str, object] = SETTINGS,
    ) -> None:
        super().__init__(folder, dict.fromkeys(lines, settings))
        self.lines = lines
        self.members = {m.name: m for members in lines.values() for m in members}
        self.gates = folder / "gates"
        self.gates.mkdir()
        self.daemons_started = 0
        self.cpu_seconds = 0.0  # a measure of a cell that does not depend on what else runs
        self.harmed_at = self.mended_at = time.time()
        self._nursery = nursery
        self._mark = f"{folder}-{os.getpid()}"
        self._may_fail: set[str] = set()

    # ------------------------------------------------------------------ starting
    def start_all(
        self, *, pause: str = "", pause_at: str = "", node: Mapping[str, str] | None = None
    ) -> None:
        """Start the daemon and every node; `node` names the places where nodes stop."""
        self.start_daemon(pause=pause, pause_at=pause_at)
        for name in self.members:
            self.start_member(name, pause=(node or {}).get(name, ""))

    def start_daemon(
        self, *options: str, name: str = "daemon", pause_at: str = "", pause: str = ""
    ) -> None:
        """Start `polyrank up`; `pause_at` is a log event's name, `pause` a call (see pause.py)."""
        self.daemons_started += 1
        arguments = ["up", "--config", str(self.config), *options]
        extra = {"POLYRANK_PAUSE_AT": pause_at} if pause_at else {}
        self._run(name, arguments, pause=pause, extra=extra)

    def start_member(self, name: str, *, pause: str = "") -> None:
        member = self.members[name]
        state = self.state(name)
        if not state.exists():
            state.mkdir(parents=True)
            write_durably(state / "node.key", [member.key.private_bytes])
        arguments = [
            "node", "--server", f"127.0.0.1:{self.port}", "--state-dir", str(state),
            "--name", name, "--rank", str(member.rank), "--adapters", member.line,
            "--gates", str(self.gates), *member.stream,
        ]  # fmt: skip
        self._run(name, arguments, pause=pause)

    def _run(
        self, name: str, arguments: list[str], *, pause: str, extra: Mapping[str, str] = EMPTY
    ) -> None:
        """Start a process: forked in the nursery, or else by its plain command line."""
        extra = {MARK: self._mark, "PYTHONPATH": PATH, **extra}
        if pause:
            extra["POLYRANK_CRASH_PAUSE"] = pause
        if self._nursery is not None:
            self.processes[name] = self._nursery.start(  # pyright: ignore[reportArgumentType]
                arguments, env=extra, output=self.output(name), cwd=self.folder
            )
        elif arguments[0] == "node":
            self.start(name, [str(HERE / "crash_node.py"), *arguments[1:]], extra)
        elif pause:
            self.start(name, [str(HERE / "crash_daemon.py"), *arguments], extra)
        else:
            self.start(name, ["-m", "polyrank.coordinator._cli", *arguments], extra)

    # ------------------------------------------------------------------ harming and mending
    def hold(self, *names: str, round: int = CRASH_ROUND) -> None:
        """Let these nodes' training of a round not finish before `release`."""
        for name in names:
            (self.gates / f"{name}-{round}").touch()

    def release(self, *names: str, round: int = CRASH_ROUND) -> None:
        for name in names:
            (self.gates / f"{name}-{round}").unlink()

    def kill_node(self, name: str) -> None:
        """Kill a node process and its SuperNode, as when the machine loses power."""
        self._account(self.pid(name))
        supernodes = psutil.Process(self.pid(name)).children(recursive=True)
        for process in supernodes:
            process.kill()
        self.kill(name)
        psutil.wait_procs(supernodes, timeout=30)

    def kill_daemon(self) -> None:
        """Kill the daemon and wait until its SuperLink has gone too, by itself."""
        self._account(self.pid("daemon"))
        superlink = psutil.Process(self.superlink_pid())
        self.kill("daemon")
        superlink.wait(60)

    def kill_superlink(self) -> None:
        os.kill(self.superlink_pid(), signal.SIGKILL)

    def stop(self, name: str) -> None:
        self.kill(name, signal.SIGSTOP)
        self.await_stop(name)

    def wake(self, name: str) -> None:
        self.kill(name, signal.SIGCONT)

    def harmed(self) -> None:
        self.cpu_seconds = 0.0  # a measure of a cell that does not depend on what else runs
        self.harmed_at = time.time()

    def mended(self) -> None:
        """Say that from now on nothing but polyrank itself acts."""
        self.mended_at = time.time()

    def _account(self, pid: int) -> None:
        """Add what a process and its children, ended ones too, have cost until now."""
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            self.cpu_seconds += sum(one.cpu_times()[:4])  # own and ended children's

    # ------------------------------------------------------------------ waiting
    def wait(self, condition, what: str, timeout: float = PATIENCE_SECONDS) -> None:
        end = time.monotonic() + timeout
        while not condition():
            for name, process in self.processes.items():
                if process.poll() not in (None, -9) and name not in self._may_fail:
                    raise AssertionError(f"{name} ended ({process.poll()}):\n{self.tail(name)}")
            if time.monotonic() > end:
                said = "\n".join(f"--- {name}\n{self.tail(name)}" for name in self.processes)
                raise AssertionError(f"no {what} within {timeout} s\n{said}")
            time.sleep(0.05)

    def wait_event(
        self, name: str, *, count: int = 1, timeout: float = PATIENCE_SECONDS, **fields: object
    ):
        return super().wait_event(name, count=count, timeout=timeout, **fields)

    def is_stopped(self, name: str) -> bool:
        """Whether the process is paused; False, too, when it has ended: then `wait` says so."""
        try:
            return super().is_stopped(name)
        except (FileNotFoundError, ProcessLookupError):
            return False

    def await_stop(self, name: str) -> None:
        self.wait(lambda: self.is_stopped(name), f"stop of {name}")

    def await_training(self, *names: str, round: int = CRASH_ROUND) -> None:
        """Wait until these nodes are in the middle of a round's training."""
        for name in names:
            self.wait(lambda n=name: self.diary(n, "began", round), f"training of {name}")

    def await_kept(self, *names: str, trainings: int = CRASH_ROUND) -> None:
        """Wait until these nodes have that many finished trainings on disk."""
        for name in names:
            self.wait(lambda n=name: self.count(n) >= trainings, f"finished training of {name}")

    def await_accepted(self, name: str, *, round: int = CRASH_ROUND) -> None:
        identity = self.members[name].key.identity
        self.wait_event("reply_accepted", round=round, identity=identity)

    def await_joined(self, name: str) -> None:
        """Wait until the node has taken a second request for the task it is working on."""
        self.wait(lambda: "task_joined" in self.output(name).read_text(), f"joined task of {name}")

    def await_failure(self, name: str) -> int:
        """Wait until a process has ended by itself, and return its exit code."""
        self._may_fail.add(name)
        self.wait(lambda: self.processes[name].poll() is not None, f"end of {name}")
        return self.processes[name].returncode

    def await_end(self) -> None:
        """Wait until every version is there and every node has evaluated each of them."""
        for line in self.lines:
            self.wait_event("version_committed", adapter=line, number=ROUNDS)
        for number in range(ROUNDS + 1):
            self.await_evaluated(number)

    def await_evaluated(self, number: int, *, but: str = "") -> None:
        """Wait until that version of each line has been evaluated by the line's nodes."""
        for member in self.members.values():
            if member.name == but:
                continue
            self.wait_event(
                "version_evaluated", adapter=member.line, number=number,
                identity=member.key.identity,
            )  # fmt: skip

    # ------------------------------------------------------------------ looking
    def state(self, name: str) -> Path:
        return self.folder / "nodes" / name

    def diary(self, name: str, what: str = "", round: int | None = None) -> list[dict[str, object]]:
        path = self.state(name) / "trainings.jsonl"
        if not path.exists():
            return []
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return [
            e for e in entries if what in ("", e["what"]) and round in (None, e["round"])
        ]  # fmt: skip

    def count(self, name: str) -> int:
        """Return how many trainings the node itself counts, durably."""
        path = self.state(name) / "counts.json"
        return json.loads(path.read_text())["trainings"] if path.exists() else 0

    def recover_seconds(self, version: int) -> float:
        """Return the time from the last thing the test did to that version of the first line."""
        event = self.events("version_committed", adapter=next(iter(self.lines)), number=version)[-1]
        return datetime.fromisoformat(str(event["timestamp"])).timestamp() - self.mended_at

    def left_over(self) -> list[str]:
        """Return the processes of this world that still run."""
        found = [f"{p.pid} ({name})" for name, p in self.processes.items() if p.poll() is None]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != "zombie":
                    found.append(" ".join([str(process.pid), *process.cmdline()]))
        return found

    def end(self) -> None:
        """End all processes in good order; whatever does not end then is an error."""
        for process in self.processes.values():
            if process.poll() is None:
                self._account(process.pid)
        self.__exit__()
        end = time.monotonic() + 15
        while (left := self.left_over()) and time.monotonic() < end:
            time.sleep(0.1)
        assert not left, f"processes left running: {left}"


@contextlib.contextmanager
def opened(
    folder: Path,
    lines: Lines,
    nursery: Nursery | None = None,
    settings: Mapping[str, object] = SETTINGS,
) -> Iterator[World]:
    """Make a world; end its processes whatever happens."""
    world = World(folder, lines, nursery, settings)
    try:
        yield world
    finally:
        world.__exit__()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == world._mark:
                    process.kill()
