"""The node's edge to Flower: its SuperNode process, and the inbox that takes its tasks.

A node runs one `SuperNode` (Flower's own program, as a child process) that talks to the SuperLink,
and one `NodeInbox` in its own process that takes the tasks from that SuperNode and answers them.
No code of an app bundle is ever imported.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto
from flwr.supercore.constant import TaskType

from ._wire import (
    Blob,
    Incoming,
    LinkError,
    Parcel,
    WireError,
    WireLimits,
    pack,
    unpack,
)
from ._wire_process import Child, free_port, tail
from ._wire_runtime import Acquirer, Claim, RuntimeTask

__all__ = ["Incoming", "NodeInbox", "SuperNode", "SuperNodeError"]

BUSY_POLL_SECONDS: Final = 0.05
IDLE_POLL_SECONDS: Final = 0.25
BUSY_FOR_SECONDS: Final = 60.0
FETCH_PATIENCE_SECONDS: Final = 300.0
MIN_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 15.0

_log = logging.getLogger(__name__)


class SuperNodeError(LinkError):
    """The SuperNode cannot be started.

    Attributes:
        log_path: the file with what Flower said.
    """

    def __init__(self, message: str, log_path: Path) -> None:
        super().__init__(f"{message}; the log is in {log_path}")
        self.log_path = log_path


class SuperNode:
    """Flower's SuperNode as a supervised child process.

    It is restarted, with back-off, whenever it ends; above all after its SuperLink was restarted,
    which forgets its nodes. While nobody listens at `superlink` it waits, for ever.

    Args:
        superlink: the SuperLink's address, ``host:port``.
        state_dir: the node's own directory; the log and Flower's files go beneath it.
    """

    def __init__(self, superlink: str, state_dir: Path) -> None:
        self.superlink = superlink
        self.log_path = state_dir / "log" / "supernode.log"
        self._home = state_dir / "flower"
        self._child: Child | None = None
        self._address = ""
        self._restarts = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def runtime_address(self) -> str:
        """Where its Runtime API listens now, ``127.0.0.1:port``; another port after a restart."""
        return self._address

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is down."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    @property
    def restarts(self) -> int:
        """How often it was restarted."""
        return self._restarts

    def start(self) -> None:
        """Start the process and its supervision.

        Raises:
            SuperNodeError: the process cannot be started, or it was started before.
        """
        if self._thread is not None:
            raise SuperNodeError("this SuperNode was started before", self.log_path)
        self._child = self._spawn()
        self._thread = threading.Thread(target=self._supervise, name="supernode", daemon=True)
        self._thread.start()

    def begin_stop(self) -> None:
        """Ask the process to end and return at once; `stop` waits for it."""
        self._stopping.set()
        if self._child is not None:
            self._child.terminate()

    def stop(self) -> None:
        """Stop the process in good order: the SuperLink is told that the node leaves."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._child is not None:
            self._child.stop()

    def __enter__(self) -> SuperNode:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self) -> Child:
        port = free_port()
        self._address = f"127.0.0.1:{port}"
        arguments = ["--insecure", "--superlink", self.superlink, "--isolation", "process"]
        arguments += ["--host", "127.0.0.1", "--port", str(port)]
        try:
            return Child("supernode", arguments, home=self._home, log=self.log_path)
        except OSError as error:
            raise SuperNodeError(f"cannot start the SuperNode: {error}", self.log_path) from error

    def _supervise(self) -> None:
        backoff, started = MIN_BACKOFF_SECONDS, time.monotonic()
        while not self._stopping.wait(0.2):
            code = self._child.poll() if self._child is not None else -1
            if code is None:
                continue
            lived = time.monotonic() - started
            backoff = MIN_BACKOFF_SECONDS if lived > 30 else min(backoff * 2, MAX_BACKOFF_SECONDS)
            _log.warning(
                "supernode_ended exit_code=%s lived_seconds=%.1f restart_in_seconds=%.1f\n%s",
                code,
                lived,
                backoff,
                tail(self.log_path, 4),
            )
            if self._stopping.wait(backoff):
                return
            started = time.monotonic()
            self._restarts += 1
            self._restart()

    def _restart(self) -> None:
        if self._child is not None:
            self._child.stop()
        try:
            self._child = self._spawn()
        except SuperNodeError as error:
            self._child = None
            _log.error("supernode_start_failed error=%s", error)


class NodeInbox:
    """Takes the tasks of one node from its SuperNode and returns the answers.

    `receive` may be called again before an earlier task is answered; `reply` and `fail` may be
    called from other threads. Every task received must be answered once by `reply` or `fail`:
    until then heartbeats keep it alive, for hours if need be.
    """

    def __init__(self, supernode: SuperNode, *, limits: WireLimits | None = None) -> None:
        self._supernode = supernode
        self._limits = limits or WireLimits()
        self._acquirer: Acquirer | None = None
        self._open: dict[str, tuple[RuntimeTask, Message]] = {}
        self._lock = threading.Lock()
        self._worked_at = time.monotonic()

    def receive(self, timeout_seconds: float) -> Incoming | None:
        """Wait for a task; None if none came in time, or if the SuperNode is down.

        A task that is not polyrank's, too large or malformed is answered with an error here.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            claim = self._acquire()
            incoming = self._accept(claim) if claim is not None else None
            now = time.monotonic()
            if incoming is not None:
                self._worked_at = now
                return incoming
            if now >= deadline:
                return None
            busy = now - self._worked_at < BUSY_FOR_SECONDS
            time.sleep(min(BUSY_POLL_SECONDS if busy else IDLE_POLL_SECONDS, deadline - now))

    def reply(
        self,
        incoming: Incoming,
        *,
        envelope: bytes,
        signature: bytes,
        blob: Blob = b"",
        kind: str | None = None,
    ) -> bool:
        """Answer a task and return whether the SuperNode took the answer.

        False is no error: the run is over or the SuperNode was restarted. Keep the result: the
        task will be asked for again.
        """
        parcel = Parcel(kind or incoming.kind, envelope, signature, blob)
        entry = self._close(incoming.message_id)
        return entry is not None and _answer(*entry, pack(parcel))

    def fail(self, incoming: Incoming, reason: str) -> bool:
        """Answer a task with an error; see `reply`."""
        entry = self._close(incoming.message_id)
        return entry is not None and _answer(*entry, _error(reason))

    def is_open(self, incoming: Incoming) -> bool:
        """Whether somebody still waits for the answer to this task."""
        with self._lock:
            entry = self._open.get(incoming.message_id)
        return entry is not None and not entry[0].lost

    def close(self) -> None:
        """Give up the tasks that are open and close the connection."""
        with self._lock:
            entries, self._open = list(self._open.values()), {}
        for task, message in entries:
            _answer(task, message, _error("the node is stopping"))
        if self._acquirer is not None:
            self._acquirer.close()
            self._acquirer = None

    def _acquire(self) -> Claim | None:
        address = self._supernode.runtime_address
        if self._acquirer is not None and self._acquirer.address != address:
            self._acquirer.close()
            self._acquirer = None
        try:
            if self._acquirer is None:
                self._acquirer = Acquirer(address, TaskType.CLIENT_APP)
            return self._acquirer.acquire()
        except LinkError:
            return None  # the SuperNode starts or restarts; its supervisor knows and logs it

    def _accept(self, claim: Claim) -> Incoming | None:
        """Pull a claimed task and register it, or answer it with an error and return None."""
        task = RuntimeTask(self._supernode.runtime_address, claim, self._limits)
        request: Message | None = None
        try:
            foreign = _begin(task)
            (proto, tree), *_ = task.pull_messages([])
            request = message_from_proto(proto)
            request.metadata.__dict__["_message_id"] = tree.object_id
            if foreign is not None:
                raise foreign
            content = task.fetch(tree, patience_seconds=FETCH_PATIENCE_SECONDS).content
            task.confirm(tree.object_id)
            parcel = unpack(content, self._limits)
        except (LinkError, ValueError) as error:
            _log.warning("task_refused run_id=%s error=%s", claim.run_id, error)
            if request is None:
                task.finish(ok=False, details=str(error))
            else:
                _answer(task, request, _error(str(error)))
            return None
        message_id = tree.object_id
        with self._lock:
            self._open[message_id] = (task, request)
        return Incoming(
            message_id,
            task.run_id,
            request.metadata.dst_node_id,
            parcel.kind,
            parcel.envelope,
            parcel.signature,
            parcel.blob,
        )

    def _close(self, message_id: str) -> tuple[RuntimeTask, Message] | None:
        with self._lock:
            return self._open.pop(message_id, None)


def _begin(task: RuntimeTask) -> WireError | None:
    """Start a task; a foreign bundle is returned, since its message must still be answered."""
    try:
        task.begin()
    except WireError as error:
        return error
    return None


def _error(reason: str) -> Error:
    return Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason[:2000])


def reply_to(request: Message, content: RecordDict | Error) -> Message:
    """Build the answer; it lives as long as its request, whatever this machine's clock says.

    Flower dates a reply by the node's clock: one that is ahead would make it expired at birth.
    """
    message = Message(content, reply_to=request)  # type: ignore[call-overload]
    message.metadata.created_at = request.metadata.created_at
    message.metadata.ttl = request.metadata.ttl
    return message


def _answer(task: RuntimeTask, request: Message, content: RecordDict | Error) -> bool:
    """Push an answer and end the task; False if nobody wants it any more."""
    sent = False
    try:
        task.push(reply_to(request, content))
        sent = True
    except LinkError as error:
        _log.warning("answer_not_taken run_id=%s error=%s", task.run_id, error)
    finally:
        task.finish(ok=sent and not isinstance(content, Error))
    return sent
