"""The coordinator's edge to Flower: the SuperLink process and the driver's session in a run.

The daemon starts one `SuperLink` (Flower's own program, as a child process, on loopback only) and
opens one `DriverSession` in it: a Flower run whose server app is this very process. When the
SuperLink dies, its run dies with it: the caller starts a new SuperLink and a new session and
resumes from its own records.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final

from flwr.app import Message
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import GetNodesRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.control.control_http_client import ControlHttpClient

from ..client._wire import (
    MESSAGE_TYPE,
    Blob,
    Failure,
    Incoming,
    LinkError,
    LinkLost,
    Parcel,
    WireError,
    WireLimits,
    pack,
    unpack,
)
from ..client._wire_bundle import BUNDLE, BUNDLE_DIGEST
from ..client._wire_runtime import Acquirer, MessageRefused, NotReady, RuntimeTask, call, connect
from ._flower_superlink import PortInUse, SuperLink, SuperLinkError

__all__ = [
    "DriverSession",
    "Failure",
    "Incoming",
    "LinkError",
    "LinkLost",
    "NodeGone",
    "PortInUse",
    "SuperLink",
    "SuperLinkError",
    "WireLimits",
]

OPEN_TIMEOUT_SECONDS: Final = 30.0
PULL_PATIENCE_SECONDS: Final = 5.0


class NodeGone(LinkError):
    """No node has this address (any more); it may be back under another.

    Attributes:
        node_id: the address.
    """

    def __init__(self, node_id: int) -> None:
        super().__init__(f"no node is connected under the address {node_id}")
        self.node_id = node_id


class DriverSession:
    """A Flower run in which this process is the server app; usable as a context manager.

    Every method raises `LinkLost` once the SuperLink or the run is gone. Not thread-safe, but for
    `close`.

    Args:
        address: the SuperLink's ``host:port``.
        limits: the largest sizes accepted from nodes.
    """

    def __init__(self, address: str, *, limits: WireLimits | None = None) -> None:
        self._address = address
        self._limits = limits or WireLimits()
        self._task: RuntimeTask | None = None
        self._sent: dict[str, int] = {}
        self._ready: dict[str, tuple[MessageProto, ObjectTree]] = {}
        self._discarded: set[str] = set()
        self._lock = threading.Lock()

    @property
    def run_id(self) -> int:
        """Flower's id of the run."""
        return self._live().run_id

    @property
    def alive(self) -> bool:
        """Whether the run was still known at the last heartbeat or call."""
        return self._task is not None and not self._task.lost

    def open(self) -> None:
        """Submit a run and take its server-app task.

        Raises:
            LinkLost: no SuperLink answers.
            LinkError: it refuses the run, or another process takes its tasks.
        """
        control = connect(ControlHttpClient, self._address, "cli")
        try:
            fab = Fab(hash_str=BUNDLE_DIGEST, content=BUNDLE)
            answer = call(control.StartRun, StartRunRequest(fab=fab), patience_seconds=2.0)
        finally:
            control.close()
        if not answer.HasField("run_id"):
            raise LinkError(f"the SuperLink at {self._address} refused polyrank's run; see its log")
        task = self._acquire(answer.run_id)
        try:
            task.begin()
        except LinkError:
            task.finish(ok=False)
            raise
        task.node_id = SUPERLINK_NODE_ID
        self._task = task

    def close(self, ok: bool = True) -> None:
        """End the run; harmless when it is over already."""
        with self._lock:
            task, self._task = self._task, None
        if task is not None:
            task.finish(ok=ok, details="" if ok else "the driver has stopped")

    def node_ids(self) -> set[int]:
        """Return the addresses of the nodes that are connected now."""
        task = self._live()
        return {node.node_id for node in task.request("GetNodes", GetNodesRequest()).nodes}

    def send(
        self,
        node_id: int,
        kind: str,
        envelope: bytes,
        signature: bytes,
        blob: Blob = b"",
        *,
        ttl_seconds: float,
    ) -> str:
        """Send a task to a node and return the message's id; the blob is sent without a copy.

        Flower drops the task, and a late reply, after `ttl_seconds`.

        Raises:
            NodeGone: no such node is connected.
        """
        task = self._live()
        metadata = Metadata(
            run_id=task.run_id,
            message_id="",
            src_node_id=SUPERLINK_NODE_ID,
            dst_node_id=node_id,
            reply_to_message_id="",
            group_id="",
            created_at=time.time(),
            ttl=ttl_seconds,
            message_type=MESSAGE_TYPE,
        )
        metadata.delivered_at = ""
        content = pack(Parcel(kind, envelope, signature, blob))
        try:
            message_id = task.push(make_message(metadata, content=content))
        except MessageRefused as error:
            raise NodeGone(node_id) from error
        self._sent[message_id] = node_id
        return message_id

    def poll(self, message_ids: Iterable[str]) -> set[str]:
        """Return those messages whose reply, or failure, can be pulled now; moves no blob.

        An id is this session's as returned by `send`; others are never ready.
        """
        task = self._live()
        wanted = {key for key in message_ids if key in self._sent}
        unknown = (wanted | self._discarded) - self._ready.keys()
        if unknown:
            for proto, tree in task.pull_messages(sorted(unknown)):
                self._ready[proto.metadata.reply_to_message_id] = (proto, tree)
        for key in self._discarded & self._ready.keys():
            self.confirm(key)
        return {key for key in wanted & self._ready.keys() if self._uploaded(task, key)}

    def pull(self, message_id: str) -> Incoming | Failure | None:
        """Return one reply, or None if it is not there (yet).

        The blob is one buffer that belongs to the caller. The reply stays in Flower, and can be
        pulled again, until `confirm`.
        """
        task = self._live()
        if message_id not in self.poll([message_id]):
            return None
        proto, tree = self._ready[message_id]
        node_id = self._sent[message_id]
        if proto.HasField("error"):
            error = message_from_proto(proto).error
            return Failure(message_id, node_id, error.code, error.reason or "no reason given")
        try:
            message = task.fetch(tree, patience_seconds=PULL_PATIENCE_SECONDS)
            return self._incoming(message_id, message)
        except NotReady:
            return None
        except WireError as error:
            return Failure(message_id, node_id, 0, str(error))

    def confirm(self, message_id: str) -> None:
        """Let Flower delete a reply that is digested; forget the message."""
        task = self._live()
        self._sent.pop(message_id, None)
        self._discarded.discard(message_id)
        entry = self._ready.pop(message_id, None)
        if entry is not None:
            task.confirm(entry[1].object_id)

    def discard(self, message_id: str) -> None:
        """Forget a message that is not waited for any more.

        Its reply may still come, and would stay in Flower's memory: the polls that follow delete
        it unread.
        """
        if self._sent.pop(message_id, None) is not None:
            self._discarded.add(message_id)

    def __enter__(self) -> DriverSession:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(ok=error is None)

    def _live(self) -> RuntimeTask:
        task = self._task
        if task is None or task.lost:
            raise LinkLost(f"no run is open at {self._address}: start a new session")
        return task

    def _acquire(self, run_id: int) -> RuntimeTask:
        """Take the task of our run; end the runs of others, which nobody here may execute."""
        acquirer = Acquirer(self._address, TaskType.SERVER_APP)
        deadline = time.monotonic() + OPEN_TIMEOUT_SECONDS
        try:
            while time.monotonic() < deadline:
                claim = acquirer.acquire()
                if claim is None:
                    time.sleep(0.02)
                    continue
                task = RuntimeTask(self._address, claim, self._limits)
                if claim.run_id == run_id:
                    return task
                task.finish(ok=False, details="only polyrank's own run is served here")
        finally:
            acquirer.close()
        raise LinkError(f"the task of run {run_id} did not appear at {self._address}")

    def _uploaded(self, task: RuntimeTask, message_id: str) -> bool:
        proto, tree = self._ready[message_id]
        try:
            return proto.HasField("error") or task.available(tree.object_id)
        except WireError:
            return True  # gone for good: `pull` says so

    def _incoming(self, message_id: str, message: Message) -> Incoming:
        parcel = unpack(message.content, self._limits)
        metadata = message.metadata
        return Incoming(
            message_id,
            metadata.run_id,
            self._sent[message_id],
            parcel.kind,
            parcel.envelope,
            parcel.signature,
            parcel.blob,
        )
