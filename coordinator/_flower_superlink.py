"""Flower's SuperLink as a child process of the daemon, on loopback only.

Whoever reaches a SuperLink can submit runs to it (its control API has no authentication), so it
listens on loopback and nowhere else. Its state is in memory: a kill fails its runs either way, and
the daemon's own records are what counts.

A file ``superlink.pid`` in the data directory names the process and its daemon. A SuperLink ends
with its daemon; should one be left over, the next `SuperLink.start` of the same data directory
ends it.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from ..client._wire import LinkError
from ..client._wire_process import Child, tail

DEFAULT_PORT: Final = 9092
PORT_PATIENCE_SECONDS: Final = 5.0
_LOOPBACK: Final = ("127.0.0.1", "::1")


class PortInUse(LinkError):
    """Another program listens on the port.

    Attributes:
        host: the address.
        port: the port.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is in use by another program: stop it, or choose another port "
            "for the SuperLink (superlink.port)"
        )
        self.host = host
        self.port = port


class SuperLinkError(LinkError):
    """The SuperLink does not start, or may not.

    Attributes:
        log_path: the file with what Flower said.
    """

    def __init__(self, message: str, log_path: Path) -> None:
        super().__init__(message)
        self.log_path = log_path


class SuperLink:
    """One SuperLink; usable as a context manager, and startable again after `stop` or a crash.

    Args:
        data_dir: the daemon's own directory; the log, Flower's files and the pid file go there.
        port: the one port of Flower's control, fleet and runtime APIs.
        host: a loopback address.
    """

    def __init__(
        self, data_dir: Path, *, port: int = DEFAULT_PORT, host: str = _LOOPBACK[0]
    ) -> None:
        self.log_path = data_dir / "log" / "superlink.log"
        if host not in _LOOPBACK:
            raise SuperLinkError(
                f"the SuperLink must not listen on {host}: it has no authentication; use "
                f"{_LOOPBACK[0]} and let nodes enter through polyrank's own door",
                self.log_path,
            )
        self._host, self._port = host, port
        self._home = data_dir / "flower"
        self._pid_file = data_dir / "superlink.pid"
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """The address for nodes and sessions, ``host:port``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is down."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Start the process and return when it answers.

        Raises:
            PortInUse: another program has the port; nothing was started.
            SuperLinkError: it ended or did not answer in time, or another daemon that is alive
                uses this data directory.
        """
        if self.pid is not None:
            raise SuperLinkError(f"this SuperLink runs already, as {self.pid}", self.log_path)
        self.stop()  # what is left of one that ended by itself
        left_over = self._end_orphan()
        self._check_port(patience_seconds=PORT_PATIENCE_SECONDS if left_over else 0.0)
        arguments = ["--insecure", "--host", self._host, "--port", str(self._port)]
        arguments += ["--isolation", "process", "--disable-runtime-dependency-installation"]
        try:
            self._child = Child("superlink", arguments, home=self._home, log=self.log_path)
        except OSError as error:
            raise SuperLinkError(f"cannot start the SuperLink: {error}", self.log_path) from error
        self._write_pid(self._child.pid)
        self._await_answer(self._child, timeout_seconds)

    def poll(self) -> int | None:
        """Return the exit code once the process has ended, None while it runs.

        Raises:
            SuperLinkError: it was never started.
        """
        if self._child is None:
            raise SuperLinkError("this SuperLink was not started", self.log_path)
        return self._child.poll()

    def stop(self) -> None:
        """Stop the process; harmless when it has ended."""
        if self._child is not None:
            self._child.stop()
            self._pid_file.unlink(missing_ok=True)

    def __enter__(self) -> SuperLink:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _check_port(self, patience_seconds: float) -> None:
        """Try the port; the last threads of an orphan may hold it longer than it seems to live."""
        deadline = time.monotonic() + patience_seconds
        while (code := self._bind()) == errno.EADDRINUSE and time.monotonic() < deadline:
            time.sleep(0.05)
        if code == errno.EADDRINUSE:
            raise PortInUse(self._host, self._port)
        if code:
            raise SuperLinkError(
                f"cannot listen on {self.address}: {os.strerror(code)}", self.log_path
            )

    def _bind(self) -> int:
        """Try the port as the SuperLink will, and return the error number or 0."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._host, self._port))
            except OSError as error:
                return error.errno or errno.EINVAL
        return 0

    def _await_answer(self, child: Child, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while child.poll() is None:
            if self._answers():
                return
            if time.monotonic() >= deadline:
                child.stop()
                raise SuperLinkError(
                    f"the SuperLink did not answer at {self.address} within {timeout_seconds:.0f} "
                    f"s; its log, {self.log_path}, ends:\n{tail(self.log_path)}",
                    self.log_path,
                )
            time.sleep(0.05)
        raise SuperLinkError(
            f"the SuperLink ended with exit code {child.poll()} before it answered; its log, "
            f"{self.log_path}, ends:\n{tail(self.log_path)}",
            self.log_path,
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=2.0)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _write_pid(self, pid: int) -> None:
        record = {
            "pid": pid,
            "started": process_start(pid),
            "daemon_pid": os.getpid(),
            "daemon_started": process_start(os.getpid()),
        }
        temporary = self._pid_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        temporary.replace(self._pid_file)

    def _end_orphan(self) -> bool:
        """End the SuperLink that a dead daemon of this data directory left.

        Returns:
            Whether there was such a daemon; its SuperLink may have ended by itself just now.
        """
        try:
            record = json.loads(self._pid_file.read_text(encoding="utf-8"))
            pid, started = int(record["pid"]), str(record["started"])
            daemon, daemon_started = int(record["daemon_pid"]), str(record["daemon_started"])
        except (OSError, ValueError, KeyError, TypeError):
            return False  # there is none, or the file was not finished: then the port decides
        if not started or process_start(pid) != started:
            return True
        if daemon != os.getpid() and process_start(daemon) == daemon_started:
            raise SuperLinkError(
                f"another daemon (process {daemon}) runs a SuperLink (process {pid}) for this data "
                "directory: stop it first",
                self.log_path,
            )
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10.0
        while process_start(pid) == started and time.monotonic() < deadline:
            time.sleep(0.02)
        return True


def process_start(pid: int) -> str:
    """Return a mark of when a process started, empty if it does not run (or is a zombie).

    With the pid it tells a process from a later one that was given the same number.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _start_from_ps(pid)
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _start_from_ps(pid: int) -> str:
    """Ask ``ps``, where there is no /proc (macOS)."""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
