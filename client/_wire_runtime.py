"""One Flower task, served from inside this process instead of in a process of its own.

A SuperLink and a SuperNode started with ``--isolation process`` offer their tasks on a Runtime
API (protobuf over HTTP). `acquire` takes one, and `RuntimeTask` keeps it alive, moves messages and
ends it. The node's inbox and the coordinator's driver are both built on it.

What is deliberately not used of flwr, and why:

- ``HttpGrid`` and ``make_simple_http_retry_invoker``: on a 401 they send SIGINT to their own
  process, which would be ours, and they retry for ever; ``make_task_heartbeat_fn_http`` too.
- ``RuntimeVersionHttpInterceptor``: it leaves the process on a version mismatch.
- ``pull_and_inflate_object_from_tree``: it holds a blob three times, see `_wire_objects`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import httpx
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SubStatus
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TASK_TOKEN_HEADER, TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata

from ._wire import LinkError, LinkLost, WireError, WireLimits
from ._wire_bundle import BUNDLE_DIGEST
from ._wire_http import LocalTransport
from ._wire_objects import fetch

ClientT = TypeVar("ClientT", bound=Any)

CALL_TIMEOUT_SECONDS: Final = 30.0

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request, some 20 a second


class NotReady(LinkError):
    """The sender has announced an object that it has not uploaded yet; try again later."""


class MessageRefused(LinkError):
    """Flower does not take a message: its receiver is unknown, or it expired."""


class _Headers:
    """Adds the version and the token to each request, and does nothing else."""

    def __init__(self, component: str, token: str) -> None:
        metadata = RuntimeVersionMetadata.from_local_component(component)
        self._headers = {key: str(value) for key, value in metadata.as_metadata()}
        if token:
            self._headers[TASK_TOKEN_HEADER] = token

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Send the request with the headers."""
        context.request.headers.update(self._headers)
        return call_next(context)


def connect(kind: type[ClientT], address: str, component: str, token: str = "") -> ClientT:
    """Build a Flower HTTP client for a loopback address, without retries and without proxies."""
    client = kind(
        f"http://{address}",
        interceptors=[_Headers(component, token)],
        timeout=CALL_TIMEOUT_SECONDS,
    )
    client._client.close()
    client._client = httpx.Client(
        transport=LocalTransport(address), timeout=CALL_TIMEOUT_SECONDS, trust_env=False
    )
    return client


def call(method: Callable[[Any], Any], request: Any, *, patience_seconds: float = 0.0) -> Any:
    """Call a Flower API, trying again for `patience_seconds` while nobody answers.

    Raises:
        LinkLost: nobody answers, or the task, run or token is no longer known.
        LinkError: the call was answered with another error.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return method(request)
        except httpx.TransportError as error:
            if time.monotonic() >= deadline:
                raise LinkLost(f"Flower does not answer: {error!r}") from error
        except httpx.HTTPStatusError as error:
            status, text = error.response.status_code, error.response.text[:500]
            if status in (401, 403):
                raise LinkLost(f"Flower no longer knows this task: {status} {text}") from error
            if status not in (502, 503, 504) or time.monotonic() >= deadline:
                raise LinkError(
                    f"{error.request.url.path} was answered {status}: {text}"
                ) from error
        except ValueError as error:
            raise LinkError(f"the answer is not Flower's: {error}") from error
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Claim:
    """A task taken from a Runtime API; its token authorises the calls that follow."""

    task_type: str
    run_id: int
    token: str


class Acquirer:
    """Asks one Runtime API for tasks of one type."""

    def __init__(self, address: str, task_type: TaskType) -> None:
        self.address = address
        self._client = connect(RuntimeHttpClient, address, "polyrank")
        self._request = AcquireTaskRequest(supported_task_types=[task_type])

    def acquire(self) -> Claim | None:
        """Take the oldest pending task, or None. Raises `LinkError`."""
        answer = call(self._client.AcquireTask, self._request)
        if not answer.token:
            return None
        return Claim(answer.task.type, answer.task.run_id, answer.token)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class RuntimeTask:
    """A claimed task: its heartbeats, its messages and its end. Methods raise `LinkError`."""

    def __init__(
        self, address: str, claim: Claim, limits: WireLimits, *, patience_seconds: float = 2.0
    ) -> None:
        self.run_id = claim.run_id
        self.node_id = 0
        self._limits = limits
        self._patience = patience_seconds
        self._client = connect(RuntimeHttpClient, address, claim.task_type, claim.token)
        self._lost = threading.Event()
        self._heartbeat = HeartbeatSender(self._beat)

    @property
    def lost(self) -> bool:
        """Whether Flower has said that this task is over."""
        return self._lost.is_set()

    def begin(self) -> None:
        """Start the task and its heartbeats.

        Raises:
            WireError: the run's bundle is not the one that polyrank ships.
        """
        self._heartbeat.start()
        answer = self._call(self._client.PullTaskInput, PullTaskInputRequest())
        self.run_id, self.node_id = answer.run.run_id, answer.context.node_id
        if answer.fab.hash_str != BUNDLE_DIGEST:
            raise WireError(
                "foreign_bundle",
                f"run {self.run_id} carries app bundle {answer.fab.hash_str[:16]}, polyrank ships "
                f"{BUNDLE_DIGEST[:16]}: it is another release's run, or not polyrank's",
            )

    def request(self, method: str, request: Any) -> Any:
        """Call any other method of the Runtime API by its name."""
        return self._call(getattr(self._client, method), request)

    def pull_messages(self, message_ids: list[str]) -> list[tuple[MessageProto, ObjectTree]]:
        """Return messages without their contents: the task's own, or replies to these ids."""
        request = PullAppMessagesRequest(message_ids=message_ids)
        answer = self._call(self._client.PullMessages, request)
        return list(zip(answer.messages_list, answer.message_object_trees, strict=True))

    def available(self, object_id: str) -> bool:
        """Whether an object has been uploaded. Raises `WireError` if it never will be."""
        try:
            self._pull(object_id)
        except NotReady:
            return False
        return True

    def fetch(self, tree: ObjectTree, *, patience_seconds: float) -> Message:
        """Pull a message and its blob, see `_wire_objects.fetch`.

        Raises:
            NotReady: the sender did not upload everything within the patience.
            WireError: the message is not polyrank's, too large, or objects are gone.
        """
        deadline = time.monotonic() + patience_seconds
        return fetch(tree, lambda object_id: self._pull(object_id, deadline), self._limits)

    def confirm(self, object_id: str) -> None:
        """Let Flower delete a message and its objects."""
        request = ConfirmMessageReceivedRequest(
            node=Node(node_id=self.node_id), run_id=self.run_id, message_object_id=object_id
        )
        self._call(self._client.ConfirmMessageReceived, request)

    def push(self, message: Message) -> str:
        """Send a message and return its id; the blob is sent in chunks of a few MB.

        Raises:
            MessageRefused: Flower does not take it.
        """
        with no_object_id_recompute():
            message.metadata.__dict__["_message_id"] = message.object_id
            objects = get_all_nested_objects(message)
            request = PushAppMessagesRequest(
                messages_list=[message_to_proto(remove_content_from_message(message))],
                message_object_trees=[get_object_tree(message)],
            )
            answer = self._call(self._client.PushMessages, request)
            if not answer.message_ids or not answer.message_ids[0]:
                raise MessageRefused(f"Flower refused a message of run {self.run_id}; see its log")
            missing = set(answer.objects_to_push)
            for object_id in [key for key in objects if key in missing]:
                content = objects.pop(object_id).deflate()
                self._push_object(object_id, content, answer.session_id)
            return str(answer.message_ids[0])

    def finish(self, *, ok: bool, details: str = "") -> None:
        """End the task; never raises, since an end that is not heard is an end."""
        status = SubStatus.COMPLETED if ok else SubStatus.FAILED
        try:
            if not self.lost:
                request = PushTaskOutputRequest(sub_status=status, details=details[:1000])
                call(self._client.PushTaskOutput, request)
        except LinkError:
            self._lost.set()
        finally:
            if self._heartbeat.is_running:
                self._heartbeat.stop()
            self._client.close()

    def _call(self, method: Callable[[Any], Any], request: Any) -> Any:
        if self.lost:
            raise LinkLost(f"run {self.run_id} is over")
        try:
            return call(method, request, patience_seconds=self._patience)
        except LinkLost:
            self._lost.set()
            raise

    def _beat(self) -> bool:
        """Send one heartbeat; False asks the sender to try again soon."""
        try:
            answer = self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
        except httpx.TransportError:
            return False
        except httpx.HTTPStatusError as error:
            if error.response.status_code >= 500:
                return False
            self._lost.set()
            return True
        if not answer.success:
            self._lost.set()
        return True

    def _pull(self, object_id: str, deadline: float = 0.0) -> bytes:
        request = PullObjectRequest(
            node=Node(node_id=self.node_id), run_id=self.run_id, object_id=object_id
        )
        pause = 0.02
        while True:
            answer = self._call(self._client.PullObject, request)
            if not answer.object_found:
                raise WireError("object_gone", f"object {object_id[:16]} is not in Flower's store")
            if answer.object_available:
                return cast("bytes", answer.object_content)
            if time.monotonic() >= deadline:
                raise NotReady(f"object {object_id[:16]} is announced, not uploaded yet")
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _push_object(self, object_id: str, content: bytes, session_id: str) -> None:
        request = PushObjectRequest(
            node=Node(node_id=self.node_id),
            run_id=self.run_id,
            object_id=object_id,
            object_content=content,
            session_id=session_id,
        )
        if not self._call(self._client.PushObject, request).stored:
            raise LinkError(f"object {object_id[:16]} was not stored: the upload took too long")
