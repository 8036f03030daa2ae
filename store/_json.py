"""Read-only JSON values: what records hold, what the database keeps, what the wire carries."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from ._errors import InvalidValue

MAX_DEPTH = 32


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise TypeError("records are read-only: make a dict(...) or list(...) of it first")


class ReadOnlyDict(dict[str, Any]):
    """A dict that cannot be changed; equal to a plain one, and json.dumps takes it."""

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    __ior__ = _refuse  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(frozenset(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (ReadOnlyDict, (dict(self),))


class ReadOnlyList(list[Any]):
    """A list that cannot be changed; equal to a plain one, and json.dumps takes it."""

    __setitem__ = __delitem__ = append = extend = insert = pop = remove = _refuse  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    clear = sort = reverse = __iadd__ = __imul__ = _refuse  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(len(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (ReadOnlyList, (list(self),))


EMPTY: Mapping[str, Any] = ReadOnlyDict()


def freeze(value: Mapping[str, Any], *, field: str = "mapping") -> ReadOnlyDict:
    """Return a deep read-only copy of a JSON object.

    Raises InvalidValue, naming `field` and the place in it, for anything that JSON cannot carry
    unchanged: other types, keys that are no strings, NaN and infinities.
    """
    return ReadOnlyDict(_items(value, field, 0))


def dumps(value: Any) -> str:
    """Serialise a JSON value canonically: sorted keys, no whitespace."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def loads(text: str) -> Any:
    """Read JSON from anybody, read-only; raises InvalidValue as `freeze` does."""
    return _copy(json.loads(text), "stored JSON", 0)


def reads(text: str) -> Any:
    """Read what dumps() wrote into the database, read-only; several times as fast as `loads`.

    Plans and evidence of hundreds of nodes are read again and again, and were checked when they
    were written.
    """
    return _frozen(json.loads(text, parse_constant=_no_number))


def _no_number(name: str) -> NoReturn:
    raise InvalidValue("stored JSON", f"{name} is not a finite number")


def _frozen(value: Any) -> Any:
    if type(value) is dict:
        items = cast("dict[str, Any]", value).items()
        return ReadOnlyDict({key: _frozen(item) for key, item in items})
    if type(value) is list:
        return ReadOnlyList([_frozen(item) for item in cast("list[Any]", value)])
    return value


def _items(value: Mapping[str, Any], where: str, depth: int) -> Iterable[tuple[str, Any]]:
    for key, item in value.items():
        if not isinstance(cast("object", key), str):
            raise InvalidValue(where, f"key {key!r} is not a string")
        yield key, _copy(item, f"{where}.{key}", depth + 1)


def _copy(value: object, where: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidValue(where, f"nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise InvalidValue(where, f"{value} is not a finite number")
        return value
    if isinstance(value, Mapping):
        return ReadOnlyDict(_items(cast("Mapping[str, Any]", value), where, depth))
    if isinstance(value, list | tuple):
        items = cast("Iterable[object]", value)
        return ReadOnlyList(_copy(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(items))
    raise InvalidValue(where, f"{type(value).__name__} is not a JSON value")
