"""Start Flower's SuperLink or SuperNode as a child of a polyrank process.

``python -m polyrank.client._flower_launch supernode|superlink [Flower's own arguments]``

Flower's programs run unchanged but for this:

- they end with their parent: standard input is a pipe whose other end only the parent holds, and
  the parent's process id is watched too (a forked worker of the parent may hold the pipe open);
- they end when their main loop ends (a SuperNode that lost its SuperLink's trust would otherwise
  live on as an HTTP server that fetches nothing), so that their supervisor can restart them;
- their log file is copied to ``….1`` and emptied when it passes `MAX_LOG_BYTES`;
- buffers of megabytes are kept for a few seconds, see `_wire_memory`;
- bodies of megabytes are read in fewer pieces, see `READ_BYTES`;
- the SuperNode's loop is made quick and concurrent, see `Loop`. Flower has no setting for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from ._wire_memory import keep_buffers

BUSY_POLL_SECONDS: Final = 0.1
IDLE_POLL_SECONDS: Final = 1.0
EASE: Final = 20.0
LOCAL_POLL_SECONDS: Final = 0.05
PULL_RETRY_SECONDS: Final = 0.05
MAX_RECONNECT_SECONDS: Final = 5
MAX_LOG_BYTES: Final = 16 * 2**20
READ_BYTES: Final = 2**20
"""Bytes of a body that are handed on at once. uvicorn's and httpcore's own 64 KiB cost a third of
the time of a chunk of 5 MB: each piece passes every layer of Flower's HTTP server on its own."""
EXIT_LOOP_ENDED: Final = 75


class Loop:
    """Changes three things in the main loop of Flower's SuperNode.

    - It asks for messages every 0.1 s just after work, and eases off to every second within 20 s,
      so that many waiting nodes do not keep the SuperLink busy; Flower asks every 3 s.
    - It does not wait for the answer to one message before it asks for the next, so that a node
      can say who it is, or join a second request to the first, while it trains for an hour.
    - It notices an answer of the node within 0.05 s instead of 0.5 s.

    `pull`, `push` and `sleep` take the places of the loop's own functions and of ``time.sleep``.
    """

    def __init__(self, pull: Callable[..., int | None], push: Callable[..., None]) -> None:
        self._pull, self._push = pull, push
        self._state: Any = None
        self._worked_at = time.monotonic()

    def pull(self, **kwargs: Any) -> int | None:
        """Fetch a message; not None also means that answers wait to be sent."""
        self._state = kwargs["state"]
        run_id = self._pull(**kwargs)
        if run_id is None and self._answered():
            run_id = 0
        if run_id is not None:
            self._worked_at = time.monotonic()
        return run_id

    def push(self, **kwargs: Any) -> None:
        """Send the answers that are there; return at once if there are none."""
        if self._answered():
            self._push(**kwargs)

    def sleep(self, seconds: float) -> None:
        """Sleep until it is time to ask again, or until there is an answer to send."""
        if seconds < 1:  # the loop waits for the last chunks of an answer
            time.sleep(LOCAL_POLL_SECONDS)
            return
        now = time.monotonic()
        pause = max((now - self._worked_at) / EASE, BUSY_POLL_SECONDS)
        until = now + min(pause, IDLE_POLL_SECONDS)
        while time.monotonic() < until and not self._answered():
            time.sleep(LOCAL_POLL_SECONDS)

    def _answered(self) -> bool:
        if self._state is None:
            return False
        with self._state.lock_msg_store:
            return any(
                entry.message.metadata.reply_to_message_id and not entry.is_retrieved
                for entry in self._state.msg_store.values()
            )


def main() -> None:
    """Run the program named by the first argument."""
    program = sys.argv[1]
    sys.argv = [f"flower-{program}", *sys.argv[2:]]
    threading.Thread(target=_watch, name="polyrank-watch", daemon=True).start()
    keep_buffers()
    quick_http()
    run = quick_supernode() if program == "supernode" else _superlink()
    run()
    sys.stdout.flush()
    os._exit(EXIT_LOOP_ENDED)


def quick_http() -> None:
    """Let the HTTP servers and clients of this process handle bodies in larger pieces."""
    from httpcore._sync import http11 as client
    from uvicorn.protocols.http import httptools_impl as server

    _replace(server, HIGH_WATER_LIMIT=READ_BYTES)
    _replace(client.HTTP11Connection, READ_NUM_BYTES=READ_BYTES)


def quick_supernode() -> Callable[[], None]:
    """Change Flower's SuperNode in this process and return its main function."""
    from flwr.common import constant as common
    from flwr.supercore import constant

    _replace(common, MAX_RETRY_DELAY=MAX_RECONNECT_SECONDS)
    _replace(constant, PULL_INITIAL_BACKOFF=PULL_RETRY_SECONDS, PULL_BACKOFF_CAP=1.0)
    # only now may those be imported that bind these as defaults
    from flwr.supernode import start_client_internal as module
    from flwr.supernode.cli.flower_supernode import flower_supernode

    pull, push = module._pull_and_store_message, module._push_messages  # pyright: ignore[reportPrivateUsage]
    loop = Loop(pull, push)
    _replace(module, _pull_and_store_message=loop.pull, _push_messages=loop.push, time=loop)
    return flower_supernode


def _replace(module: ModuleType | type, **names: object) -> None:
    for name, value in names.items():
        if not hasattr(module, name):
            raise ImportError(f"{module.__name__} has no {name}: this is not the flwr we know")
        setattr(module, name, value)


def _superlink() -> Callable[[], None]:
    from flwr.superlink.cli.flower_superlink import flower_superlink

    return flower_superlink


def _watch() -> None:
    """End this process when its parent is gone; keep its log small."""
    parent = os.getppid()
    while True:
        readable, _, _ = select.select([0], [], [], 1.0)
        if (readable and not os.read(0, 1)) or os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        _trim_log()


def _trim_log() -> None:
    """Copy and empty the log file, which the parent opened for appending as our output."""
    path = os.environ.get("POLYRANK_LOG_FILE", "")
    with contextlib.suppress(OSError):  # a full disk must not end the thread that watches
        if path and os.path.getsize(path) > MAX_LOG_BYTES:
            with contextlib.suppress(OSError):  # no room for the copy: the log still has its bound
                shutil.copyfile(path, f"{path}.1")
            os.truncate(path, 0)
            print(f"the log so far is in {path}.1", flush=True)


if __name__ == "__main__":
    main()
