"""Records that cross the wire: what is packed comes back, and hostile records are refused."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from polyrank.client import _wire, _wire_bundle
from polyrank.client._errors import ClientError
from polyrank.client._wire import LinkError, Parcel, WireError, WireLimits, pack, unpack

LIMITS = WireLimits(max_envelope_bytes=100, max_signature_bytes=64, max_blob_bytes=1000)


@given(envelope=st.binary(max_size=100), signature=st.binary(max_size=64), blob=st.binary())
def test_what_is_packed_is_unpacked(envelope: bytes, signature: bytes, blob: bytes) -> None:
    parcel = unpack(pack(Parcel("train", envelope, signature, blob)))
    assert (parcel.kind, parcel.envelope, parcel.signature) == ("train", envelope, signature)
    assert bytes(parcel.blob) == blob


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_blob_is_referenced_not_copied(kind: type) -> None:
    data = np.arange(1000, dtype=np.uint8)
    blob = memoryview(data) if kind is memoryview else kind(data.tobytes())
    out = memoryview(unpack(pack(Parcel("train", b"{}", b"", blob))).blob)
    assert np.shares_memory(np.frombuffer(out, np.uint8), np.frombuffer(blob, np.uint8))


def test_a_blob_of_wider_items_is_sent_as_its_bytes() -> None:
    data = np.arange(4, dtype=np.float32)
    assert bytes(unpack(pack(Parcel("t", b"", b"", memoryview(data)))).blob) == data.tobytes()


@pytest.mark.parametrize("kind", ["", "Train", "a b", "x" * 65, "../x"])
def test_a_kind_that_is_no_name_is_not_packed(kind: str) -> None:
    with pytest.raises(WireError, match="bad_kind"):
        pack(Parcel(kind, b"", b""))


def _record(**changes: object) -> RecordDict:
    fields = {"protocol": 1, "kind": "train", "envelope": b"{}", "signature": b""} | changes
    kept = {name: value for name, value in fields.items() if value is not None}
    record = pack(Parcel("train", b"{}", b""))
    record["polyrank"] = ConfigRecord(kept)  # type: ignore[arg-type]
    return record


def _with_array(array: Array, name: str = "data") -> RecordDict:
    record = pack(Parcel("train", b"{}", b""))
    arrays = ArrayRecord()
    arrays[name] = array
    record["blob"] = arrays
    return record


def _array(
    dtype: str = "uint8",
    shape: tuple[int, ...] = (3,),
    stype: str = "polyrank.bytes",
    data: bytes = b"abc",
) -> Array:
    return Array(dtype=dtype, shape=shape, stype=stype, data=data)


def _without(name: str) -> RecordDict:
    record = pack(Parcel("train", b"{}", b""))
    del record[name]
    return record


def _swapped(name: str) -> RecordDict:
    record = _without(name)
    record[name] = MetricRecord({"x": 1.0})
    return record


def _with_more() -> RecordDict:
    record = pack(Parcel("train", b"{}", b""))
    record["more"] = ConfigRecord({})
    return record


HOSTILE = {
    "nothing at all": (RecordDict(), "bad_records"),
    "no fields": (_without("polyrank"), "bad_records"),
    "no blob": (_without("blob"), "bad_records"),
    "one record more": (_with_more(), "bad_records"),
    "fields of another type": (_swapped("polyrank"), "bad_records"),
    "blob of another type": (_swapped("blob"), "bad_records"),
    "no arrays": (_with_array(_array(), "another"), "bad_records"),
    "protocol from the future": (_record(protocol=2), "unsupported_protocol"),
    "protocol as a flag": (_record(protocol=True), "bad_field"),
    "protocol as text": (_record(protocol="1"), "bad_field"),
    "no protocol": (_record(protocol=None), "bad_field"),
    "no kind": (_record(kind=None), "bad_field"),
    "kind that climbs": (_record(kind="../../etc"), "bad_kind"),
    "kind with a line": (_record(kind="train\n"), "bad_kind"),
    "envelope as text": (_record(envelope="{}"), "bad_field"),
    "envelope as a list": (_record(envelope=[b"{}"]), "bad_field"),
    "no envelope": (_record(envelope=None), "bad_field"),
    "envelope too large": (_record(envelope=bytes(101)), "envelope_too_large"),
    "no signature": (_record(signature=None), "bad_field"),
    "signature too large": (_record(signature=bytes(65)), "signature_too_large"),
    "a field more": (_record(extra=1), "unknown_field"),
    "pickled array": (_with_array(_array(stype="numpy.ndarray")), "bad_blob"),
    "array of floats": (_with_array(_array(dtype="float32")), "bad_blob"),
    "matrix": (_with_array(_array(shape=(1, 3))), "bad_blob"),
    "scalar": (_with_array(_array(shape=())), "bad_blob"),
    "negative size": (_with_array(_array(shape=(-1,))), "bad_blob"),
    "size as a flag": (_with_array(_array(shape=(True,))), "bad_blob"),
    "less than announced": (_with_array(_array(shape=(4,))), "bad_blob"),
    "more than announced": (_with_array(_array(shape=(2,))), "bad_blob"),
    "blob too large": (_with_array(_array(shape=(1001,), data=bytes(1001))), "blob_too_large"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_record_is_refused(name: str) -> None:
    record, reason = HOSTILE[name]
    with pytest.raises(WireError) as caught:
        unpack(record, LIMITS)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 400


def test_limits_are_inclusive() -> None:
    unpack(pack(Parcel("train", bytes(100), bytes(64), bytes(1000))), LIMITS)


def test_the_errors_belong_to_the_sdk() -> None:
    assert issubclass(WireError, LinkError)
    assert issubclass(LinkError, ClientError)


def test_the_bundle_has_the_same_bytes_everywhere() -> None:
    """Nodes of this and of other releases compare this digest: change it with the protocol."""
    expected = "fe19ef06649bfb1f1a7d7a89df8acc1b76dcf43e198b65002917a85bf9f4cf53"
    assert expected == _wire_bundle.BUNDLE_DIGEST
    assert hashlib.sha256(_wire_bundle.BUNDLE).hexdigest() == expected


def test_the_bundle_holds_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(_wire_bundle.BUNDLE)) as archive:
        assert archive.namelist() == ["pyproject.toml", ".info/CONTENT"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_wire_speaks_the_protocol_of_the_envelopes() -> None:
    assert _wire.PROTOCOL_VERSION in _wire.SUPPORTED_PROTOCOLS
