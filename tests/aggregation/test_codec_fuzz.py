"""Whatever the bytes, decode returns an adapter or raises an AdapterError; nothing else."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st
from polyrank.aggregation import Adapter, AdapterError, Limits, decode, encode

from .worlds import random_factors, random_heads

LIMITS = Limits(max_bytes=2**16, max_header_bytes=2**14)
SEEDS = tuple(
    encode(
        Adapter(
            {"q": random_factors((3, 4), rank), "é": random_factors((2, 2), 1)},
            random_heads({"h": (2, 3)}, rank),
        ),
        {"by": "fuzz"} if rank else None,
    )
    for rank in range(3)
)


def survives(data: bytes) -> None:
    try:
        adapter = decode(data, LIMITS)
    except AdapterError:
        return
    dtype = next(iter(adapter.factors.values())).b.dtype if adapter.factors else None
    if dtype is not None:
        without_metadata = encode(adapter, dtype=dtype)
        assert encode(decode(without_metadata), dtype=dtype) == without_metadata


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_flipped_inserted_and_deleted_bytes(seed: bytes, data: st.DataObject):
    mutated = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(0, len(mutated) - 1)))
        kind = data.draw(st.sampled_from(["flip", "insert", "delete", "copy"]))
        if kind == "flip" and mutated:
            mutated[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            mutated[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif kind == "delete":
            del mutated[at : at + data.draw(st.integers(1, 20))]
        else:
            mutated[at:at] = mutated[at : at + data.draw(st.integers(1, 60))]
    survives(bytes(mutated))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff" * 8)
@example(b"\x02\0\0\0\0\0\0\0{}")
def test_any_bytes_at_all(data: bytes):
    survives(data)
    survives(len(data).to_bytes(8, "little") + data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["factors/q/a", "factors/q/b", "factors/q", "factors//a", "dense/h", "dense/", "__metadata__"]
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F64", "I8"]) | VALUES,
        "shape": st.lists(st.integers(-1, 4), max_size=4) | VALUES,
        "data_offsets": st.lists(st.integers(-4, 60), min_size=2, max_size=2) | VALUES,
    }
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(NAMES | st.text(max_size=12), ENTRIES | VALUES, max_size=4),
    st.binary(max_size=64),
)
def test_headers_that_are_json_but_mean_anything(header: dict[str, object], data: bytes):
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    encoded = text.encode("utf-8", "surrogatepass")
    encoded += b" " * (-len(encoded) % 8)
    survives(len(encoded).to_bytes(8, "little") + encoded + data)
