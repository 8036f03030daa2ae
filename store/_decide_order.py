"""Sorting the parts of evidence, and refusing what is there twice or belongs to nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, TypeVar

from ._decide_fields import Checked
from ._errors import InvalidValue

Item = TypeVar("Item")


def in_order(value: Checked, name: str, key: Callable[[Any], tuple[str, ...]]) -> None:
    """Sort a tuple of a value by what must be unique in it."""
    items: tuple[Any, ...] = getattr(value, name)
    if len(items) < 2:
        return
    ordered = tuple(sorted(items, key=key))
    for before, after in pairwise(ordered):
        if key(before) == key(after):
            raise InvalidValue(name, f"{' and '.join(key(after))} is there twice")
    object.__setattr__(value, name, ordered)


def known(items: Iterable[Item], name: Callable[[Item], str], known: set[str], field: str) -> None:
    """Raise InvalidValue for an item whose name is not one of the members."""
    for item in items:
        if name(item) not in known:
            raise InvalidValue(field, f"{name(item)} is not one of the members")
