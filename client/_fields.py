"""Checked fields: bytes from outside become typed records only through here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, TypeVar, cast

from ._errors import ProtocolError

Check = Callable[[str, object], object]

MAX_TEXT_CHARS = 4096
MAX_INTEGER = 2**63 - 1
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_T = TypeVar("_T")


def canonical_json(value: object) -> bytes:
    """Write ``value`` as JSON with sorted keys, no spaces, UTF-8 and finite numbers.

    Raises:
        ProtocolError: when the value is not JSON, or holds NaN or infinity.
    """
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"value cannot be written as canonical JSON: {error}") from error


def parse_object(data: bytes) -> dict[str, object]:
    """Read one canonical JSON object from untrusted bytes.

    Raises:
        ProtocolError: when the bytes are not one JSON object in canonical form.
    """
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"envelope is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("envelope is not a JSON object")
    if canonical_json(cast("object", value)) != data:
        raise ProtocolError("envelope is not canonical JSON (sorted keys, no spaces, once each)")
    return cast("dict[str, object]", value)


def checked(check: Check, default: object = None, *, required: bool = True) -> Any:
    """Declare a dataclass field whose value must pass ``check``."""
    if required:
        return field(metadata={"check": check})
    if isinstance(default, (dict, list)):
        made = cast("dict[str, object]", default)
        return field(default_factory=made.copy, metadata={"check": check})
    return field(default=default, metadata={"check": check})


def check_record(record: object) -> None:
    """Run each field's check; called from ``__post_init__``."""
    for item in fields(cast("Any", record)):
        check = cast("Check", item.metadata["check"])
        object.__setattr__(record, item.name, check(item.name, getattr(record, item.name)))


def build(kind: type[_T], values: Mapping[str, object]) -> _T:
    """Make a record from untrusted values; every field must be there, and none besides."""
    known = {item.name for item in fields(cast("Any", kind))}
    if missing := sorted(known - values.keys()):
        raise ProtocolError(f"{kind.__name__} lacks field {missing[0]!r}", field=missing[0])
    if unknown := sorted(values.keys() - known):
        raise ProtocolError(f"{kind.__name__} has unknown field {unknown[0]!r}", field=unknown[0])
    return kind(**values)


def _bad(name: str, expected: str, value: object) -> ProtocolError:
    return ProtocolError(f"field {name!r}: expected {expected}, got {value!r:.80}", field=name)


def text(*, max_chars: int = MAX_TEXT_CHARS, empty: bool = True) -> Check:
    """Accept a string of at most ``max_chars`` characters."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, str) or len(value) > max_chars or not (value or empty):
            raise _bad(name, f"text of at most {max_chars} characters", value)
        return value

    return check


def hexdigest(*, empty: bool = False) -> Check:
    """Accept a lower-case sha-256 in hexadecimal (or, if ``empty``, nothing)."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, str) or not (_HEX64.match(value) or (empty and not value)):
            raise _bad(name, "64 lower-case hexadecimal characters", value)
        return value

    return check


def integer(*, low: int = 0, high: int = MAX_INTEGER, optional: bool = False) -> Check:
    """Accept an integer in ``[low, high]`` (or, if ``optional``, null)."""

    def check(name: str, value: object) -> object:
        if optional and value is None:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _bad(name, f"an integer from {low} to {high}", value)
        return value

    return check


def number(*, low: float = 0.0) -> Check:
    """Accept a finite number of at least ``low``."""

    def check(name: str, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _bad(name, "a number", value)
        try:
            found = float(value)
        except OverflowError:  # an integer beyond any float
            found = math.inf
        if not math.isfinite(found) or found < low:
            raise _bad(name, f"a finite number of at least {low}", value)
        return found

    return check


def flag(name: str, value: object) -> object:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise _bad(name, "true or false", value)
    return value


def one_of(*choices: str) -> Check:
    """Accept one of the given strings."""

    def check(name: str, value: object) -> object:
        if value not in choices:
            raise _bad(name, "one of " + ", ".join(choices), value)
        return value

    return check


def mapping_of(check_value: Check, *, max_items: int = 65_536) -> Check:
    """Accept a mapping from text to values that pass ``check_value``; it is copied."""
    check_key = text(max_chars=512, empty=False)

    def check(name: str, value: object) -> object:
        if not isinstance(value, Mapping):
            raise _bad(name, "a mapping", value)
        items = cast("Mapping[object, object]", value)
        if len(items) > max_items:
            raise _bad(name, f"at most {max_items} entries", len(items))
        return {cast("str", check_key(name, k)): check_value(name, v) for k, v in items.items()}

    return check


def sequence_of(check_value: Check, *, max_items: int = 4096) -> Check:
    """Accept a list or tuple of values that pass ``check_value``; it becomes a tuple."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, (list, tuple)):
            raise _bad(name, "a list", value)
        items = cast("tuple[object, ...]", tuple(cast("Any", value)))
        if len(items) > max_items:
            raise _bad(name, f"at most {max_items} entries", len(items))
        return tuple(check_value(name, item) for item in items)

    return check


def json_value(name: str, value: object) -> object:
    """Accept anything that canonical JSON can hold, as a deep copy."""
    try:
        return cast("object", json.loads(canonical_json(value)))
    except ProtocolError as error:
        raise ProtocolError(f"field {name!r}: {error}", field=name) from error
