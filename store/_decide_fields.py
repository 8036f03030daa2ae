"""Frozen values that are checked field by field, however they are made.

A dataclass that inherits `Checked` says in its annotations what each field may hold, with the
aliases below. The check runs when a value is made, from JSON too: lists become tuples, whole
numbers become floats where a float is declared, mappings become read-only and sorted. What cannot
be right raises InvalidValue, whose `field` is the path to it, such as `nodes[3].probes[0].gain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, cast, get_args, get_origin, get_type_hints

from ._errors import InvalidValue
from ._json import ReadOnlyDict, dumps
from ._names import MAX_NUMBER, adapter_name, name_text, parse_ref, whole
from ._names import text as free_text

LARGEST = 1e9
LARGEST_FIGURE = 1e24
MAX_ITEMS = 1_000_000

Check = Callable[[Any, str], Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    least: int = 0
    most: int = MAX_NUMBER

    def __call__(self, value: Any, field: str) -> int:
        """Return the number."""
        return whole(field, value, least=self.least, most=self.most)


@dataclass(frozen=True, slots=True)
class Real:
    """A finite number within bounds, kept as a float; minus zero becomes zero."""

    least: float = -LARGEST
    most: float = LARGEST

    def __call__(self, value: Any, field: str) -> float:
        """Return the number as a float."""
        return float(_bounded(value, field, self.least, self.most)) + 0.0


def _bounded(value: Any, field: str, least: float, most: float) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and least <= value <= most:
        return value
    raise InvalidValue(field, f"{_show(value)} is not a number from {least:g} to {most:g}")


def _figure(value: Any, field: str) -> int | float:
    """Keep counts as whole numbers, so that 2 nodes are not written as 2.0."""
    return _bounded(value, field, -LARGEST_FIGURE, LARGEST_FIGURE)


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue(field, f"{_show(value)} is neither true nor false")
    return value


def _text(kind: Callable[[str], object]) -> Check:
    def check(value: Any, field: str) -> str:
        if not isinstance(value, str):
            raise InvalidValue(field, f"{_show(value)} is not text")
        try:
            kind(value)
        except InvalidValue as error:
            raise InvalidValue(field, error.problem) from None
        return value

    return check


def _numbered(value: str) -> None:
    if parse_ref(value).number is None:
        raise InvalidValue("ref", f'{value[:80]!r} does not name one version, like "demo@7"')


def _show(value: Any) -> str:
    """Return a short form of any value for a message."""
    return f"{value!r}"[:80] if isinstance(value, bool | float | str) else type(value).__name__


Name = Annotated[str, _text(adapter_name)]
Ref = Annotated[str, _text(_numbered)]
Identity = Annotated[str, _text(lambda value: name_text("identity", value))]
Sentence = Annotated[str, _text(lambda value: free_text("text", value))]
Count = Annotated[int, Whole()]
Positive = Annotated[int, Whole(1)]
Bytes = Annotated[int, Whole(0, 2**63 - 1)]
Number = Annotated[float, Real()]
Nats = Annotated[float, Real(0)]
Share = Annotated[float, Real(0, 1)]
Figure = Annotated[float, _figure]
Key = Annotated[str, _text(lambda value: name_text("key", value))]


class Checked:
    """A frozen dataclass whose annotations are checked; see the module."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, check in _plan(type(self)):
            object.__setattr__(self, name, check(getattr(self, name), name))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a field that is at its default is left out.

        So the default of such a field can never change: what was recorded would change with it.
        """
        return {
            f.name: _plain(value)
            for f in fields(cast("Any", self))
            if (value := getattr(self, f.name)) != f.default
        }

    def canonical(self) -> bytes:
        """Return its canonical JSON: sorted keys, no spaces, UTF-8."""
        return dumps(self.to_json()).encode()

    @classmethod
    def from_json(cls, values: object, *, field: str = "") -> Self:
        """Read what `to_json` wrote.

        Raises:
            InvalidValue: naming the field, for a missing, unknown or impossible one.
        """
        where = field or cls.__name__
        if not isinstance(values, Mapping):
            raise InvalidValue(where, f"{_show(values)} is not a JSON object")
        given = cast("Mapping[Any, Any]", values)
        known, required = _names(cls)
        for name in sorted(str(key) for key in given if key not in known):
            raise InvalidValue(f"{where}.{name[:80]}", "there is no such field")
        for name in sorted(required - set(given)):
            raise InvalidValue(f"{where}.{name}", "is missing")
        return _inside(lambda: cls(**given), f"{where}.")


def _inside(make: Callable[[], Any], prefix: str) -> Any:
    """Call, with the prefix put before the field that an error names."""
    try:
        return make()
    except InvalidValue as error:
        raise InvalidValue(prefix + error.field, error.problem) from None


@cache
def _names(kind: type[Any]) -> tuple[frozenset[str], frozenset[str]]:
    every = fields(kind)
    required = (f.name for f in every if f.default is MISSING and f.default_factory is MISSING)
    return frozenset(f.name for f in every), frozenset(required)


@cache
def _plan(kind: type[Any]) -> tuple[tuple[str, Check], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((f.name, _check_for(hints[f.name])) for f in fields(kind))


def _check_for(hint: Any) -> Check:
    """Return the check of one annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return arguments[1]
    if origin in (Union, UnionType):
        return _optional(_check_for(next(a for a in arguments if a is not type(None))))
    if origin is tuple:
        return _sequence(_check_for(arguments[0]))
    if origin is Literal:
        return _one_of(arguments)
    if origin is Mapping:
        return _mapping(_check_for(arguments[0]), _check_for(arguments[1]))
    return _flag if hint is bool else _nested(hint)


def _optional(inner: Check) -> Check:
    return lambda value, field: None if value is None else inner(value, field)


def _one_of(words: tuple[str, ...]) -> Check:
    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or value not in words:
            raise InvalidValue(field, f"{_show(value)} is none of {', '.join(words)}")
        return value

    return check


def _sequence(inner: Check) -> Check:
    def check(value: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidValue(field, f"{_show(value)} is not a list")
        items = cast("list[Any]", value)
        _few(items, field)
        return tuple(inner(item, f"{field}[{i}]") for i, item in enumerate(items))

    return check


def _mapping(key_check: Check, value_check: Check) -> Check:
    def check(value: Any, field: str) -> ReadOnlyDict:
        if not isinstance(value, Mapping):
            raise InvalidValue(field, f"{_show(value)} is not a JSON object")
        items = cast("Mapping[Any, Any]", value)
        _few(items, field)
        kept = {key_check(k, f"a key of {field}"): v for k, v in items.items()}
        return ReadOnlyDict((k, value_check(kept[k], f"{field}.{k}")) for k in sorted(kept))

    return check


def _few(items: list[Any] | Mapping[Any, Any], field: str) -> None:
    if len(items) > MAX_ITEMS:
        raise InvalidValue(field, f"{len(items)} items; at most {MAX_ITEMS} are read")


def _nested(kind: type[Checked]) -> Check:
    def check(value: Any, field: str) -> Checked:
        return value if isinstance(value, kind) else kind.from_json(value, field=field)

    return check


def _plain(value: Any) -> Any:
    if isinstance(value, Checked):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[Any, ...]", value)]
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value
