"""Killed at any instant: everything of a commit, or nothing; and it can be done again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from polyrank.store import _blobs, _commit, _rounds, _writes, open_ledger
from polyrank.store._blobs import FolderBlobs
from store_blobs import adapter_blob
from store_worlds import NAME, answer, begin, close_round, open_round

TESTS = Path(__file__).parent.parent
STEPS = 9


def ready(ledger) -> tuple[int, list[str]]:
    epoch = begin(ledger)
    tasks = open_round(ledger, epoch)
    for position, each in enumerate(tasks):
        answer(ledger, epoch, each, 1 + position)
    close_round(ledger, epoch, 1)
    return epoch, [each.key for each in tasks]


def state_of(ledger):
    registry = ledger.registry
    return (
        registry.events(limit=1000),
        registry.versions(NAME).items,
        registry.adapter(NAME).head,
        registry.aliases(NAME),
        ledger.rounds(),
        ledger.tasks(),
        ledger.contributions(NAME),
    )


@pytest.mark.processes
def test_a_commit_killed_at_any_step_is_whole_or_absent(tmp_path):
    (tmp_path / "ready").mkdir()
    with open_ledger(f"sqlite:///{tmp_path}/ready/registry.db") as ledger:
        epoch, keys = ready(ledger)
        before = state_of(ledger)
    done = subprocess.run(
        [sys.executable, TESTS / "store" / "crash_script.py", tmp_path],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert len(done.stdout.splitlines()) == STEPS, done
    for step in range(STEPS):
        with open_ledger(f"sqlite:///{tmp_path}/{step}/registry.db") as ledger:
            last = step == STEPS - 1
            assert (state_of(ledger) == before) == (not last), done.stdout.splitlines()[step]
            made = commit(ledger, epoch, keys)
            assert made.number == 1
            assert [c.counted_in for c in ledger.contributions(NAME)] == [1, 1]
            numbers = [event.number for event in ledger.registry.events(limit=1000)]
            assert numbers == list(range(1, len(before[0]) + 4))
            assert ledger.registry.read(f"{NAME}@stable") == adapter_blob(fill=9)


def commit(ledger, epoch, keys):
    return ledger.commit_round(
        NAME, 1, data=adapter_blob(fill=9), counted=keys, aliases=["stable"], epoch=epoch
    )


class PowerCutError(Exception):
    """Stands for whatever may go wrong at a step."""


FAULTS = {
    "staging": (_blobs.os, "fsync"),
    "placing": (_writes, "add_blob"),
    "counting": (_commit, "count"),
    "aliases": (_commit, "move_alias"),
    "events": (_rounds, "add_event"),
    "reading back": (_commit, "reread"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_commit_that_fails_at_any_step_changes_nothing(open_local, monkeypatch, fault):
    ledger = open_local("sqlite")
    epoch, keys = ready(ledger)
    before = state_of(ledger)

    def fail(*_args, **_kwargs):
        raise PowerCutError(fault)

    with monkeypatch.context() as patched:
        patched.setattr(*FAULTS[fault], fail)
        with pytest.raises(PowerCutError):
            commit(ledger, epoch, keys)
    assert state_of(ledger) == before
    commit(ledger, epoch, keys)


def test_an_update_is_on_the_disk_before_its_row(open_local, monkeypatch):
    """At the instant of the commit, the blob is under its digest and its folder was synced."""
    ledger = open_local("sqlite")
    epoch = begin(ledger)
    (task,) = open_round(ledger, epoch, ["n1"])
    order = []
    stage, sync, insert = FolderBlobs.stage, _blobs._sync_folder, _rounds.add_event
    monkeypatch.setattr(
        FolderBlobs, "stage", lambda *a, **k: (stage(*a, **k), order.append("fsync file"))[0]
    )
    monkeypatch.setattr(_blobs, "_sync_folder", lambda f: (sync(f), order.append("fsync folder")))
    monkeypatch.setattr(
        _rounds, "add_event", lambda *a, **k: (insert(*a, **k), order.append("row"))[0]
    )
    answer(ledger, epoch, task)
    assert order[0] == "fsync file"
    assert order[-2:] == ["fsync folder", "row"]


def test_a_blob_that_nothing_names_is_harmless(open_local, monkeypatch):
    ledger = open_local("sqlite")
    epoch = begin(ledger)
    (task,) = open_round(ledger, epoch, ["n1"])

    def fail(*_args, **_kwargs):
        raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(_rounds, "add_event", fail)
        with pytest.raises(PowerCutError):
            answer(ledger, epoch, task)
    assert ledger.contributions(NAME) == []
    record = answer(ledger, epoch, task)
    assert ledger.read_blob(record.digest) == adapter_blob(fill=1)
