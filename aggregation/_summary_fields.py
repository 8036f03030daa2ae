"""Reading the fields of a JSON object that came from outside: typed, bounded, without surprises."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import cast

from ._errors import SummaryError

_SHOWN_CHARACTERS = 80


def refuse(
    field: str, message: str, *, expected: object = None, got: object = None
) -> SummaryError:
    """Return the error that says which field is wrong, and how."""
    shown = None if got is None else show(got)
    return SummaryError(f"{field}: {message}", expected=expected, got=shown)


def show(value: object) -> str:
    """Return a short text for an error: what came from outside may be long, or have no repr."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; a deep nest
        return type(value).__name__
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


class Fields:
    """The fields of one JSON object, each read once with its type and range.

    Args:
        values: what came.
        names: the fields that must be there.
        optional: the fields that may be there.

    Raises:
        SummaryError: not an object, a field missing, or one that is not expected.

    Example:
        >>> Fields({"count": 3}, ["count"]).integer("count", low=1, high=9)
        3
    """

    def __init__(
        self, values: object, names: Collection[str], optional: Collection[str] = ()
    ) -> None:
        if not isinstance(values, Mapping):
            raise SummaryError("expected a JSON object", got=type(values).__name__)
        self._values = cast("Mapping[object, object]", values)
        for name in names:
            if name not in self._values:
                raise refuse(name, "missing")
        unknown = [show(name) for name in self._values if name not in (*names, *optional)]
        if unknown:
            raise SummaryError("unknown field", got=unknown[0])

    def __contains__(self, name: str) -> bool:
        """Whether an optional field is there."""
        return name in self._values

    def value(self, name: str) -> object:
        """Return a field as it is."""
        return self._values[name]

    def text(self, name: str) -> str:
        """Return a string field."""
        value = self._values[name]
        if not isinstance(value, str):
            raise refuse(name, "not a string", got=type(value).__name__)
        return value

    def integer(self, name: str, *, low: int, high: int) -> int:
        """Return an integer field in [low, high]."""
        return checked_integer(name, self._values[name], low=low, high=high)

    def number(self, name: str) -> float:
        """Return a finite number."""
        return checked_number(name, self._values[name])

    def integers(self, name: str, *, high: int, max_length: int) -> tuple[int, ...]:
        """Return a list of at most `max_length` integers in [0, high]."""
        value = self._values[name]
        if not isinstance(value, list):
            raise refuse(name, "not a list", got=type(value).__name__)
        items = cast("list[object]", value)
        if len(items) > max_length:
            raise refuse(name, "too long", expected=max_length, got=len(items))
        return tuple(checked_integer(name, item, low=0, high=high) for item in items)


def checked_integer(name: str, value: object, *, low: int, high: int) -> int:
    """Return `value` if it is an integer in [low, high]; True and 1.0 are not."""
    if type(value) is not int or not low <= value <= high:
        raise refuse(name, "not an integer in range", expected=f"{low} to {high}", got=value)
    return value


def checked_number(name: str, value: object) -> float:
    """Return `value` as a float if it is a finite int or float; True is not."""
    if type(value) is not int and type(value) is not float:
        raise refuse(name, "not a number", got=type(value).__name__)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise refuse(name, "not finite", got=number)
    return number
