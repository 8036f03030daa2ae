"""Simulated time: a clock that jumps instead of waiting, and records that are dated by it.

The store dates what it writes by the machine's clock. Deadlines are reckoned from those dates, so
the driver of a simulation sees them as they are on its own clock: else a jump over one deadline
would let every later evaluation lapse at once, and an hour of real training a simulated second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from ..store import Ledger, Registry, RoundRecord, TaskRecord, Version


def _machine_time() -> datetime:
    return datetime.now(UTC)


class SimulatedClock:
    """Seconds since 1970 that pass only when they are told to; called, it tells the time.

    Args:
        machine: the clock that dates the records, and from which this one starts.
    """

    def __init__(self, machine: Callable[[], datetime] = _machine_time) -> None:
        self._machine = machine
        began = machine()
        self._began = began.timestamp()
        self._changed_at = [began]  # on the machine's clock, ascending
        self._times = [self._began]  # what this clock told from then on

    def __call__(self) -> float:
        """Return the time."""
        return self._times[-1]

    @property
    def elapsed_seconds(self) -> float:
        """How much simulated time has passed."""
        return self._times[-1] - self._began

    def advance(self, seconds: float) -> None:
        """Let some time pass."""
        self.move_to(self._times[-1] + seconds)

    def move_to(self, time: float) -> None:
        """Let it be a later time; an earlier one changes nothing."""
        if time > self._times[-1]:
            self._changed_at.append(max(self._machine(), self._changed_at[-1]))
            self._times.append(time)

    def told_at(self, recorded: datetime) -> datetime:
        """Return what this clock told when a record got its date.

        Records from before the simulation keep theirs.
        """
        place = bisect_right(self._changed_at, recorded) - 1
        return recorded if place < 0 else datetime.fromtimestamp(self._times[place], UTC)


class _Dated:
    """Passes every call on, and dates the records that it returns by a simulated clock."""

    def __init__(self, target: Ledger | Registry, clock: SimulatedClock) -> None:
        self._target = target
        self._clock = clock

    @property
    def registry(self) -> Registry:
        found = cast("Ledger", self._target).registry
        return cast("Registry", _Dated(found, self._clock))

    def __getattr__(self, name: str) -> Any:
        found: Any = getattr(self._target, name)

        def call(*given: Any, **named: Any) -> Any:
            return self._shown(found(*given, **named))

        return call if callable(found) else found

    def _shown(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._shown(item) for item in cast("list[Any]", value)]
        told_at = self._clock.told_at
        # of a task that is closed, nothing is reckoned any more
        if isinstance(value, Version) or (isinstance(value, TaskRecord) and value.state == "open"):
            return replace(value, created_at=told_at(value.created_at))
        if isinstance(value, RoundRecord) and value.closed_at is not None:
            return replace(value, closed_at=told_at(value.closed_at))
        return value


def dated(ledger: Ledger, clock: SimulatedClock) -> Ledger:
    """Return the same ledger as a driver on a simulated clock has to see it."""
    return cast("Ledger", _Dated(ledger, clock))
