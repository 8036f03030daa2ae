"""The registry's gRPC server: carries each call to a local registry and its answer back.

No rule of the registry lives here. A call runs in a thread of a pool; at most `MAX_CALLS` run at
once, of which `MAX_WATCHES` may be watches, so that watchers never starve readers.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar, cast

import grpc
from google.protobuf.message import Message

from . import _registry_pb2 as pb
from ._decide_choice import Choice
from ._errors import AddressInUse, InvalidValue, StoreError
from ._grpc_address import bind_check, check_token, loopback
from ._grpc_calls import BATCH_BYTES, CALLS, CHUNK_BYTES, READ, SERVICE, WATCH, Call, Shape
from ._grpc_codec import arguments, encode
from ._grpc_errors import DETAILS_KEY, MAX_METADATA_BYTES, to_status
from ._json import loads
from ._records import Page
from ._registry import Registry
from ._registry_types import ANY, Watch

MAX_CALLS = 64
MAX_WATCHES = 32
MAX_REQUEST_BYTES = 1 << 20
GRACE_SECONDS = 1.0

_OPTIONS = (
    # Linux would let a second server share the port and take half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    # Clients ping every 30 s to notice a server that died without a word.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_STOPPING = "the server is stopping"
_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class Server:
    """A running registry server. Stop it before closing its registry."""

    def __init__(self, registry: Registry, *, token: str | None) -> None:
        self._service = _Service(registry, token)
        self._pool = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="polyrank-registry")
        self._server = grpc.server(self._pool, options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
        self._server.add_generic_rpc_handlers((self._service.handlers(),))
        self.host = ""
        self.port = 0

    def start(self, address: str) -> None:
        """Listen on an address; `port` is then the port it got."""
        host, port = loopback(address)
        bind_check(host, port)
        shown = f"[{host}]" if ":" in host else host
        try:
            self.port = self._server.add_insecure_port(f"{shown}:{port}")
        except RuntimeError as error:  # taken between the check and now
            raise AddressInUse(host, port) from error
        self.host = host
        self._server.start()

    @property
    def url(self) -> str:
        """The address for connect()."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"grpc://{shown}:{self.port}"

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Refuse new calls, end the watches, give running calls `grace_seconds`; then return."""
        stopped = self._server.stop(grace_seconds)
        self._service.end_watches()
        stopped.wait()
        self._pool.shutdown(wait=True)


def serve(registry: Registry, address: str, *, token: str | None = None) -> Server:
    """Serve a local registry at `address` ("127.0.0.1:9093"; port 0 takes a free one).

    With a `token`, each call must carry it (connect(url, token=...) does). The connection is not
    encrypted, so only loopback addresses are served.

    Raises AddressRefused if the address is not loopback or not usable, AddressInUse if somebody
    listens there, InvalidValue for a token that cannot travel.
    """
    check_token(token)
    server = Server(registry, token=token)
    try:
        server.start(address)
    except BaseException:
        server.stop(0)
        raise
    return server


class _Service:
    """The handlers of one server."""

    def __init__(self, registry: Registry, token: str | None) -> None:
        self._registry = registry
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._watches: set[Watch] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the handler of every call, by name."""
        methods = {call.rpc: self._handler(name, call) for name, call in CALLS.items()}
        methods[READ.rpc] = self._streaming(READ, self._read)
        methods[WATCH.rpc] = self._streaming(WATCH, self._watch)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def end_watches(self) -> None:
        """End every watch; its client sees that the server is gone, not an end of events."""
        with self._lock:
            self._stopping = True
            watches = list(self._watches)
        for watch in watches:
            watch.close()

    def _handler(self, name: str, call: Call) -> grpc.RpcMethodHandler[Any, Any]:
        method = getattr(self._registry, name)

        def one(request: Message, context: grpc.ServicerContext) -> Message:
            return self._guard(context, lambda: encode(method(**_keywords(name, request))))

        def many(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            found = self._guard(context, lambda: method(**_keywords(name, request)))
            return _batches(call.reply, found)

        if call.shape is Shape.ONE:
            return grpc.unary_unary_rpc_method_handler(one, call.request.FromString, _serialise)
        return grpc.unary_stream_rpc_method_handler(many, call.request.FromString, _serialise)

    def _streaming(
        self, call: Call, answer: Callable[[Any, grpc.ServicerContext], Iterator[Message]]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        def guarded(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            messages = answer(request, context)
            while (message := self._guard(context, lambda: next(messages, None))) is not None:
                yield message

        return grpc.unary_stream_rpc_method_handler(guarded, call.request.FromString, _serialise)

    def _guard(self, context: grpc.ServicerContext, work: Callable[[], _Answer]) -> _Answer:
        """Check the token, do the work, and turn what goes wrong into a status."""
        if self._expected is not None and not self._knows(context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")
        try:
            return work()
        except StoreError as error:
            _abort(context, error)
        except _RefusedError as refused:
            context.abort(refused.status, refused.problem)
        except Exception:
            # The client learns that it was not its fault; what it was is for our log only.
            _log.exception("registry call failed")
            context.abort(grpc.StatusCode.INTERNAL, "an error inside the registry's server")

    def _knows(self, context: grpc.ServicerContext) -> bool:
        metadata = cast("Iterable[tuple[str, str | bytes]]", context.invocation_metadata())
        given = next((value for key, value in metadata if key == "authorization"), b"")
        data = given.encode() if isinstance(given, str) else given
        return self._expected is not None and hmac.compare_digest(data, self._expected)

    def _read(self, request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
        # Resolved once: an alias may move while its bytes are being read.
        version = self._registry.version(request.ref)
        with self._registry.open(version.ref) as source:
            yield pb.Chunk(size_bytes=version.size_bytes, digest=version.digest)
            while data := source.read(CHUNK_BYTES):
                yield pb.Chunk(data=data)

    def _watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
        watch = self._begin_watch(arguments(request))
        try:
            if not context.add_callback(watch.close):
                return  # the client went away before we could ask to be told
            context.send_initial_metadata(())
            for event in watch:
                yield encode(event)
            if self._stopping:
                raise _RefusedError(grpc.StatusCode.UNAVAILABLE, _STOPPING)
        finally:
            with self._lock:
                self._watches.discard(watch)
            watch.close()

    def _begin_watch(self, keywords: dict[str, Any]) -> Watch:
        watch = self._registry.watch(**keywords)
        with self._lock:
            stopping, full = self._stopping, len(self._watches) >= MAX_WATCHES
            if not stopping and not full:
                self._watches.add(watch)
                return watch
        watch.close()
        if stopping:
            raise _RefusedError(grpc.StatusCode.UNAVAILABLE, _STOPPING)
        problem = f"{MAX_WATCHES} watches are open, the most that are served; close one"
        raise _RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, problem)


def _keywords(name: str, request: Message) -> dict[str, Any]:
    keywords = arguments(request)
    if name == "set_alias":
        absent = keywords.pop("expect_absent")
        keywords["expect"] = None if absent else keywords.get("expect", ANY)
    elif name == "force":
        keywords["choice"] = _choice(keywords["choice"])
    for field in ("summary", "card"):
        if field in keywords:
            keywords[field] = _parsed(field, keywords[field])
    return keywords


def _parsed(field: str, text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(field, f"not JSON: {error}") from error


def _choice(text: str) -> Choice:
    try:
        return Choice.from_json(loads(text), field="choice")
    except ValueError as error:
        raise InvalidValue("choice", f"not JSON: {error}") from error


def _batches(reply: type[Message], found: list[Any] | Page[Any]) -> Iterator[Message]:
    """Cut an answer into messages of about `BATCH_BYTES`; an empty answer is no message."""
    items = found.items if isinstance(found, Page) else found
    token = found.next_page_token if isinstance(found, Page) else None
    batch: Any = reply()
    size = 0
    for item in items:
        message = encode(item)
        batch.items.append(message)
        size += message.ByteSize()
        if size >= BATCH_BYTES:
            yield batch
            batch, size = reply(), 0
    if token is not None:
        batch.next_page_token = token
    if batch.ByteSize():
        yield batch


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()


def _abort(context: grpc.ServicerContext, error: StoreError) -> NoReturn:
    status, message, details = to_status(error)
    context.set_trailing_metadata(((DETAILS_KEY, details),))
    context.abort(status, message)


class _RefusedError(Exception):
    """A call that this server, not its registry, refuses."""

    def __init__(self, status: grpc.StatusCode, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
