"""Reading an adapter blob's header without torch, and believing nothing in it.

    bytes 0..7      N, the header's length, unsigned 64-bit little-endian
    bytes 8..8+N    UTF-8 JSON, padded with spaces so that (8 + N) % 8 == 0
    then            the tensors' data: "factors/<module>/b", ".../a", "dense/<name>"

Only the canonical form is taken, so that the same adapter has one digest.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, cast

from ._errors import InvalidBlob
from ._records import DenseSpec, ModuleSpec

MAX_HEADER_BYTES = 16 << 20
MAX_METADATA_CHARACTERS = 1 << 20
MAX_MODULES = 16384
MAX_DENSE_TENSORS = 1024
MAX_RANK = 16384
MAX_AXIS_LENGTH = 1 << 24
MAX_AXES = 8
MAX_NAME_CHARACTERS = 512
_WIDTHS = {"F32": 4, "BF16": 2, "F16": 2}
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"\x1f\x8b")


@dataclass(frozen=True, slots=True)
class Header:
    """What a blob says it holds: modules and dense tensors by name, and its metadata."""

    modules: tuple[ModuleSpec, ...]
    dense: tuple[DenseSpec, ...]
    metadata: str | None

    @property
    def rank(self) -> int:
        """Largest rank of its modules; 0 when it has none."""
        return max((module.rank for module in self.modules), default=0)


@dataclass(frozen=True, slots=True)
class _Tensor:
    shape: tuple[int, ...]
    dtype: str


def read_header(stream: BinaryIO, size_bytes: int) -> Header:
    """Read and check the header of a blob of `size_bytes`; the data itself is not read.

    Raises InvalidBlob, naming the tensor where there is one.
    """
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length < 2 or length > size_bytes - 8:
        _refuse_start(start, length, size_bytes)
    if length > MAX_HEADER_BYTES:
        raise InvalidBlob(f"header of {length} bytes; the limit is {MAX_HEADER_BYTES}")
    if (8 + length) % 8:
        raise InvalidBlob(f"header of {length} bytes is not padded to a multiple of 8")
    raw = stream.read(length)
    if len(raw) < length:
        raise InvalidBlob("truncated inside the header; send the whole blob")
    entries, metadata = _parse(raw)
    tensors = _check_layout(entries, size_bytes - 8 - length)
    return Header(_modules(tensors), _dense(tensors), metadata)


def _refuse_start(start: bytes, length: int, size_bytes: int) -> NoReturn:
    if start.startswith(_PICKLES):
        raise InvalidBlob(
            "a pickle or an archive, not safetensors; write it with polyrank.aggregation.encode"
        )
    if size_bytes < 10:
        raise InvalidBlob(f"{size_bytes} bytes are too few for an adapter; send the whole blob")
    raise InvalidBlob(
        f"the first 8 bytes promise a header of {length} bytes in a blob of {size_bytes}; "
        "it is truncated or not safetensors"
    )


def _parse(raw: bytes) -> tuple[dict[str, Any], str | None]:
    """Read the JSON object; return its tensors and its metadata string."""
    try:
        text = raw.decode("utf-8").rstrip(" ")
        value: object = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        canonical = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except InvalidBlob:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidBlob(f"header is not UTF-8 JSON ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise InvalidBlob("header is not a JSON object")
    entries = cast("dict[str, Any]", value)
    if canonical != text or len(raw) - len(text.encode()) > 7:
        raise InvalidBlob("header is not canonical JSON; write it with polyrank.aggregation.encode")
    metadata = _metadata(entries)
    names = list(entries)
    if names != sorted(names):
        raise InvalidBlob("tensors are not sorted by name")
    return entries, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidBlob("header has a key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise InvalidBlob(f"header holds {name}")


def _metadata(entries: dict[str, Any]) -> str | None:
    """Take "__metadata__" out; it must come first and hold one string."""
    if "__metadata__" not in entries:
        return None
    if next(iter(entries)) != "__metadata__":
        raise InvalidBlob("__metadata__ is not first")
    value: object = entries.pop("__metadata__")
    found = cast("dict[str, object]", value).get("polyrank") if isinstance(value, dict) else None
    if not isinstance(found, str) or value != {"polyrank": found}:
        raise InvalidBlob('__metadata__ is not one string under "polyrank"')
    if len(found) > MAX_METADATA_CHARACTERS:
        raise InvalidBlob(f"__metadata__ is longer than {MAX_METADATA_CHARACTERS} characters")
    return found


def _check_layout(entries: dict[str, Any], data_bytes: int) -> dict[str, _Tensor]:
    """Check that the tensors fill the data section exactly, in order, in one dtype."""
    tensors: dict[str, _Tensor] = {}
    position = 0
    for name, entry in entries.items():
        tensor, begin, end = _tensor(name, entry)
        if begin != position:
            raise InvalidBlob(f"begins at {begin}, not {position}: a gap or an overlap", name)
        if end - begin != math.prod(tensor.shape) * _WIDTHS[tensor.dtype]:
            raise InvalidBlob(f"{end - begin} bytes do not fit shape {list(tensor.shape)}", name)
        if end > data_bytes:
            raise InvalidBlob(f"ends at {end}, after the data's {data_bytes} bytes", name)
        tensors[name] = tensor
        position = end
    if position != data_bytes:
        raise InvalidBlob(f"{data_bytes - position} bytes follow the last tensor")
    if len({tensor.dtype for tensor in tensors.values()}) > 1:
        raise InvalidBlob("tensors of different dtypes; one blob has one")
    return tensors


def _tensor(name: str, entry: object) -> tuple[_Tensor, int, int]:
    fields = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
    if list(fields) != ["dtype", "shape", "data_offsets"]:
        raise InvalidBlob("has no dtype, shape and data_offsets, in that order", name)
    dtype, shape, offsets = fields.values()
    if not isinstance(dtype, str) or dtype not in _WIDTHS:
        raise InvalidBlob(f"dtype {str(dtype)[:20]!r}; it must be F32, BF16 or F16", name)
    axes = _whole_numbers(shape, name, MAX_AXIS_LENGTH)
    begin_end = _whole_numbers(offsets, name, 1 << 62)
    if not 1 <= len(axes) <= MAX_AXES:
        raise InvalidBlob(f"{len(axes)} axes; 1 to {MAX_AXES} are allowed", name)
    if len(begin_end) != 2 or begin_end[0] > begin_end[1]:
        raise InvalidBlob("data_offsets are not [begin, end]", name)
    return _Tensor(axes, dtype), begin_end[0], begin_end[1]


def _whole_numbers(value: object, name: str, most: int) -> tuple[int, ...]:
    numbers = cast("list[object]", value) if isinstance(value, list) else [None]
    for number in numbers:
        if type(number) is not int or not 0 <= number <= most:
            raise InvalidBlob(f"shape or data_offsets hold no whole numbers up to {most}", name)
    return tuple(cast("list[int]", numbers))


def _modules(tensors: dict[str, _Tensor]) -> tuple[ModuleSpec, ...]:
    """Pair the factors; anything that is neither a factor nor dense is refused."""
    sides: dict[str, dict[str, _Tensor]] = {}
    for full, tensor in tensors.items():
        if full.startswith("dense/"):
            continue
        name, slash, side = full.removeprefix("factors/").rpartition("/")
        if not full.startswith("factors/") or not slash or side not in ("a", "b"):
            raise InvalidBlob("neither factors/<module>/a or b, nor dense/<name>", full[:600])
        sides.setdefault(_name(name, full), {})[side] = tensor
    if len(sides) > MAX_MODULES:
        raise InvalidBlob(f"{len(sides)} modules; the limit is {MAX_MODULES}")
    return tuple(_module(name, pair) for name, pair in sorted(sides.items()))


def _module(name: str, pair: dict[str, _Tensor]) -> ModuleSpec:
    where = f"factors/{name}"
    if set(pair) != {"a", "b"}:
        raise InvalidBlob(f"has {'a' if 'a' in pair else 'b'} without its other factor", where)
    b, a = pair["b"].shape, pair["a"].shape
    if len(b) != 2 or len(a) != 2:
        raise InvalidBlob("factors are not matrices", where)
    if b[1] != a[0]:
        raise InvalidBlob(f"rank {b[1]} in b but {a[0]} in a", where)
    if b[1] > MAX_RANK or b[0] < 1 or a[1] < 1:
        raise InvalidBlob(f"b {list(b)}, a {list(a)}: a side is empty or the rank too large", where)
    return ModuleSpec(name=name, rank=b[1], shape=(b[0], a[1]), dtype=pair["b"].dtype)


def _dense(tensors: dict[str, _Tensor]) -> tuple[DenseSpec, ...]:
    found: list[DenseSpec] = []
    for full, tensor in tensors.items():
        if full.startswith("dense/"):
            name = _name(full.removeprefix("dense/"), full)
            if 0 in tensor.shape:
                raise InvalidBlob("an axis of length 0", full)
            found.append(DenseSpec(name=name, shape=tensor.shape, dtype=tensor.dtype))
    if len(found) > MAX_DENSE_TENSORS:
        raise InvalidBlob(f"{len(found)} dense tensors; the limit is {MAX_DENSE_TENSORS}")
    return tuple(found)


def _name(name: str, full: str) -> str:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable() or "/" in name:
        raise InvalidBlob(
            f'name is not 1 to {MAX_NAME_CHARACTERS} printable characters without "/"', full[:600]
        )
    return name
