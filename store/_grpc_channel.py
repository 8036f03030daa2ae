"""One connection to a registry server: calls, streams, deadlines, errors in our own words."""

from __future__ import annotations

import hashlib
import io
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message import Message

from ._errors import BlobDamaged, Closed, StoreError
from ._grpc_address import check_token, target
from ._grpc_calls import CALLS, MAX_REPLY_BYTES, READ, WATCH, Call
from ._grpc_codec import fill, from_message
from ._grpc_errors import MAX_METADATA_BYTES, from_status
from ._records import Event
from ._registry_types import Watch

CONNECT_SECONDS = 10.0
CALL_SECONDS = 60.0
# The whole of one blob, however large; a server that died is noticed within 40 s by pings.
READ_SECONDS = 3600.0

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # a registry is on this machine or behind a tunnel
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A restarted server is found again at once, not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class _Stream(Protocol):
    """What grpc returns for a server stream, as far as it is used here."""

    def __next__(self) -> Message: ...
    def cancel(self) -> bool: ...
    def is_active(self) -> bool: ...
    def code(self) -> grpc.StatusCode: ...
    def initial_metadata(self) -> object: ...


class Channel:
    """Calls to one server; safe for several threads."""

    def __init__(self, url: str, *, token: str | None) -> None:
        check_token(token)
        self.url = url
        self._channel = grpc.insecure_channel(target(url, token=token), options=_OPTIONS)
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.closed = False

    def one(self, name: str, /, *, seconds: float = CALL_SECONDS, **arguments: object) -> Any:
        """Call by the registry's name for it and return the one record it answers with."""
        call = CALLS[name]
        request = self._request(call, arguments)
        invoke = self._channel.unary_unary(
            call.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        try:
            reply = invoke(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self.translate(error, name, seconds) from error
        return from_message(call.item, reply)

    def many(self, name: str, /, **arguments: object) -> tuple[list[Any], str | None]:
        """Call and return all records of the answer, and the token of the next page, if any."""
        call = CALLS[name]
        items: list[Any] = []
        token: str | None = None
        stream = self.stream(name, call, arguments, seconds=CALL_SECONDS)
        for batch in stream:
            messages = cast("Any", batch)
            items += [from_message(call.item, message) for message in messages.items]
            if "next_page_token" in messages.DESCRIPTOR.fields_by_name:
                token = messages.next_page_token if messages.HasField("next_page_token") else None
        return items, token

    def stream(
        self, name: str, call: Call, arguments: dict[str, object], *, seconds: float | None
    ) -> Stream:
        """Begin a server stream."""
        request = self._request(call, arguments)
        invoke = self._channel.unary_stream(
            call.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=call.reply.FromString,
        )
        with self._lock:
            self.refuse_if_closed()
            rpc = cast("Any", invoke(request, timeout=seconds, metadata=self._metadata))
            stream = Stream(self, rpc, name, seconds or 0.0)
            self._streams.add(stream)
        return stream

    def translate(self, error: grpc.RpcError, name: str, seconds: float) -> StoreError:
        """Say in our own words what went wrong with a call."""
        if self.closed:
            return Closed(f"registry {self.url}")
        return from_status(error, address=self.url, call=name, deadline_seconds=seconds)

    def close(self) -> None:
        """End the streams and let go of the connection; safe to call twice."""
        with self._lock:
            self.closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.close()
        self._channel.close()

    def _request(self, call: Call, arguments: dict[str, object]) -> Message:
        self.refuse_if_closed()
        request = call.request()
        fill(request, arguments)
        return request

    def refuse_if_closed(self) -> None:
        """Raise Closed after close()."""
        if self.closed:
            raise Closed(f"registry {self.url}")


class Stream(Iterator[Message]):
    """The messages of one server stream; close() ends it from any thread."""

    def __init__(self, channel: Channel, rpc: _Stream, name: str, seconds: float) -> None:
        self._channel = channel
        self._rpc = rpc
        self._name = name
        self._seconds = seconds
        self.closed = False

    def __next__(self) -> Message:
        try:
            return next(self._rpc)
        except grpc.RpcError as error:
            raise self._channel.translate(error, self._name, self._seconds) from error

    def wait_until_begun(self) -> None:
        """Wait until the server took the call; raise what it refused it with."""
        self._rpc.initial_metadata()
        if not self._rpc.is_active() and self._rpc.code() is not grpc.StatusCode.OK:
            error = cast("grpc.RpcError", self._rpc)
            raise self._channel.translate(error, self._name, self._seconds) from error

    def close(self) -> None:
        """End the stream; safe to call twice."""
        self.closed = True
        self._rpc.cancel()


class RemoteWatch(Watch):
    """Events as the server sends them. Raises Unavailable when the server goes away."""

    def __init__(self, channel: Channel, *, since: int, timeout_seconds: float | None) -> None:
        self._channel = channel
        arguments: dict[str, object] = {"since": since, "timeout_seconds": timeout_seconds}
        self._stream = channel.stream("watch", WATCH, arguments, seconds=None)
        self._stream.wait_until_begun()

    def __next__(self) -> Event:
        if self._stream.closed:
            raise StopIteration
        try:
            return from_message(Event, next(self._stream))
        except StoreError:
            if self._stream.closed:
                raise StopIteration from None
            raise

    def close(self) -> None:
        self._stream.close()


class RemoteBlob(io.RawIOBase):
    """A version's bytes as they arrive, one chunk in memory; checked at the end of the stream."""

    def __init__(self, channel: Channel, ref: str) -> None:
        super().__init__()
        self._stream = channel.stream("open", READ, {"ref": ref}, seconds=READ_SECONDS)
        first = cast("Any", next(self._stream))
        self._digest = str(first.digest)
        self._left = int(first.size_bytes)
        self._url = channel.url
        self._hash = hashlib.sha256()
        self._chunk = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer; 0 at the end, after the digest was found to be right."""
        while not self._chunk and not self._ended:
            self._receive()
        count = min(len(buffer), len(self._chunk))
        buffer[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def close(self) -> None:
        """End the transfer."""
        if not self.closed:
            self._stream.close()
        super().close()

    def _receive(self) -> None:
        message = next(self._stream, None)
        if message is None:
            self._ended = True
            if self._left or self._hash.hexdigest() != self._digest:
                problem = "other bytes arrived than were sent"
                raise BlobDamaged(self._digest, self._url, problem)
            return
        data = cast("bytes", cast("Any", message).data)
        self._hash.update(data)
        self._left -= len(data)
        self._chunk = memoryview(data)
