"""The demo's child processes: the daemon and the nodes, each with its own log and session.

A child leads its own session, so Ctrl-C in the terminal reaches the demo alone, which then stops
everything in good order: nodes first, the daemon last. What the children start (SuperLink,
SuperNodes) ends with them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from ..client._wire_process import free_port, tail
from ._demo_plan import Ports
from ._errors import CoordinatorError

STOP_GRACE_SECONDS = 15.0
_LOG_LINES = 15


class DemoError(CoordinatorError):
    """The demo cannot go on; ``log_path`` and ``log_tail`` tell why, where a process ended."""

    def __init__(self, message: str, *, log_path: Path | None = None) -> None:
        super().__init__(message)
        self.log_path = log_path
        self.log_tail = tail(log_path, _LOG_LINES) if log_path is not None else ""


@dataclass
class Program:
    """One running child."""

    name: str
    log_path: Path
    process: subprocess.Popen[bytes]

    @property
    def exit_code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self.process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole session of the child."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Programs:
    """The children of one demo; as a context manager it leaves none of them running.

    Args:
        environment: variables of every child, on top of the demo's own.

    Attributes:
        command: what every child is a call of.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.command: Sequence[str] = (sys.executable, "-m", f"{__package__}._cli")
        self._environment = {**os.environ, **environment}
        self._running: list[Program] = []

    def start(self, name: str, arguments: Sequence[str], log_path: Path) -> Program:
        """Start `polyrank` with arguments, and everything that it prints in `log_path`."""
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as sink:
            process = subprocess.Popen(
                [*self.command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self._environment,
                start_new_session=True,
            )
        program = Program(name, log_path, process)
        self._running.append(program)
        return program

    def check(self) -> None:
        """Raise DemoError, with the end of its log, if a child has ended by itself."""
        for program in self._running:
            code = program.exit_code
            if code is not None:
                raise DemoError(
                    f"the {program.name} ended with exit code {code}: see {program.log_path}",
                    log_path=program.log_path,
                )

    def release(self, program: Program) -> None:
        """Let a child live on after this demo."""
        self._running.remove(program)

    def stop(self) -> None:
        """Ask the children to end, the last started first, then make them."""
        for program in reversed(self._running):
            program.signal(signal.SIGTERM)
        until = time.monotonic() + STOP_GRACE_SECONDS
        for program in reversed(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(max(0.1, until - time.monotonic()))
        for program in self._running:
            if program.exit_code is None:
                program.signal(signal.SIGKILL)
                program.process.wait()
        self._running.clear()

    def __enter__(self) -> Programs:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the children, whatever happened; a second Ctrl-C does not interrupt that."""
        with _signals(signal.SIG_IGN):
            self.stop()


def child_environment(nodes: int, cores: int | None = None) -> dict[str, str]:
    """Return the variables that let `nodes` processes share this machine, without a network."""
    threads = str(max(1, (cores or os.cpu_count() or 1) // nodes))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        **dict.fromkeys(names, threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "FLWR_TELEMETRY_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def free_ports() -> Ports:
    """Find two ports that are free now.

    They are written into the configuration, so that the same files can be used again.
    """
    superlink = free_port()
    registry = free_port()
    while registry == superlink:
        registry = free_port()
    return Ports(superlink=superlink, registry=registry)


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does, in good order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _signals(handler: signal.Handlers) -> Generator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
