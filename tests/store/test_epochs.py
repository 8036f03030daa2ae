"""A driver that is no longer in charge can change nothing."""

import inspect

import pytest
from polyrank.store import Ledger, NewDecision, StaleEpoch
from store_blobs import adapter_blob
from store_worlds import NAME, answer, begin, close_round, open_round, task

WRITES = {
    "register_base_model": lambda ledger, e: ledger.register_base_model(
        "m", fingerprint="f", epoch=e
    ),
    "create_adapter": lambda ledger, e: ledger.create_adapter("x", base_model="base", epoch=e),
    "publish": lambda ledger, e: ledger.publish(NAME, adapter_blob(), aliases=["a"], epoch=e),
    "set_alias": lambda ledger, e: ledger.set_alias(NAME, "stable", 0, epoch=e),
    "roll_back": lambda ledger, e: ledger.roll_back("b", "kept", 0, epoch=e),
    "record_evidence": lambda ledger, e: ledger.record_evidence("harm", payload={}, epoch=e),
    "record_decision": lambda ledger, e: ledger.record_decision("keep", reason="", epoch=e),
    "record_event": lambda ledger, e: ledger.record_event("anything", epoch=e),
    "record_metrics": lambda ledger, e: ledger.record_metrics(NAME, {"loss": 1.0}, epoch=e),
    "put_node": lambda ledger, e: ledger.put_node("n", name="n", card={}, address=None, epoch=e),
    "plan_round": lambda ledger, e: ledger.plan_round("b", plan={}, start_number=0, epoch=e),
    "move_round": lambda ledger, e: ledger.move_round(
        NAME, 1, state="abandoned", expect="aggregating", epoch=e
    ),
    "put_task": lambda ledger, e: ledger.put_task(task(0, "n", kind="evaluate"), epoch=e),
    "close_task": lambda ledger, e: ledger.close_task(key("n2"), state="expired", epoch=e),
    "accept": lambda ledger, e: ledger.accept(
        key("n2"), data=adapter_blob(), num_examples=1, summary={"n": 1}, epoch=e
    ),
    "reject": lambda ledger, e: ledger.reject(key("n2"), reason="bad", epoch=e),
    "commit_round": lambda ledger, e: ledger.commit_round(
        NAME, 1, data=adapter_blob(fill=3), counted=[key("n1")], aliases=["stable"], epoch=e
    ),
    "put_family": lambda ledger, e: ledger.put_family("b", payload={}, epoch=e),
    "put_member": lambda ledger, e: ledger.put_member(
        NAME, "c", state="active", payload={}, epoch=e
    ),
    "assign": lambda ledger, e: ledger.assign(NAME, {"n1": (NAME, {})}, epoch=e),
    "record_review": lambda ledger, e: ledger.record_review(
        NAME,
        number=1,
        evidence={"x": 1},
        subject="",
        decisions=[NewDecision(kind="keep", reason="", state="proposed")],
        payload={},
        members={"c": ("archived", {})},
        assignments={"n1": (NAME, {})},
        epoch=e,
    ),
    "settle": lambda ledger, e: ledger.settle(1, state="approved", epoch=e),
    "prune_contributions": lambda ledger, e: ledger.prune_contributions(
        "b", keep_rounds=0, epoch=e
    ),
    "prune_summaries": lambda ledger, e: ledger.prune_summaries(
        NAME, kind="probe", before_round=1, epoch=e
    ),
    "leave_out": lambda ledger, e: ledger.leave_out(NAME, [key("n1")], reason="gone", epoch=e),
    "retire": lambda ledger, e: ledger.retire("b@0", epoch=e),
    "prune": lambda ledger, e: ledger.prune(["c"], epoch=e),
}


def key(identity: str) -> str:
    return f"{NAME}/train/1/{identity}"


def prepare(ledger) -> int:
    """A round ready to be committed, one task still open, something to prune, a family."""
    epoch = begin(ledger)
    ledger.create_adapter("b", base_model="base", epoch=epoch)
    ledger.publish("b", adapter_blob(), epoch=epoch)
    (other,) = open_round(ledger, epoch, ["n1"], name="b")
    answer(ledger, epoch, other, 7)
    close_round(ledger, epoch, 1, name="b")
    ledger.commit_round("b", 1, data=adapter_blob(fill=8), counted=[other.key], epoch=epoch)
    for number in (0, 1):
        ledger.set_alias("b", "kept", number, epoch=epoch)
    tasks = open_round(ledger, epoch)
    answer(ledger, epoch, tasks[0])
    close_round(ledger, epoch, 1)
    ledger.create_adapter("c", base_model="base", epoch=epoch)
    ledger.publish("c", adapter_blob(fill=20), epoch=epoch)
    ledger.retire("c@0", epoch=epoch)
    ledger.put_family(NAME, payload={}, epoch=epoch)
    ledger.record_decision("keep", reason="", epoch=epoch)
    asked = ledger.put_task(task(0, "n1", kind="probe"), epoch=epoch)
    ledger.close_task(asked.key, state="done", summary={"n": 1}, epoch=epoch)
    return epoch


def everything(ledger):
    registry = ledger.registry
    return (
        registry.events(limit=1000),
        registry.search().items,
        registry.base_models(),
        registry.adapters(),
        registry.aliases(NAME),
        registry.nodes(),
        registry.evidence(),
        registry.decisions(),
        registry.decision_log(),
        registry.families(),
        registry.members(NAME),
        registry.assignments(NAME),
        registry.metrics(NAME),
        registry.summaries(NAME),
        ledger.rounds(),
        ledger.tasks(),
        ledger.contributions(NAME),
        ledger.contributions("b"),
    )


def test_every_write_of_the_ledger_is_tried_below():
    guarded = {
        name
        for name, method in inspect.getmembers(Ledger, inspect.isfunction)
        if "epoch" in inspect.signature(method).parameters
    }
    assert guarded == set(WRITES)
    reading = {"rounds", "tasks", "contributions", "last_round", "read_blob", "open_blob"}
    reading |= {
        "alias_changes",
        "changes_by",
        "alias_tip",
        "open_decisions",
        "proposals",
        "summaries_of",
    }
    rest = {n for n, _ in inspect.getmembers(Ledger, inspect.isfunction) if not n.startswith("_")}
    assert rest - guarded - reading == {"take_epoch", "epoch", "close"}


@pytest.mark.parametrize("ledger", ["memory", "sqlite"], indirect=True)
def test_a_stale_epoch_changes_nothing_and_the_current_one_does(ledger):
    old = prepare(ledger)
    current = ledger.take_epoch("successor")
    before = everything(ledger)
    for name, write in WRITES.items():
        for epoch in (old, 0, current + 1):  # older, never taken, and of a future long lost
            with pytest.raises(StaleEpoch) as caught:
                write(ledger, epoch)
            assert (caught.value.epoch, caught.value.current) == (epoch, current), name
        assert everything(ledger) == before, name


def test_the_current_epoch_writes(open_local):
    """Else the test above would pass for a ledger that refuses everything."""
    for name, write in WRITES.items():
        ledger = open_local("memory")
        epoch = prepare(ledger)
        before = everything(ledger)
        write(ledger, epoch)
        assert everything(ledger) != before, name


@pytest.mark.parametrize("ledger", ["memory"], indirect=True)
def test_a_stale_driver_gets_no_answer_even_to_what_is_done_already(ledger):
    old = prepare(ledger)
    ledger.take_epoch("successor")
    with pytest.raises(StaleEpoch):
        ledger.accept(key("n1"), data=adapter_blob(fill=1), num_examples=11, epoch=old)
