"""Reading a numbered list of the registry to its end, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar


class Numbered(Protocol):
    """A record with a number, such as a decision or evidence."""

    @property
    def number(self) -> int:
        """Its number: they rise."""
        ...


Item = TypeVar("Item", bound=Numbered)


def read_all(page: Callable[[int], Sequence[Item]]) -> Iterator[Item]:
    """Yield every record; `page(since)` returns the next ones above a number, none at the end."""
    since = 0
    while found := page(since):
        yield from found
        since = found[-1].number
