"""Independent work on each module: one after the other, or in the threads of a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


def by_name(
    function: Callable[[str], T], names: Iterable[str], executor: Executor | None
) -> dict[str, T]:
    """Return function(name) for each name, in the order of the names whatever ends first."""
    listed = list(names)
    found = map(function, listed) if executor is None else executor.map(function, listed)
    return dict(zip(listed, found, strict=True))
