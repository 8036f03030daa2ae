"""Daemons and nodes that start at once: one process imports the libraries, and forks.

Half of a federation's start is importing torch and Flower, again in each of its processes. The
forked processes are as real as any (own pid, own memory, own files and sockets, killed alone); only
the imports are shared. `make soak` runs the same cells with plain processes and command lines.

Run as a script, this is the nursery itself: requests come in as JSON lines, pids go out, and how a
process ended is written beside its output.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# what the processes of a world import besides the product: the coordinator suite's toys
PATH = os.pathsep.join(
    [
        str(HERE.parents[1]),
        str(HERE.parent / "coordinator"),
        *filter(None, [os.getenv("PYTHONPATH")]),
    ]
)


class Forked:
    """A process of the nursery, with the face of subprocess.Popen."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = folder / f"{pid}.ended"

    def poll(self) -> int | None:
        if self.returncode is None and self._ended.exists():
            self.returncode = int(self._ended.read_text())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (3600.0 if timeout is None else timeout)
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """Starts the nursery's process; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PATH},
        )

    def start(
        self, arguments: list[str], *, env: Mapping[str, str], output: Path, cwd: Path
    ) -> Forked:
        """Start `polyrank ARGUMENTS`, or a node when the first argument is "node"."""
        request = {"arguments": arguments, "env": dict(env), "output": str(output), "cwd": str(cwd)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()), self._folder)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)


def serve(folder: Path) -> dict[str, Any] | None:
    """Fork for each request; return the request in the new process, None when told to end."""
    reader = os.fdopen(os.dup(0), "r", buffering=1)
    while True:
        _note_ends(folder)
        if not select.select([reader], [], [], 0.05)[0]:
            continue
        line = reader.readline()  # one request at a time: the answer is awaited before the next
        if not line:
            return None
        pid = os.fork()
        if pid == 0:
            reader.close()
            return json.loads(line)
        print(pid, flush=True)


def _note_ends(folder: Path) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        temporary = folder / f"{pid}.tmp"
        temporary.write_text(str(os.waitstatus_to_exitcode(status)))
        temporary.replace(folder / f"{pid}.ended")


def become(request: Mapping[str, Any]) -> None:
    """Turn this forked process into the one that was asked for."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    kind, *rest = request["arguments"]
    if kind == "node":
        sys.argv = ["crash_node.py", *rest]
        crash_node.main()
    else:
        sys.argv = ["polyrank", kind, *rest]
        pause.arm()
        main()


if __name__ == "__main__":
    import crash_node
    import pause
    import polyrank.client._node
    import polyrank.coordinator._daemon  # noqa: F401
    from polyrank.coordinator._cli import main

    asked = serve(Path(sys.argv[1]))
    if asked is not None:
        become(asked)
