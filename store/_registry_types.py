"""What the registry's contract mentions: any alias, bytes to publish, a watch of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from ._records import Event


class Expect(Enum):
    """Type of ANY."""

    ANY = "any"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = Expect.ANY
"""For set_alias(expect=ANY): whatever the alias names now."""

Source = bytes | bytearray | memoryview | Path | BinaryIO


class Watch(ABC):
    """An endless iterator of events; close() ends it, from any thread. A context manager."""

    @abstractmethod
    def __next__(self) -> Event:
        """Wait for the next event; StopIteration after close() or when the timeout passed."""

    @abstractmethod
    def close(self) -> None:
        """End the iteration; safe to call twice, and from another thread."""

    def __iter__(self) -> Iterator[Event]:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
