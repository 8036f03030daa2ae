"""Canonical adapter blobs of any modules, and their profiles, made without torch."""

import json
import math
from collections.abc import Mapping, Sequence

WIDTH = {"F32": 4, "F16": 2, "BF16": 2}


def tensors_of(
    modules: Mapping[str, tuple[int, int, int]], dense: Mapping[str, Sequence[int]] | None = None
) -> dict[str, list[int]]:
    """Shapes by full name; a module is (d_out, rank, d_in)."""
    shapes: dict[str, list[int]] = {}
    for name, (d_out, rank, d_in) in modules.items():
        shapes[f"factors/{name}/a"] = [rank, d_in]
        shapes[f"factors/{name}/b"] = [d_out, rank]
    for name, shape in (dense or {}).items():
        shapes[f"dense/{name}"] = list(shape)
    return dict(sorted(shapes.items()))


def header_of(shapes: Mapping[str, Sequence[int]], dtype: str = "F32") -> tuple[dict, int]:
    """The header object of tensors in this order, and the size of their data."""
    header, position = {}, 0
    for name, shape in shapes.items():
        end = position + WIDTH[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    return header, position


def packed(header: object, data: bytes) -> bytes:
    """A blob of any header, canonical in its JSON."""
    text = header if isinstance(header, bytes) else compact(header)
    text += b" " * (-(8 + len(text)) % 8)
    return len(text).to_bytes(8, "little") + text + data


def compact(header: object) -> bytes:
    """JSON without whitespace."""
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()


def adapter_blob(
    modules: Mapping[str, tuple[int, int, int]] | None = None,
    dense: Mapping[str, Sequence[int]] | None = None,
    *,
    fill: int = 0,
    dtype: str = "F32",
) -> bytes:
    """A canonical blob; `fill` makes its bytes differ."""
    if modules is None:
        modules = {"fc": (4, 2, 3)}
    header, size = header_of(tensors_of(modules, dense), dtype)
    return packed(header, bytes([fill % 256]) * size)


def profile_for(
    modules: Mapping[str, tuple[int, int, int]],
    dense: Mapping[str, Sequence[int]] | None = None,
    sketch: Sequence[float] | None = None,
) -> dict:
    """What polyrank.aggregation.profile would say about such an adapter, in form."""
    found: dict = {
        "format": 1,
        "norm": 1.0,
        "modules": {
            name: {"rank": r, "shape": [m, n], "norm": 1.0, "spectrum": [1.0] * r, "digest": "0"}
            for name, (m, r, n) in modules.items()
        },
        "dense": {
            name: {"shape": list(s), "norm": 0.0, "digest": "0"}
            for name, s in (dense or {}).items()
        },
    }
    if sketch is not None:
        found["sketch"] = list(sketch)
    return found
