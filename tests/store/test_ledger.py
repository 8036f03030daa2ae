"""Rounds, tasks, contributions and commits, on every local database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from polyrank.store import Conflict, InvalidBlob, InvalidValue, NotFound, Parent
from store_blobs import adapter_blob
from store_worlds import NAME, answer, begin, close_round, open_round, task, whole_round


@pytest.fixture
def epoch(ledger):
    return begin(ledger)


def test_epochs_rise_and_name_their_owner(ledger):
    assert ledger.epoch() == 0
    assert [ledger.take_epoch(owner) for owner in ("a", "b")] == [1, 2]
    assert ledger.epoch() == 2
    assert [(d.epoch, d.owner) for d in ledger.registry.drivers()] == [(1, "a"), (2, "b")]


def test_a_node_keeps_its_first_sighting_and_tells_of_changes_alone(ledger, epoch):
    first = ledger.put_node("n1", name="a", card={"rank": 4}, address="1", epoch=epoch)
    events = len(ledger.registry.events())
    again = ledger.put_node("n1", name="a", card={"rank": 4}, address="1", epoch=epoch)
    assert len(ledger.registry.events()) == events
    moved = ledger.put_node("n1", name="a", card={"rank": 4}, address="2", epoch=epoch)
    gone = ledger.put_node("n1", name="a", card={}, address=None, status="gone", epoch=epoch)
    assert first.first_seen == again.first_seen == gone.first_seen
    assert again.last_seen > first.last_seen
    assert (moved.address, gone.address, gone.status) == ("2", None, "gone")
    assert [e.kind for e in ledger.registry.events(since=events)] == ["node_changed"] * 2
    with pytest.raises(InvalidValue, match="status"):
        ledger.put_node("n1", name="a", card={}, address=None, status="asleep", epoch=epoch)


def test_rounds_count_from_one_and_one_is_unfinished_at_a_time(ledger, epoch):
    first = ledger.plan_round(NAME, plan={"nodes": ["n1"]}, start_number=0, epoch=epoch)
    assert (first.number, first.state, first.plan) == (1, "planned", {"nodes": ["n1"]})
    with pytest.raises(Conflict, match="planned"):
        ledger.plan_round(NAME, plan={}, start_number=0, epoch=epoch)
    ledger.move_round(NAME, 1, state="abandoned", expect="planned", reason="why", epoch=epoch)
    assert ledger.plan_round(NAME, plan={}, start_number=0, epoch=epoch).number == 2
    assert ledger.last_round(NAME) == ledger.rounds(NAME, state="planned")[0]
    assert ledger.rounds(NAME)[0].reason == "why"
    ledger.move_round(NAME, 2, state="abandoned", expect="planned", epoch=epoch)
    with pytest.raises(NotFound, match=f"{NAME}@7"):
        ledger.plan_round(NAME, plan={}, start_number=7, epoch=epoch)
    ledger.registry.retire(f"{NAME}@0")
    with pytest.raises(Conflict, match="a retired one"):
        ledger.plan_round(NAME, plan={}, start_number=0, epoch=epoch)


def test_a_round_moves_only_forward_and_only_from_where_it_is(ledger, epoch):
    ledger.plan_round(NAME, plan={}, start_number=0, epoch=epoch)
    until = datetime.now(UTC) + timedelta(minutes=5)
    opened = ledger.move_round(
        NAME, 1, state="open", expect="planned", deadline_at=until, epoch=epoch
    )
    assert (opened.deadline_at, opened.closed_at) == (until, None)
    with pytest.raises(Conflict, match="state planned, found state open"):
        ledger.move_round(NAME, 1, state="open", expect="planned", epoch=epoch)
    for state, expect in [("planned", "open"), ("committed", "open"), ("open", "committed")]:
        with pytest.raises(InvalidValue, match="state"):
            ledger.move_round(NAME, 1, state=state, expect=expect, epoch=epoch)
    naive = datetime(2026, 1, 1)
    with pytest.raises(InvalidValue, match="time zone"):
        ledger.move_round(
            NAME, 1, state="aggregating", expect="open", deadline_at=naive, epoch=epoch
        )
    close_round(ledger, epoch, 1)
    assert ledger.rounds(NAME)[0].deadline_at == until
    done = ledger.move_round(NAME, 1, state="abandoned", expect="aggregating", epoch=epoch)
    assert done.closed_at is not None
    with pytest.raises(NotFound, match="round 9"):
        ledger.move_round(NAME, 9, state="open", expect="planned", epoch=epoch)


def test_a_task_is_written_once(ledger, epoch):
    ledger.plan_round(NAME, plan={}, start_number=0, epoch=epoch)
    first = ledger.put_task(task(1, "n1"), epoch=epoch)
    assert ledger.put_task(task(1, "n1"), epoch=epoch) == first
    assert first.state == "open"
    with pytest.raises(Conflict, match="another one under this key"):
        ledger.put_task(replace(task(1, "n1"), rank=3), epoch=epoch)
    assert len(ledger.tasks(NAME)) == 1


def test_a_train_task_needs_its_round_open(ledger, epoch):
    with pytest.raises(NotFound, match="round 1"):
        ledger.put_task(task(1, "n1"), epoch=epoch)
    open_round(ledger, epoch)
    close_round(ledger, epoch, 1)
    with pytest.raises(Conflict, match="aggregating"):
        ledger.put_task(task(1, "n3"), epoch=epoch)
    with pytest.raises(NotFound, match="nobody"):
        ledger.put_task(replace(task(1, "n3"), adapter="nobody"), epoch=epoch)
    with pytest.raises(InvalidValue, match="adapter"):
        ledger.put_task(replace(task(1, "n3"), adapter=""), epoch=epoch)
    with pytest.raises(InvalidValue, match="task kind"):
        ledger.put_task(replace(task(1, "n3"), kind="sleep"), epoch=epoch)


def test_an_evaluate_task_is_closed_without_a_contribution(ledger, epoch):
    made = ledger.put_task(task(0, "n1", kind="evaluate"), epoch=epoch)
    with pytest.raises(InvalidValue, match="close_task"):
        ledger.reject(made.key, reason="x", epoch=epoch)
    with pytest.raises(InvalidValue, match="close_task"):
        ledger.accept(made.key, data=adapter_blob(), num_examples=1, epoch=epoch)
    assert ledger.close_task(made.key, state="rejected", reason="NaN", epoch=epoch).state == (
        "rejected"
    )
    assert ledger.close_task(made.key, state="done", epoch=epoch).state == "rejected"
    assert ledger.tasks(NAME, state="open") == []
    event = ledger.registry.events()[-1]
    assert (event.kind, event.payload["reason"]) == ("task_rejected", "NaN")
    with pytest.raises(InvalidValue, match="put_task alone"):
        ledger.close_task(made.key, state="open", epoch=epoch)


def test_accepting_again_returns_the_first_whatever_comes(ledger, epoch):
    (each,) = open_round(ledger, epoch, ["n1"])
    first = answer(ledger, epoch, each, 1, metrics={"loss": 0.5}, summary={"n": 1})
    assert (first.rank, first.num_examples, first.start_number) == (2, 11, 0)
    events = len(ledger.registry.events())
    assert answer(ledger, epoch, each, 1, metrics={"loss": 0.5}, summary={"n": 1}) == first
    assert answer(ledger, epoch, each, 2) == first
    assert ledger.reject(each.key, reason="late", epoch=epoch) == first
    assert len(ledger.registry.events()) == events
    assert ledger.read_blob(first.digest) == adapter_blob(fill=1)
    assert len(ledger.contributions(NAME)) == len(ledger.registry.summaries(NAME)) == 1


def test_a_rejection_is_final_and_keeps_no_bytes(ledger, epoch):
    (each,) = open_round(ledger, epoch, ["n1"])
    first = ledger.reject(each.key, reason="NaN in fc", epoch=epoch)
    assert (first.status, first.reason, first.digest, first.size_bytes) == (
        "rejected",
        "NaN in fc",
        "",
        0,
    )
    assert answer(ledger, epoch, each) == first
    assert ledger.tasks(NAME, state="rejected")[0].key == each.key


def test_bytes_that_are_no_adapter_become_no_contribution(ledger, epoch):
    (each,) = open_round(ledger, epoch, ["n1"])
    with pytest.raises(InvalidBlob):
        ledger.accept(each.key, data=b"\x80\x04junk", num_examples=1, epoch=epoch)
    with pytest.raises(InvalidValue, match="num_examples"):
        ledger.accept(each.key, data=adapter_blob(), num_examples=-1, epoch=epoch)
    with pytest.raises(NotFound, match="task 'x'"):
        ledger.accept("x", data=adapter_blob(), num_examples=1, epoch=epoch)
    assert ledger.contributions(NAME) == []
    assert ledger.tasks(NAME, state="open")[0].key == each.key


def test_contributions_come_in_the_order_of_identity(ledger, epoch):
    tasks = open_round(ledger, epoch, ["n2", "n10", "n1"])
    for each in tasks[:2]:
        answer(ledger, epoch, each)
    ledger.reject(tasks[2].key, reason="bad", epoch=epoch)
    assert [c.identity for c in ledger.contributions(NAME)] == ["n1", "n10", "n2"]
    accepted = ledger.contributions(NAME, round=1, status="accepted", counted=False)
    assert [c.identity for c in accepted] == ["n10", "n2"]
    assert ledger.contributions(NAME, counted=True) == []


def test_a_commit_makes_the_version_and_counts(ledger, epoch):
    tasks = open_round(ledger, epoch)
    for each in tasks:
        answer(ledger, epoch, each)
    close_round(ledger, epoch, 1)
    made = ledger.commit_round(
        NAME,
        1,
        data=adapter_blob(fill=9),
        counted=[tasks[0].key],
        metrics={"loss": 0.5},
        aliases=["stable", "candidate"],
        epoch=epoch,
    )
    assert (made.number, made.parents) == (1, (Parent(adapter=NAME, number=0, role="start"),))
    assert [c.counted_in for c in ledger.contributions(NAME)] == [1, None]
    assert ledger.registry.version(f"{NAME}@stable") == made
    assert ledger.registry.alias_history(NAME, "candidate")[0].reason == "round 1"
    committed = ledger.rounds(NAME)[0]
    assert (committed.state, committed.version) == ("committed", 1)
    assert committed.closed_at is not None
    assert ledger.registry.adapter(NAME).head == 1


def test_a_late_update_is_counted_by_a_later_round_once(ledger, epoch):
    tasks = open_round(ledger, epoch, ["n1", "slow"])
    answer(ledger, epoch, tasks[0])
    ledger.close_task(tasks[1].key, state="expired", epoch=epoch)
    close_round(ledger, epoch, 1)
    ledger.commit_round(NAME, 1, data=adapter_blob(), counted=[tasks[0].key], epoch=epoch)
    late = answer(ledger, epoch, tasks[1], 5)
    assert (late.round, late.start_number, late.counted_in) == (1, 0, None)
    assert ledger.tasks(NAME, round=1)[1].state == "done"
    (again,) = open_round(ledger, epoch, ["n1"])
    answer(ledger, epoch, again)
    close_round(ledger, epoch, 2)
    keys = [again.key, tasks[1].key]
    made = ledger.commit_round(NAME, 2, data=adapter_blob(fill=2), counted=keys, epoch=epoch)
    assert {c.task_key: c.counted_in for c in ledger.contributions(NAME)} == {
        tasks[0].key: 1,
        tasks[1].key: made.number,
        again.key: made.number,
    }


@pytest.mark.parametrize("bad", ["counted before", "rejected", "unknown", "of another adapter"])
def test_a_commit_that_cannot_count_everything_changes_nothing(ledger, epoch, bad):
    whole_round(ledger, epoch, 1)
    begin_keys = {"counted before": f"{NAME}/train/1/n1", "unknown": "nonsense"}
    tasks = open_round(ledger, epoch)
    answer(ledger, epoch, tasks[0])
    ledger.reject(tasks[1].key, reason="bad", epoch=epoch)
    close_round(ledger, epoch, 2)
    ledger.create_adapter("other", base_model="base", epoch=epoch)
    ledger.publish("other", adapter_blob(), epoch=epoch)
    (foreign,) = open_round(ledger, epoch, ["n1"], name="other")
    answer(ledger, epoch, foreign)
    key = {**begin_keys, "rejected": tasks[1].key, "of another adapter": foreign.key}[bad]
    before = state_of(ledger)
    with pytest.raises(Conflict, match="that no version has counted"):
        ledger.commit_round(
            NAME,
            2,
            data=adapter_blob(fill=50),
            counted=[tasks[0].key, key],
            aliases=["stable"],
            epoch=epoch,
        )
    assert state_of(ledger) == before


def state_of(ledger):
    registry = ledger.registry
    return (
        registry.events(limit=1000),
        registry.search().items,
        registry.adapters(),
        registry.aliases(NAME),
        ledger.rounds(),
        ledger.tasks(),
        ledger.contributions(NAME),
    )


def test_a_commit_repeated_returns_its_version_and_another_is_refused(ledger, epoch):
    made = whole_round(ledger, epoch, 1)
    keys = [c.task_key for c in ledger.contributions(NAME)]
    before = state_of(ledger)
    data = adapter_blob(fill=101)
    again = ledger.commit_round(NAME, 1, data=data, counted=keys[::-1], epoch=epoch)
    assert again == made
    for other in ({"data": data, "counted": keys[:1]}, {"data": adapter_blob(), "counted": keys}):
        with pytest.raises(Conflict, match="differently"):
            ledger.commit_round(NAME, 1, **other, epoch=epoch)
    assert state_of(ledger) == before


def test_only_an_aggregating_round_is_committed(ledger, epoch):
    tasks = open_round(ledger, epoch)
    answer(ledger, epoch, tasks[0])
    with pytest.raises(Conflict, match="state aggregating, found state open"):
        ledger.commit_round(NAME, 1, data=adapter_blob(), counted=[tasks[0].key], epoch=epoch)
    close_round(ledger, epoch, 1)
    with pytest.raises(InvalidValue, match="twice"):
        ledger.commit_round(NAME, 1, data=adapter_blob(), counted=[tasks[0].key] * 2, epoch=epoch)


def test_the_driver_sets_an_alias_as_an_operator_does(ledger, epoch):
    whole_round(ledger, epoch, 1)
    made = ledger.set_alias(NAME, "pin-7", 1, reason="decision 7", epoch=epoch)
    assert ledger.registry.aliases(NAME) == [made]
    assert ledger.set_alias(NAME, "pin-7", 1, epoch=epoch) == made
    with pytest.raises(NotFound):
        ledger.set_alias(NAME, "pin-7", 9, epoch=epoch)


def test_a_repeated_evaluation_adds_nothing(ledger, epoch):
    first = ledger.record_metrics(NAME, {"accuracy": 0.8}, identity="n1", epoch=epoch)
    again = ledger.record_metrics(NAME, {"accuracy": 0.9, "loss": 0.1}, identity="n1", epoch=epoch)
    assert first[0] in again
    assert [(m.name, m.value) for m in ledger.registry.metrics(NAME)] == [
        ("accuracy", 0.8),
        ("loss", 0.1),
    ]


def test_pruning_keeps_the_latest_rounds_the_versions_and_the_records(ledger, epoch):
    for fill in (1, 3, 5):
        whole_round(ledger, epoch, fill)
    (waiting,) = open_round(ledger, epoch, ["n1"])
    answer(ledger, epoch, waiting, 30)
    before = ledger.contributions(NAME)
    assert ledger.prune_contributions(NAME, keep_rounds=2, epoch=epoch) == 2
    assert ledger.prune_contributions(NAME, keep_rounds=2, epoch=epoch) == 0
    assert ledger.contributions(NAME) == before
    kept = {c.digest for c in before if c.round != 1}
    for record in before:
        if record.digest in kept:
            ledger.read_blob(record.digest)
        else:
            with pytest.raises(NotFound, match="blob"):
                ledger.read_blob(record.digest)
    for number in range(4):
        ledger.registry.read(f"{NAME}@{number}")


def test_pruning_spares_bytes_that_others_use(ledger, epoch):
    tasks = open_round(ledger, epoch, ["n1", "n2", "n3"])
    answer(ledger, epoch, tasks[0], 1)
    shared = answer(ledger, epoch, tasks[1], 2)
    answer(ledger, epoch, tasks[2], 2)
    close_round(ledger, epoch, 1)
    keys = [tasks[0].key, tasks[1].key]
    ledger.commit_round(NAME, 1, data=adapter_blob(fill=1), counted=keys, epoch=epoch)
    assert ledger.prune_contributions(NAME, keep_rounds=0, epoch=epoch) == 2
    assert ledger.registry.read(f"{NAME}@1") == adapter_blob(fill=1)
    assert ledger.read_blob(shared.digest) == adapter_blob(fill=2)


def test_bytes_pruned_can_come_back(ledger, epoch):
    whole_round(ledger, epoch, 1)
    ledger.prune_contributions(NAME, keep_rounds=0, epoch=epoch)
    made = ledger.registry.publish(NAME, adapter_blob(fill=1))
    assert ledger.registry.read(made.ref) == adapter_blob(fill=1)
    with ledger.open_blob(made.digest) as stream:
        assert stream.read() == adapter_blob(fill=1)
