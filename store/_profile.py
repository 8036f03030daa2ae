"""Profiles: checked against the header of the bytes they came with, and compared by sketch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ._errors import InvalidValue, ProfileMismatch
from ._header import Header
from ._json import ReadOnlyDict, freeze

MAX_SKETCH = 4096


def check_profile(profile: Mapping[str, Any], header: Header) -> ReadOnlyDict:
    """Return a read-only copy of a profile that agrees with the header.

    Raises InvalidValue for a profile of another form, ProfileMismatch for one of other bytes.
    """
    frozen = freeze(profile, field="profile")
    if frozen.get("format") != 1:
        raise InvalidValue("profile.format", f"{frozen.get('format')!r}; this registry knows 1")
    modules = _objects(frozen, "modules")
    _same("the set of modules", sorted(modules), [module.name for module in header.modules])
    for module in header.modules:
        _same(f"{module.name}: rank", modules[module.name].get("rank"), module.rank)
        _same(f"{module.name}: shape", modules[module.name].get("shape"), list(module.shape))
    dense = _objects(frozen, "dense")
    _same("the set of dense tensors", sorted(dense), sorted(spec.name for spec in header.dense))
    for spec in header.dense:
        _same(f"{spec.name}: shape", dense[spec.name].get("shape"), list(spec.shape))
    sketch_of(frozen)
    return frozen


def _objects(profile: ReadOnlyDict, field: str) -> Mapping[str, Mapping[str, Any]]:
    value: object = profile.get(field)
    if not isinstance(value, ReadOnlyDict):
        raise InvalidValue(f"profile.{field}", "not an object by name")
    for name, item in value.items():
        if not isinstance(item, ReadOnlyDict):
            raise InvalidValue(f"profile.{field}.{name}", "not an object")
    return value


def _same(field: str, profile: object, header: object) -> None:
    if profile != header:
        raise ProfileMismatch(field, repr(profile)[:200], repr(header)[:200])


def sketch_of(profile: Mapping[str, Any] | None) -> bytes | None:
    """Return a profile's sketch as little-endian float64, None when it has none.

    Raises InvalidValue if there is one that is no list of numbers.
    """
    value: object = None if profile is None else profile.get("sketch")
    if value is None:
        return None
    numbers = cast("list[object]", value) if isinstance(value, list) else []
    if not 1 <= len(numbers) <= MAX_SKETCH or not all(map(_is_number, numbers)):
        raise InvalidValue("profile.sketch", f"not a list of 1 to {MAX_SKETCH} numbers")
    return np.array(numbers, dtype="<f8").tobytes()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def cosines(one: bytes, others: list[bytes]) -> NDArray[np.float64]:
    """Return the cosine of one sketch with each of the others, all of the same length.

    Not-a-number where either is zero.
    """
    left = _unit(np.frombuffer(one, dtype="<f8")[None, :])
    right = _unit(np.frombuffer(b"".join(others), dtype="<f8").reshape(len(others), -1))
    return np.clip(right @ left[0], -1.0, 1.0)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each row to length 1, without overflow; a zero row becomes not-a-number."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = rows / largest
        return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
