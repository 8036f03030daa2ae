"""Bytes from outside: what is an adapter, and that nothing else passes."""

import contextlib
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polyrank.store import InvalidBlob
from polyrank.store import _header as header_module
from polyrank.store._header import read_header
from store_blobs import adapter_blob, compact, header_of, packed, tensors_of

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = st.text(min_size=1, max_size=12).filter(lambda s: s.isprintable() and "/" not in s)
MODULES = st.dictionaries(
    NAMES, st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(1, 5)), max_size=4
)
DENSE = st.dictionaries(NAMES, st.lists(st.integers(1, 3), min_size=1, max_size=3), max_size=3)


def read(data: bytes):
    return read_header(io.BytesIO(data), len(data))


@QUICK
@given(MODULES, DENSE, st.sampled_from(["F32", "F16", "BF16"]))
def test_every_canonical_blob_is_read_as_it_was_written(modules, dense, dtype):
    header = read(adapter_blob(modules, dense, dtype=dtype))
    assert {s.name: (s.shape[0], s.rank, s.shape[1]) for s in header.modules} == modules
    assert {s.name: list(s.shape) for s in header.dense} == dense
    assert {s.dtype for s in (*header.modules, *header.dense)} <= {dtype}
    assert header.rank == max((rank for _, rank, _ in modules.values()), default=0)


@QUICK
@given(MODULES, DENSE, st.data())
def test_no_cut_and_no_extra_byte_passes(modules, dense, data):
    blob = adapter_blob(modules, dense)
    cut = data.draw(st.integers(0, len(blob) - 1))
    for bad in (blob[:cut], blob + b"\0"):
        with pytest.raises(InvalidBlob):
            read(bad)


@QUICK
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data):
    for bad in (data, packed(data, b""), adapter_blob()[:60] + data):
        with contextlib.suppress(InvalidBlob):
            read(bad)


@QUICK
@given(st.data())
def test_a_changed_header_byte_never_becomes_another_error(data):
    blob = bytearray(adapter_blob({"a": (2, 1, 2), "b": (3, 2, 1)}, {"h": (2,)}))
    at = data.draw(st.integers(0, int.from_bytes(blob[:8], "little") + 7))
    blob[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidBlob):
        read(bytes(blob))


def test_the_format_of_the_aggregation_package_is_the_same():
    torch = pytest.importorskip("torch")
    from polyrank import aggregation

    adapter = aggregation.Adapter(
        {"fc": aggregation.Factors(torch.ones(4, 2), torch.ones(2, 3))}, {"head": torch.ones(5)}
    )
    header = read(aggregation.encode(adapter, {"made": "by a test"}))
    assert (header.modules[0].rank, header.modules[0].shape) == (2, (4, 3))
    assert header.dense[0].shape == (5,)
    assert json.loads(header.metadata) == {"made": "by a test"}


def tampered(change, modules=None, dense=None, data_bytes=None):
    """A canonical blob whose header object was changed."""
    header, size = header_of(tensors_of(modules or {"fc": (4, 2, 3)}, dense))
    changed = change(header)
    header = header if changed is None else changed
    return packed(header, bytes(size if data_bytes is None else data_bytes))


A, B = "factors/fc/a", "factors/fc/b"


def with_field(name, field, value):
    def change(header):
        header[name][field] = value

    return change


def laid_out(*shapes):
    """A blob whose tensors fit together, whatever they are called."""
    header, size = header_of(dict(sorted(shapes)))
    return packed(header, bytes(size))


def renamed(new):
    return laid_out((new, [2, 3]), (B, [4, 2]))


BAD = {
    "a pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}q\0.", "pickle"),
    "a torch archive": (b"PK\x03\x04" + bytes(60), "pickle or an archive"),
    "nothing": (b"", "too few"),
    "a length alone": ((8).to_bytes(8, "little"), "too few"),
    "a length past the end": ((2**63).to_bytes(8, "little") + bytes(50), "promise"),
    "an odd length": ((7).to_bytes(8, "little") + bytes(50), "multiple of 8"),
    "no UTF-8": (packed(b'{"\xff":1}', b""), "UTF-8"),
    "no JSON": (packed(b"{nonsense", b""), "UTF-8 JSON"),
    "deep JSON": (packed(b"[" * 50000 + b"]" * 50000, b""), "UTF-8 JSON"),
    "a huge number": (packed(b'{"a":' + b"1" * 5000 + b"}", b""), "UTF-8 JSON"),
    "a list": (packed([], b""), "not a JSON object"),
    "a key twice": (packed(b'{"a":1,"a":1}', b""), "twice"),
    "NaN": (packed(b'{"a":NaN}', b""), "NaN"),
    "spaces in the JSON": (packed(b'{"a": 1}', b""), "canonical"),
    "escapes in the JSON": (packed(b'{"\\u0061":1}', b""), "canonical"),
    "too much padding": (packed(b"{}" + b" " * 14, b""), "canonical"),
    "an unknown tensor": (renamed("factors/fc/c"), "neither"),
    "a tensor outside": (renamed("fc.weight"), "neither"),
    "a module without name": (renamed("factors//a"), "name is not"),
    "a slash in a name": (renamed("factors/x/y/a"), "name is not"),
    "an unprintable name": (renamed("factors/x\n/a"), "name is not"),
    "a long name": (renamed(f"factors/{'x' * 513}/a"), "name is not"),
    "b without a": (renamed("dense/fc"), "without its other factor"),
    "ranks that differ": (
        laid_out((A, [3, 3]), (B, [4, 2])),
        "rank 2 in b but 3 in a",
    ),
    "factors with three axes": (
        laid_out((A, [2, 3, 1]), (B, [4, 2])),
        "not matrices",
    ),
    "an empty side": (
        laid_out((A, [2, 0]), (B, [4, 2])),
        "a side is empty",
    ),
    "a rank too large": (
        laid_out((A, [16385, 1]), (B, [1, 16385])),
        "rank too large",
    ),
    "an empty dense axis": (
        laid_out(("dense/h", [2, 0])),
        "length 0",
    ),
    "nine axes": (
        laid_out(("dense/h", [1] * 9)),
        "9 axes",
    ),
    "a strange dtype": (tampered(with_field(A, "dtype", "I64")), "dtype 'I64'"),
    "a dtype that is a list": (tampered(with_field(A, "dtype", ["F32"])), "dtype"),
    "a negative shape": (tampered(with_field(A, "shape", [-2, -3])), "whole numbers"),
    "a fraction": (tampered(with_field(A, "shape", [2.0, 3])), "whole numbers"),
    "a truth as number": (tampered(with_field(A, "shape", [True, 3])), "whole numbers"),
    "a long axis": (tampered(with_field(A, "shape", [2, 2**24 + 1])), "whole numbers"),
    "an overlap": (tampered(with_field(B, "data_offsets", [16, 48])), "overlap"),
    "a gap": (tampered(with_field(A, "data_offsets", [8, 32])), "gap"),
    "offsets turned round": (tampered(with_field(A, "data_offsets", [24, 0])), "begin, end"),
    "offsets past the end": (tampered(lambda h: None, data_bytes=40), "after the data"),
    "a size that does not fit": (tampered(with_field(A, "data_offsets", [0, 20])), "do not fit"),
    "trailing bytes": (tampered(lambda h: None, data_bytes=100), "follow the last tensor"),
    "a missing field": (tampered(lambda h: h[A].pop("dtype") and None), "in that order"),
    "an extra field": (tampered(with_field(A, "extra", 1)), "in that order"),
    "names not sorted": (tampered(lambda h: dict(reversed(h.items()))), "sorted"),
    "two dtypes": (
        packed(
            {
                A: {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
                B: {"dtype": "F32", "shape": [4, 2], "data_offsets": [12, 44]},
            },
            bytes(44),
        ),
        "different dtypes",
    ),
    "metadata not first": (tampered(lambda h: h | {"__metadata__": {"polyrank": "x"}}), "first"),
    "two metadata keys": (
        tampered(lambda h: {"__metadata__": {"polyrank": "x", "y": "z"}} | h),
        "one string",
    ),
    "metadata of another type": (
        tampered(lambda h: {"__metadata__": {"polyrank": 1}} | h),
        "one string",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_hostile_bytes_are_named_for_what_they_are(name):
    data, said = BAD[name]
    with pytest.raises(InvalidBlob) as caught:
        read(data)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_header_larger_than_its_limit_is_not_read(monkeypatch):
    monkeypatch.setattr(header_module, "MAX_HEADER_BYTES", 64)
    with pytest.raises(InvalidBlob, match="the limit is 64"):
        read(adapter_blob())


@pytest.mark.parametrize("limit", ["MAX_MODULES", "MAX_DENSE_TENSORS", "MAX_METADATA_CHARACTERS"])
def test_counts_have_limits(monkeypatch, limit):
    header, size = header_of(tensors_of({"x": (1, 1, 1), "y": (1, 1, 1)}, {"h": [1], "i": [1]}))
    data = packed({"__metadata__": {"polyrank": "{}"}} | header, bytes(size))
    read(data)
    monkeypatch.setattr(header_module, limit, 1)
    with pytest.raises(InvalidBlob, match=r"limit|longer"):
        read(data)


def test_a_stream_that_ends_early_is_truncated():
    data = adapter_blob()
    with pytest.raises(InvalidBlob, match="truncated inside the header"):
        read_header(io.BytesIO(data[:30]), len(data))


def test_compact_json_is_what_the_helper_writes():
    assert compact({"a": [1]}) == b'{"a":[1]}'
