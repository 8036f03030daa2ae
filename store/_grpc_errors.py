"""One table between the package's errors and gRPC's statuses, both ways.

A status alone says little, so a failed call also carries an Error message in its trailing
metadata: the class, its bases and its facts, from which the client builds the same error again.
Statuses without that message come from gRPC itself (no server, deadline, wrong token) and have
a table of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError

from . import _registry_pb2 as pb
from ._errors import (
    AddressInUse,
    AddressRefused,
    AlreadyExists,
    BlobDamaged,
    BlobMissing,
    BlobTooLarge,
    Closed,
    Conflict,
    DeadlineExceeded,
    FilterError,
    InvalidBlob,
    InvalidValue,
    NotFound,
    PageTokenError,
    ProfileMismatch,
    RefError,
    RemoteFailure,
    SchemaTooNew,
    StaleEpoch,
    StorageFailure,
    StoreBusy,
    StoreError,
    Unauthenticated,
    Unavailable,
    Unsupported,
    UrlError,
)
from ._json import dumps, loads

DETAILS_KEY = "polyrank-error-bin"
MAX_MESSAGE_CHARACTERS = 1000
MAX_FACT_CHARACTERS = 2000
# The trailers above fit in this, percent-encoding and all; gRPC's own limit is 8 KiB.
MAX_METADATA_BYTES = 65536

_Code = grpc.StatusCode

STATUS: dict[type[StoreError], grpc.StatusCode] = {
    StoreError: _Code.UNKNOWN,
    InvalidValue: _Code.INVALID_ARGUMENT,
    RefError: _Code.INVALID_ARGUMENT,
    FilterError: _Code.INVALID_ARGUMENT,
    PageTokenError: _Code.INVALID_ARGUMENT,
    UrlError: _Code.INVALID_ARGUMENT,
    NotFound: _Code.NOT_FOUND,
    AlreadyExists: _Code.ALREADY_EXISTS,
    Conflict: _Code.FAILED_PRECONDITION,
    StaleEpoch: _Code.ABORTED,
    InvalidBlob: _Code.INVALID_ARGUMENT,
    BlobTooLarge: _Code.INVALID_ARGUMENT,
    ProfileMismatch: _Code.INVALID_ARGUMENT,
    BlobDamaged: _Code.DATA_LOSS,
    BlobMissing: _Code.DATA_LOSS,
    SchemaTooNew: _Code.FAILED_PRECONDITION,
    StoreBusy: _Code.RESOURCE_EXHAUSTED,
    StorageFailure: _Code.INTERNAL,
    Closed: _Code.UNAVAILABLE,
    Unsupported: _Code.UNIMPLEMENTED,
    Unavailable: _Code.UNAVAILABLE,
    DeadlineExceeded: _Code.DEADLINE_EXCEEDED,
    Unauthenticated: _Code.UNAUTHENTICATED,
    AddressInUse: _Code.FAILED_PRECONDITION,
    AddressRefused: _Code.FAILED_PRECONDITION,
    RemoteFailure: _Code.UNKNOWN,
}

_BY_NAME = {kind.__name__: kind for kind in STATUS}


def to_status(error: StoreError) -> tuple[grpc.StatusCode, str, bytes]:
    """Return an error's status, its message, and the value of the metadata `DETAILS_KEY`."""
    kinds = [base for base in type(error).__mro__ if issubclass(base, StoreError)]
    known = next(kind for kind in kinds if kind in STATUS)
    details = pb.Error(
        kinds=[kind.__name__ for kind in kinds],
        facts=pb.Json(text=dumps({name: _clip(fact) for name, fact in error.facts.items()})),
    )
    return STATUS[known], str(error)[:MAX_MESSAGE_CHARACTERS], details.SerializeToString()


def from_status(
    error: grpc.RpcError, *, address: str, call: str, deadline_seconds: float
) -> StoreError:
    """Return the error that the server raised, or the one that says what failed on the way."""
    failed = cast("grpc.Call", error)
    trailers = cast("Iterable[tuple[str, str | bytes]]", failed.trailing_metadata() or ())
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            rebuilt = _rebuild(value)
            if rebuilt is not None:
                return rebuilt
    problem = " ".join((failed.details() or "no details").split())
    return _of_the_way(failed.code(), problem, address, call, deadline_seconds)


def _of_the_way(
    code: grpc.StatusCode, problem: str, address: str, call: str, deadline_seconds: float
) -> StoreError:
    match code:
        case _Code.UNAVAILABLE:
            return Unavailable(address, _plain(problem))
        case _Code.DEADLINE_EXCEEDED:
            return DeadlineExceeded(address, call, deadline_seconds)
        case _Code.UNAUTHENTICATED:
            return Unauthenticated(address)
        case _Code.UNIMPLEMENTED:
            return Unsupported(call, address, "the server is older and lacks it; upgrade it")
        case _Code.CANCELLED:
            return Closed(call)
        case _:
            return RemoteFailure(address, code.name, problem)


def _plain(problem: str) -> str:
    # gRPC lists every address and socket call it tried; the last part is the reason.
    return problem.rpartition(": ")[2] if "failed to connect" in problem else problem


def _clip(fact: Any) -> Any:
    if isinstance(fact, str) and len(fact) > MAX_FACT_CHARACTERS:
        return fact[:MAX_FACT_CHARACTERS] + "…"
    return fact


def _rebuild(details: bytes) -> StoreError | None:
    try:
        message = pb.Error.FromString(details)
        facts = cast("dict[str, Any]", loads(message.facts.text or "{}"))
        kind = next(_BY_NAME[name] for name in message.kinds if name in _BY_NAME)
        return kind(**facts) if kind is not StoreError else None
    except (DecodeError, ValueError, TypeError, StopIteration, InvalidValue):
        # A newer server's class or facts: the caller reports the status instead.
        return None
