"""Many writers at once: nobody is turned away, and no number is given twice or left out."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from polyrank.store import Conflict, open_ledger
from store_blobs import adapter_blob
from store_worlds import NAME, begin

TESTS = Path(__file__).parent.parent
COUNT = 12


def start(url: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, TESTS / "store" / "writer_script.py", url, name, str(COUNT)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.processes
def test_two_processes_open_a_new_database_at_once_and_write_from_two_threads_each(tmp_path):
    url = f"sqlite:///{tmp_path}/registry.db"
    writers = [start(url, name) for name in ("a", "b")]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate(timeout=120)[0] for writer in writers] == ["done\n", "done\n"]
    with open_ledger(url) as ledger:
        registry = ledger.registry
        events = registry.events(limit=1000)
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert len(events) == 1 + 4 * (1 + 2 * COUNT)
        for name in ("a/0", "a/1", "b/0", "b/1"):
            numbers = [version.number for version in registry.versions(name).items]
            assert numbers == list(range(COUNT))[::-1]
            assert [c.previous for c in registry.alias_history(name, "stable")] == [
                None,
                *range(COUNT - 1),
            ]


@pytest.mark.parametrize("backend", ["memory", "sqlite", "postgresql"])
def test_threads_get_different_numbers_without_gaps(open_local, backend):
    ledger = open_local(backend)
    begin(ledger)
    made, failures = [], []

    def publish(fill: int) -> None:
        try:
            made.extend(
                ledger.registry.publish(NAME, adapter_blob(fill=fill)).number for _ in range(5)
            )
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(fill,)) for fill in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(made) == list(range(1, 21))
    events = ledger.registry.events(limit=1000)
    assert [event.number for event in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize("backend", ["memory", "sqlite", "postgresql"])
def test_of_two_that_expect_the_same_state_one_wins(open_local, backend):
    ledger = open_local(backend)
    begin(ledger)
    for fill in range(4):
        ledger.registry.publish(NAME, adapter_blob(fill=fill))
    outcomes = []
    together = threading.Barrier(4)

    def promote(number: int) -> None:
        together.wait()
        try:
            outcomes.append(ledger.registry.set_alias(NAME, "stable", number, expect=None).number)
        except Conflict:
            outcomes.append(None)

    threads = [threading.Thread(target=promote, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome is not None]
    assert len(outcomes) == 4
    assert len(winners) == 1
    assert ledger.registry.version(f"{NAME}@stable").number == winners[0]


def test_a_watch_sees_what_another_connection_writes(sqlite_url):
    with (
        open_ledger(sqlite_url) as one,
        open_ledger(sqlite_url) as two,
        one.registry.watch(timeout_seconds=20) as watch,
    ):
        timer = threading.Timer(0.3, two.take_epoch, ["other"])
        timer.start()
        assert next(watch).kind == "driver_started"
        timer.join()
