"""Reading a list of the registry to its end, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from ..store import Page


class Numbered(Protocol):
    """A record with a number, such as a decision or evidence."""

    @property
    def number(self) -> int:
        """Its number: they rise."""
        ...


Item = TypeVar("Item", bound=Numbered)
Found = TypeVar("Found")


def read_all(page: Callable[[int], Sequence[Item]]) -> Iterator[Item]:
    """Yield every record; `page(since)` returns the next ones above a number, none at the end."""
    since = 0
    while found := page(since):
        yield from found
        since = found[-1].number


def read_pages(page: Callable[[str | None], Page[Found]]) -> Iterator[Found]:
    """Yield the items of all pages; `page(token)` returns one, the first for None."""
    token: str | None = None
    while True:
        found = page(token)
        yield from found.items
        if (token := found.next_page_token) is None:
            return
