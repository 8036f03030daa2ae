"""Watching events of a local database: woken by writers of this process, polling for others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ._database import Database
from ._errors import Closed
from ._records import Event
from ._registry_types import Watch

POLL_SECONDS = 0.25
BATCH = 100


class LocalWatch(Watch):
    """An iterator over events; one indexed read per poll while nothing happens."""

    def __init__(
        self,
        database: Database,
        events: Callable[[int, int], list[Event]],
        since: int,
        timeout_seconds: float | None,
    ) -> None:
        self._database = database
        self._events = events
        self._since = since
        self._timeout = timeout_seconds
        self._ready: deque[Event] = deque()
        self._closed = False

    def __next__(self) -> Event:
        """Wait for the next event."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while not self._closed:
            if not self._ready:
                self._fetch()
            if self._ready:
                return self._ready.popleft()
            left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            with self._database.changed:
                if not self._closed and not self._database.closed:
                    self._database.changed.wait(min(left, POLL_SECONDS))
        raise StopIteration

    def _fetch(self) -> None:
        try:
            self._ready.extend(self._events(self._since, BATCH))
        except Closed:
            self._closed = True
        if self._ready:
            self._since = self._ready[-1].number

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        with self._database.changed:
            self._database.changed.notify_all()
