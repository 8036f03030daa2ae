"""Old summaries are let go: those of a kind, before a round, but for the ones to keep."""

import pytest
from polyrank.store import StaleEpoch, _summaries
from store_worlds import NAME, task


@pytest.fixture
def epoch(ledger, begin_family):
    epoch = begin_family(ledger)
    for number in range(6):
        for kind in ("evaluate", "probe"):
            for identity in ("n1", "n2"):
                made = ledger.put_task(task(number, identity, kind=kind), epoch=epoch)
                ledger.close_task(made.key, state="done", summary={"n": number}, epoch=epoch)
    return epoch


def left(ledger):
    return sorted(s.task_key.removeprefix(f"{NAME}/") for s in ledger.registry.summaries(NAME))


def test_summaries_of_one_kind_and_of_old_rounds_go_and_the_tasks_stay(ledger, epoch):
    before, tasks = left(ledger), ledger.tasks(NAME)
    keep = {f"{NAME}/evaluate/1/n2"}
    given = {"kind": "evaluate", "before_round": 4, "keep": keep, "epoch": epoch}
    assert ledger.prune_summaries(NAME, **given) == 7
    gone = {f"evaluate/{number}/{who}" for number in range(4) for who in ("n1", "n2")}
    assert left(ledger) == [key for key in before if key not in gone - {"evaluate/1/n2"}]
    assert ledger.tasks(NAME) == tasks
    event = ledger.registry.events(limit=1000)[-1]
    assert (event.kind, event.payload) == ("summaries_pruned", {"summaries": 7})
    assert ledger.prune_summaries(NAME, **given) == 0
    assert ledger.registry.events(limit=1000)[-1] == event


def test_a_batch_is_one_transaction_and_an_old_driver_deletes_nothing(ledger, epoch, monkeypatch):
    monkeypatch.setattr(_summaries, "BATCH", 3)
    given = {"kind": "probe", "before_round": 4}
    before = left(ledger)
    newer = ledger.take_epoch("newer")
    with pytest.raises(StaleEpoch):
        ledger.prune_summaries(NAME, **given, epoch=epoch)
    assert left(ledger) == before
    assert ledger.prune_summaries(NAME, **given, epoch=newer) == 8
    told = [e for e in ledger.registry.events(limit=1000) if e.kind == "summaries_pruned"]
    assert [e.payload["summaries"] for e in told] == [3, 3, 2]


def test_the_driver_retires_a_version_as_an_operator_does(ledger, begin_family):
    epoch = begin_family(ledger)
    made = ledger.retire(f"{NAME}@0", reason="old", epoch=epoch)
    assert made.retired
    assert ledger.registry.version(f"{NAME}@0").retired
    with pytest.raises(StaleEpoch):
        ledger.retire(f"{NAME}@0", epoch=epoch - 1)
