"""The records that coordinator and nodes exchange: names, limits, packing, parsing.

Both directions use the same shape, one Flower `RecordDict` with two entries:

- ``polyrank``: a `ConfigRecord` with the protocol version, the kind of the task, the envelope
  (canonical JSON bytes, see `_protocol`) and its signature (bytes, may be empty);
- ``blob``: an `ArrayRecord` with one array, ``data``: the blob (an adapter's canonical
  safetensors bytes, or nothing), dtype uint8, one dimension.

The array's bytes are the blob itself, without a header, so that packing and parsing copy nothing
and wire, disk and digest agree. What the envelope says is not this module's business.

Errors: `LinkError` is the root of everything that the Flower edges raise.

    LinkError          (a ClientError)
    ├── WireError      bytes or records that break the rules of this module
    └── LinkLost       the SuperLink, the SuperNode or the run is gone (see `_wire_runtime`)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from ._errors import ClientError
from ._protocol import PROTOCOL_VERSION, SUPPORTED_PROTOCOLS

MESSAGE_TYPE: Final = "query.polyrank"
"""Flower's message type of every task; the kind of the task is in the record."""

RECORD: Final = "polyrank"
FIELD_PROTOCOL: Final = "protocol"
FIELD_KIND: Final = "kind"
FIELD_ENVELOPE: Final = "envelope"
FIELD_SIGNATURE: Final = "signature"
BLOB_RECORD: Final = "blob"
BLOB_ARRAY: Final = "data"
BLOB_DTYPE: Final = "uint8"
BLOB_STYPE: Final = "polyrank.bytes"

_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,63}")

Blob: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes; sent without a copy, so they must not change before `send` returns."""


class LinkError(ClientError):
    """Something between this process and Flower went wrong."""


class LinkLost(LinkError):
    """The SuperLink, the SuperNode or the run is gone; start anew."""


class WireError(LinkError):
    """A record that breaks the wire's rules.

    Attributes:
        reason: a static name, such as ``unsupported_protocol`` or ``blob_too_large``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WireLimits:
    """The largest sizes that are accepted, in bytes."""

    max_envelope_bytes: int = 4 * 2**20
    max_signature_bytes: int = 4096
    max_blob_bytes: int = 8 * 2**30


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one message carries: a signed envelope and a blob, both still unverified."""

    kind: str
    envelope: bytes
    signature: bytes = b""
    blob: Blob = b""
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Incoming:
    """A task as a node gets it, or a reply as the driver gets it; contents still unverified.

    Attributes:
        message_id: the id of the request: a node answers it, the driver sent it.
        node_id: the node's address in Flower today; not an identity.
    """

    message_id: str
    run_id: int
    node_id: int
    kind: str
    envelope: bytes
    signature: bytes
    blob: Blob


@dataclass(frozen=True, slots=True)
class Failure:
    """What the driver gets instead of a reply: the node failed, vanished or sent rubbish.

    Attributes:
        message_id: the id of the request.
        code: Flower's error code; 0 when the reply arrived and broke the wire's rules.
        reason: what happened, in words of the node, of Flower or of `WireError`.
    """

    message_id: str
    node_id: int
    code: int
    reason: str


def pack(parcel: Parcel) -> RecordDict:
    """Build the Flower record of a parcel; the blob is referenced, not copied."""
    if _KIND.fullmatch(parcel.kind) is None:
        raise WireError("bad_kind", f"{parcel.kind!r} does not match {_KIND.pattern}")
    view = memoryview(parcel.blob).cast("B")
    array = Array(dtype=BLOB_DTYPE, shape=(view.nbytes,), stype=BLOB_STYPE, data=b"")
    array.data = cast("bytes", view)  # the constructor wants bytes; slicing takes any buffer
    fields = ConfigRecord(
        {
            FIELD_PROTOCOL: parcel.protocol,
            FIELD_KIND: parcel.kind,
            FIELD_ENVELOPE: parcel.envelope,
            FIELD_SIGNATURE: parcel.signature,
        }
    )
    arrays = ArrayRecord()
    arrays[BLOB_ARRAY] = array  # its constructor would rebuild the array from bytes
    return RecordDict({RECORD: fields, BLOB_RECORD: arrays})


def unpack(content: RecordDict, limits: WireLimits = WireLimits()) -> Parcel:
    """Read a parcel out of a Flower record, trusting nothing.

    Raises:
        WireError: a record or field is missing, unexpected, of the wrong type or too large, or
            the protocol is not one of `SUPPORTED_PROTOCOLS`.
    """
    fields = _fields(content)
    protocol = _field(fields, FIELD_PROTOCOL, int)
    if protocol not in SUPPORTED_PROTOCOLS:
        known = ", ".join(str(version) for version in sorted(SUPPORTED_PROTOCOLS))
        raise WireError(
            "unsupported_protocol",
            f"the peer speaks protocol {protocol}, this side understands {known}; "
            "upgrade the older of the two",
        )
    kind = _field(fields, FIELD_KIND, str)
    if _KIND.fullmatch(kind) is None:
        raise WireError("bad_kind", f"{kind[:80]!r} does not match {_KIND.pattern}")
    envelope = _field(fields, FIELD_ENVELOPE, bytes)
    signature = _field(fields, FIELD_SIGNATURE, bytes)
    if len(fields) != 4:
        raise WireError("unknown_field", f"unexpected fields in {sorted(fields)[:8]}")
    _limit(FIELD_ENVELOPE, len(envelope), limits.max_envelope_bytes)
    _limit(FIELD_SIGNATURE, len(signature), limits.max_signature_bytes)
    return Parcel(kind, envelope, signature, _blob(content, limits), protocol)


def check_array(array: Array, limits: WireLimits) -> int:
    """Check what an array says about itself and return the blob's size in bytes.

    Raises:
        WireError: it is not a one-dimensional uint8 array of polyrank, or it is too large.
    """
    if array.dtype != BLOB_DTYPE or array.stype != BLOB_STYPE:
        raise WireError("bad_blob", f"dtype {array.dtype!r}, serialisation {array.stype!r}")
    shape = array.shape
    if len(shape) != 1 or type(shape[0]) is not int or shape[0] < 0:
        raise WireError("bad_blob", f"shape {shape!r} is not one dimension")
    _limit(BLOB_RECORD, shape[0], limits.max_blob_bytes)
    return shape[0]


def _fields(content: RecordDict) -> ConfigRecord:
    if set(content) != {RECORD, BLOB_RECORD}:
        raise WireError(
            "bad_records", f"expected {RECORD} and {BLOB_RECORD}, got {_names(content)}"
        )
    fields = content[RECORD]
    if not isinstance(fields, ConfigRecord):
        raise WireError("bad_records", f"{RECORD} is a {type(fields).__name__}")
    return fields


def _field(fields: ConfigRecord, name: str, kind: type[Any]) -> Any:
    value = fields.get(name)
    if type(value) is not kind:
        found = "missing" if value is None else f"a {type(value).__name__}"
        raise WireError("bad_field", f"{name} is {found}, expected {kind.__name__}")
    return value


def _blob(content: RecordDict, limits: WireLimits) -> Blob:
    record = content[BLOB_RECORD]
    if not isinstance(record, ArrayRecord) or set(record) != {BLOB_ARRAY}:
        raise WireError("bad_records", f"{BLOB_RECORD} must hold one array, {BLOB_ARRAY}")
    array = record[BLOB_ARRAY]
    size = check_array(array, limits)
    if len(array.data) != size:
        raise WireError("bad_blob", f"{len(array.data)} bytes arrived, {size} were announced")
    return array.data


def _limit(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise WireError(f"{name}_too_large", f"{size} bytes, the limit is {limit} bytes")


def _names(content: RecordDict) -> str:
    return ", ".join(name[:32] for name in list(content)[:8]) or "nothing"
