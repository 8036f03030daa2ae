"""Canonical bytes: the same everywhere, read back exactly, refused with a reason."""

import gc
import hashlib
import io
import json
import mmap
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import (
    Adapter,
    AdapterError,
    AdapterReader,
    ArgumentError,
    DtypeError,
    Factors,
    HeaderError,
    LayoutError,
    LimitError,
    Limits,
    MetadataError,
    NotFiniteError,
    NotSafetensorsError,
    RankError,
    ShapeError,
    TruncatedBytesError,
    UnknownModuleError,
    decode,
    digest,
    empty,
    encode,
    encode_to,
)

from .worlds import QUICK, adapters, module_shapes, random_factors

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
METADATA = {"z": [1, 2.5, None, True], "a": {"ö\n": 'quote " and \\ slash'}}


def sample() -> Adapter:
    factors = {"b.q": random_factors((4, 3), 2), "b": random_factors((3, 5), 0)}
    return Adapter(factors, {"head.bias": torch.arange(3.0)})


def named(adapter: Adapter) -> dict[str, torch.Tensor]:
    tensors = {f"factors/{n}/b": f.b.contiguous() for n, f in adapter.factors.items()}
    tensors |= {f"factors/{n}/a": f.a.contiguous() for n, f in adapter.factors.items()}
    return tensors | {f"dense/{n}": value.contiguous() for n, value in adapter.dense.items()}


def blob(header: object, data: bytes = b"") -> bytes:
    """A blob with any header at all, padded as a canonical one."""
    text = header if isinstance(header, bytes) else compact_json(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def compact_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def entry(shape: list[int], begin: int, dtype: str = "F32") -> dict[str, object]:
    size = 4 if dtype == "F32" else 2
    for axis in shape:
        size *= axis
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size]}


def pair(rank: int = 1) -> dict[str, object]:
    a = entry([rank, 3], 0)
    return {"factors/q/a": a, "factors/q/b": entry([2, rank], 12 * rank)}


@QUICK
@given(st.data(), st.sampled_from(DTYPES))
def test_what_is_encoded_is_decoded_bit_for_bit(data: st.DataObject, dtype: torch.dtype):
    adapter = data.draw(adapters(data.draw(module_shapes())))
    written = encode(adapter, dtype=dtype)
    read = decode(written)
    before, after = named(adapter), named(read)
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, before[name].to(dtype))
    assert encode(read, dtype=dtype) == written


@QUICK
@given(st.data(), st.sampled_from(DTYPES), st.booleans())
def test_the_bytes_are_those_of_the_safetensors_library(
    data: st.DataObject, dtype: torch.dtype, has_metadata: bool
):
    adapter = data.draw(adapters(data.draw(module_shapes())))
    ours = encode(adapter, METADATA if has_metadata else None, dtype=dtype)
    text = json.dumps(METADATA, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    tensors = {name: tensor.to(dtype) for name, tensor in named(adapter).items()}
    assert ours == safetensors.torch.save(tensors, {"polyrank": text} if has_metadata else None)


def test_order_strides_and_views_do_not_change_the_bytes():
    wide = random_factors((6, 5), 4)
    columns = Factors(wide.b.T.contiguous().T, wide.a)
    one = Adapter({"q": wide, "v": wide})
    two = Adapter({"v": wide, "q": columns})
    assert encode(one, {"x": 1, "y": 2}) == encode(two, {"y": 2, "x": 1})


def test_another_process_writes_the_same_digest():
    code = (
        "import torch; from polyrank.aggregation import *\n"
        "f = Factors(torch.arange(6.).view(3, 2), torch.arange(8.).view(2, 4))\n"
        "m = {k: k for k in {'a', 'b', 'c', 'd', 'e'}}\n"
        "print(digest(encode(Adapter({n: f for n in {'q', 'v', 'k', 'o'}}), m)))"
    )
    seeded = {**os.environ, "PYTHONHASHSEED": "1"}
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env, text=True)
        for env in (seeded, {**seeded, "PYTHONHASHSEED": "2"})
    ]
    found = [child.communicate()[0].strip() for child in children]
    factors = Factors(torch.arange(6.0).view(3, 2), torch.arange(8.0).view(2, 4))
    adapter = Adapter(dict.fromkeys("okvq", factors))
    assert found == [digest(encode(adapter, {k: k for k in "edcba"}))] * 2


def test_a_digest_is_the_sha_256_of_the_bytes():
    data = encode(sample())
    assert digest(data) == digest(memoryview(data)) == hashlib.sha256(data).hexdigest()


def test_writing_to_a_sink_gives_the_same_bytes_one_tensor_at_a_time():
    class Sink(io.BytesIO):
        sizes: list[int] = []  # noqa: RUF012

        def write(self, data, /):
            self.sizes.append(len(data))
            return super().write(data)

    sink = Sink()
    count = encode_to(sink, sample(), METADATA)
    assert sink.getvalue() == encode(sample(), METADATA)
    assert count == len(sink.getvalue())
    assert max(sink.sizes[1:]) == 8 * 4


def test_a_mapped_file_is_read_module_by_module_and_can_be_closed(tmp_path: Path):
    path = tmp_path / "adapter"
    path.write_bytes(encode(sample(), METADATA))
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with AdapterReader(mapping) as reader:
            assert reader.modules == ("b", "b.q")
            assert reader.ranks == {"b": 0, "b.q": 2}
            assert reader.shapes == {"b": (3, 5), "b.q": (4, 3)}
            assert reader.dense_names == ("head.bias",)
            assert reader.dense_shapes == {"head.bias": (3,)}
            assert reader.metadata == METADATA
            factors, head = reader.factors("b.q"), reader.dense("head.bias")
            with pytest.raises(UnknownModuleError):
                reader.factors("nobody")
            with pytest.raises(UnknownModuleError):
                reader.dense("nobody")
        mapping.close()
    assert torch.equal(factors.b, sample().factors["b.q"].b)
    assert head.tolist() == [0.0, 1.0, 2.0]


def test_a_writable_buffer_is_viewed_and_a_read_only_one_is_copied_once():
    data = bytearray(encode(sample()))
    viewed, copied = decode(data), decode(bytes(data))
    data[-4:] = b"\0\0\0\0"
    changed = viewed.factors["b.q"].b[3, 1], copied.factors["b.q"].b[3, 1]
    assert changed[0].item() == 0.0
    assert changed[1].item() == sample().factors["b.q"].b[3, 1].item()
    copied.factors["b.q"].b.zero_()


def test_decoding_outlives_its_buffer():
    adapter = decode(bytearray(encode(sample())))
    gc.collect()
    assert torch.equal(adapter.factors["b.q"].b, sample().factors["b.q"].b)


def test_empty_adapters_and_empty_metadata_have_canonical_bytes():
    assert decode(encode(Adapter({}))).factors == {}
    assert encode(sample(), {}) == encode(sample())
    version_0 = empty({"q": (4, 3)})
    assert decode(encode(version_0)).ranks == {"q": 0}
    assert encode(version_0) == encode(decode(encode(version_0)))


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 40])
def test_every_shorter_blob_is_refused_as_truncated(cut: int):
    data = encode(sample(), METADATA)
    for size in range(cut, len(data), 41):
        with pytest.raises(TruncatedBytesError):
            decode(data[:size])


def test_pickles_archives_and_text_are_named_and_never_loaded():
    stream = io.BytesIO()
    torch.save({"q": torch.ones(2)}, stream)
    for data, word in (
        (pickle.dumps({"q": 1}), "pickle"),
        (pickle.dumps(list(range(100))), "pickle"),
        (stream.getvalue(), "zip"),
        (b"hello, this is no adapter at all", "not safetensors"),
        (b"\0" * 64, "not safetensors"),
    ):
        with pytest.raises(NotSafetensorsError, match=word):
            decode(data)


@pytest.mark.parametrize("data", ["text", None, 7, memoryview(b"abcdef")[::2]])
def test_what_is_not_bytes_is_refused(data: object):
    with pytest.raises(NotSafetensorsError):
        decode(data)  # type: ignore[arg-type]


CASES: dict[str, tuple[bytes, type[AdapterError]]] = {
    "trailing bytes": (encode(sample()) + b"\0", LayoutError),
    "no JSON": (blob(b"{,}"), HeaderError),
    "not UTF-8": (blob(b'{"\xff":1}'), HeaderError),
    "deep nesting": (blob(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), HeaderError),
    "a huge integer": (blob(b'{"a":' + b"9" * 5000 + b"}"), HeaderError),
    "NaN in the header": (blob(b'{"a":NaN}'), HeaderError),
    "an unknown tensor": (blob({"weights/q": entry([2], 0)}, bytes(8)), HeaderError),
    "an unknown factor": (blob({"factors/q/c": entry([2, 1], 0)}, bytes(8)), HeaderError),
    "one factor only": (blob({"factors/q/b": entry([2, 1], 0)}, bytes(8)), HeaderError),
    "no module name": (
        blob({"factors//a": entry([1, 2], 0), "factors//b": entry([2, 1], 8)}, bytes(16)),
        AdapterError,
    ),
    "a slash in a name": (
        blob({"factors/q/r/a": entry([1, 2], 0), "factors/q/r/b": entry([2, 1], 8)}, bytes(16)),
        AdapterError,
    ),
    "ranks that differ": (
        blob({"factors/q/a": entry([2, 3], 0), "factors/q/b": entry([2, 1], 24)}, bytes(32)),
        ShapeError,
    ),
    "a factor with three axes": (
        blob({"factors/q/a": entry([1, 3, 1], 0), "factors/q/b": entry([2, 1], 12)}, bytes(20)),
        ShapeError,
    ),
    "an empty side": (
        blob({"factors/q/a": entry([1, 0], 0), "factors/q/b": entry([2, 1], 0)}, bytes(8)),
        ShapeError,
    ),
    "a scalar": (blob({"dense/h": entry([], 0)}, bytes(4)), ShapeError),
    "an empty dense tensor": (blob({"dense/h": entry([2, 0], 0)}), ShapeError),
    "nine axes": (blob({"dense/h": entry([1] * 9, 0)}, bytes(4)), HeaderError),
    "integers": (blob({"dense/h": entry([1], 0, "I32")}, bytes(2)), DtypeError),
    "float64": (blob({"dense/h": entry([1], 0, "F64")}, bytes(2)), DtypeError),
    "a dtype that is no text": (
        blob({"dense/h": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        DtypeError,
    ),
    "two dtypes": (
        blob({"dense/g": entry([1], 0), "dense/h": entry([1], 4, "F16")}, bytes(6)),
        DtypeError,
    ),
    "overlapping tensors": (
        blob({"dense/g": entry([2], 0), "dense/h": entry([2], 4)}, bytes(12)),
        LayoutError,
    ),
    "a gap": (blob({"dense/g": entry([1], 0), "dense/h": entry([1], 8)}, bytes(12)), LayoutError),
    "offsets that run backwards": (
        blob({"dense/g": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
        LayoutError,
    ),
    "negative numbers": (
        blob({"dense/g": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        HeaderError,
    ),
    "booleans for numbers": (
        blob({"dense/g": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)),
        HeaderError,
    ),
    "floats for numbers": (
        blob({"dense/g": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, bytes(4)),
        HeaderError,
    ),
    "three offsets": (
        blob({"dense/g": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, bytes(4)),
        HeaderError,
    ),
    "a shape that does not fill its bytes": (
        blob({"dense/g": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        HeaderError,
    ),
    "an absurd shape": (
        blob({"dense/g": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]}}, bytes(4)),
        LimitError,
    ),
    "an entry that is a number": (blob({"dense/g": 7}), HeaderError),
    "fields in another order": (
        blob({"dense/g": {"shape": [1], "dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)),
        HeaderError,
    ),
    "names in another order": (
        blob({"dense/h": entry([1], 0), "dense/g": entry([1], 4)}, bytes(8)),
        HeaderError,
    ),
    "white space": (blob(json.dumps(pair()).encode(), bytes(20)), HeaderError),
    "escapes where none are needed": (
        blob(json.dumps({"dense/é": entry([1], 0)}, separators=(",", ":")).encode(), bytes(4)),
        HeaderError,
    ),
    "too much padding": (blob(compact_json(pair()) + b" " * 16, bytes(20)), HeaderError),
    "a name twice": (
        blob(compact_json(pair())[:-1] + b"," + compact_json(pair())[1:], bytes(20)),
        HeaderError,
    ),
    "two metadata keys": (blob({"__metadata__": {"polyrank": '{"a":1}', "b": ""}}), MetadataError),
    "a foreign metadata key": (blob({"__metadata__": {"format": "pt"}}), MetadataError),
    "metadata that are no object": (blob({"__metadata__": "{}"}), MetadataError),
    "metadata text that is no JSON": (blob({"__metadata__": {"polyrank": "{"}}), MetadataError),
    "metadata text that is a list": (blob({"__metadata__": {"polyrank": "[]"}}), MetadataError),
    "empty metadata spelled out": (blob({"__metadata__": {"polyrank": "{}"}}), MetadataError),
    "loose metadata": (blob({"__metadata__": {"polyrank": '{"a": 1}'}}), MetadataError),
    "unsorted metadata": (blob({"__metadata__": {"polyrank": '{"b":1,"a":1}'}}), MetadataError),
    "a metadata key twice": (blob({"__metadata__": {"polyrank": '{"a":1,"a":1}'}}), MetadataError),
    "NaN in the metadata": (blob({"__metadata__": {"polyrank": '{"a":NaN}'}}), MetadataError),
    "a lone surrogate in the metadata": (
        blob(b'{"__metadata__":{"polyrank":"{\\"a\\":\\"\\\\ud800\\"}"}}'),
        MetadataError,
    ),
    "a lone surrogate in a name": (
        blob(b'{"dense/\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
        AdapterError,
    ),
    "null metadata": (blob({"__metadata__": None}), HeaderError),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_blob_is_refused_with_the_right_error(case: str):
    data, error = CASES[case]
    with pytest.raises(error) as caught:
        decode(data)
    assert error is AdapterError or type(caught.value) is error
    assert isinstance(caught.value, AdapterError)
    assert len(str(caught.value)) > 10


def test_a_name_given_twice_is_named_in_the_message():
    with pytest.raises(HeaderError, match="'factors/q/a' twice"):
        decode(CASES["a name twice"][0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused_in_both_directions(value: float):
    clean = safetensors.torch.save({"dense/h": torch.tensor([1.0, value])})
    with pytest.raises(NotFiniteError) as caught:
        decode(clean)
    assert caught.value.module == "h"
    with pytest.raises(NotFiniteError):
        encode(Adapter({}, {"h": torch.tensor([value])}))


def test_overflow_of_a_narrow_dtype_is_refused():
    adapter = Adapter({}, {"h": torch.tensor([1e6])})
    decode(encode(adapter, dtype=torch.bfloat16))
    with pytest.raises(NotFiniteError):
        encode(adapter, dtype=torch.float16)
    with pytest.raises(DtypeError):
        encode(adapter, dtype=torch.float64)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (Limits(max_bytes=100), LimitError),
        (Limits(max_header_bytes=100), LimitError),
        (Limits(max_metadata_bytes=5), LimitError),
        (Limits(max_modules=1), LimitError),
        (Limits(max_axis_length=2), LimitError),
        (Limits(max_rank=1), RankError),
    ],
)
def test_each_limit_is_kept(limits: Limits, error: type[AdapterError]):
    data = encode(sample(), METADATA)
    with pytest.raises(error):
        decode(data, limits)
    decode(data, Limits(max_bytes=len(data), max_modules=2, max_axis_length=5, max_rank=2))


def test_the_number_of_dense_tensors_is_limited():
    data = encode(Adapter({}, {"g": torch.ones(1), "h": torch.ones(1)}))
    with pytest.raises(LimitError):
        decode(data, Limits(max_dense_tensors=1))


@pytest.mark.parametrize("value", [0, -1, 1.5, None, True])
def test_limits_are_positive_integers(value: int):
    with pytest.raises(ArgumentError):
        Limits(max_rank=value)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": float("nan")},
        {"a": {1, 2}},
        {1: "a"},
        {"a": (1, 2)},
        {"a": "\ud800"},
        {"a": {2: 1}},
        {"a": object()},
    ],
)
def test_metadata_that_json_cannot_say_are_refused(metadata: dict[str, object]):
    with pytest.raises(MetadataError):
        encode(sample(), metadata)
