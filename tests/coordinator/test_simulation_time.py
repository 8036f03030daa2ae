"""A clock that jumps, and records of a machine's time that are shown on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from polyrank.coordinator._simulation_time import SimulatedClock, dated
from polyrank.store import NewTask, open_ledger
from small_blobs import blob

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Machine:
    """A machine's clock in a test's hand."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time

    def pass_seconds(self, seconds: float) -> datetime:
        self.time += timedelta(seconds=seconds)
        return self.time


@pytest.fixture
def machine() -> Machine:
    return Machine()


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_time_passes_when_it_is_told_to_and_never_goes_back(machine: Machine):
    clock = SimulatedClock(machine)
    machine.pass_seconds(500)
    assert clock() == NOON.timestamp()
    clock.advance(10)
    clock.move_to(NOON.timestamp() + 5)
    assert (clock(), clock.elapsed_seconds) == (NOON.timestamp() + 10, 10)


def test_a_date_is_what_the_clock_told_when_it_was_written(machine: Machine):
    clock = SimulatedClock(machine)
    first = machine.pass_seconds(1)
    machine.pass_seconds(1)
    clock.advance(3600)
    second, third = machine.pass_seconds(1), machine.pass_seconds(1000)
    machine.pass_seconds(1)
    clock.advance(60)
    fourth = machine.pass_seconds(0.001)
    shown = [clock.told_at(date) for date in (first, second, third, fourth)]
    assert shown == [NOON, after(3600), after(3600), after(3660)]


def test_a_date_from_before_the_simulation_stays(machine: Machine):
    clock = SimulatedClock(machine)
    clock.advance(3600)
    assert clock.told_at(after(-7)) == after(-7)


def test_a_machine_whose_clock_is_set_back_does_not_put_dates_out_of_order(machine: Machine):
    clock = SimulatedClock(machine)
    machine.pass_seconds(10)
    clock.advance(100)
    machine.pass_seconds(-9)
    clock.advance(100)
    machine.pass_seconds(20)
    assert clock.told_at(machine.time) == after(200)


def test_a_driver_sees_open_tasks_closed_rounds_and_versions_on_the_simulated_clock():
    clock = SimulatedClock()
    with open_ledger("memory://") as ledger:
        shown, epoch = dated(ledger, clock), ledger.take_epoch("test")
        ledger.registry.register_base_model("base", fingerprint="f" * 64)
        ledger.registry.create_adapter("line", base_model="base")
        clock.advance(36_000)
        version = shown.publish("line", blob(), epoch=epoch)
        shown.plan_round("line", plan={}, start_number=0, epoch=epoch)
        for key in ("1" * 64, "2" * 64):
            task = NewTask(key=key, kind="evaluate", adapter="line", round=1, identity=key,
                           start_digest=version.digest, config_digest="c" * 64, rank=1)  # fmt: skip
            shown.put_task(task, epoch=epoch)
        shown.close_task("2" * 64, state="done", epoch=epoch)
        moved = shown.move_round("line", 1, state="abandoned", expect="planned", epoch=epoch)
        told = [version.created_at, moved.closed_at, shown.rounds("line")[0].closed_at]
        told += [task.created_at for task in shown.tasks("line") if task.state == "open"]
        told += [shown.registry.version("line@0").created_at]
        plain = [task.created_at for task in ledger.tasks("line")]
        plain += [task.created_at for task in shown.tasks("line") if task.state == "done"]
    assert [date.timestamp() for date in told] == [pytest.approx(clock(), abs=1e-3)] * 5
    assert all(date.timestamp() < clock() - 35_000 for date in plain)
