"""Reading what a federation wrote down."""

import pytest
from polyrank.store import InvalidValue, NotFound, Unsupported
from store_blobs import adapter_blob
from store_worlds import NAME, answer, begin, open_round, task, whole_round


def test_nodes_rounds_tasks_and_contributions_are_readable(pair, registry):
    epoch = begin(pair.ledger)
    ledger = pair.ledger
    node = ledger.put_node(
        "n1", name="clinic", card={"max_rank": 8, "tags": ["a"]}, address="17", epoch=epoch
    )
    tasks = open_round(ledger, epoch)
    good = answer(ledger, epoch, tasks[0], summary={"n": 3, "sum": [1.5]}, metrics={"loss": 0.5})
    bad = ledger.reject(tasks[1].key, reason="signature is wrong", epoch=epoch)
    assert registry.nodes() == [node]
    assert registry.nodes()[0].card == {"max_rank": 8, "tags": ["a"]}
    assert registry.rounds() == registry.rounds(NAME) == ledger.rounds(NAME)
    assert registry.rounds()[0].state == "open"
    assert registry.tasks(NAME) == ledger.tasks(NAME)
    assert [each.state for each in registry.tasks(NAME, round=1)] == ["done", "rejected"]
    assert registry.contributions(NAME) == [good, bad]
    assert registry.contributions(NAME, round=2) == []
    summary = registry.summaries(NAME)[0]
    assert (summary.task_key, summary.payload) == (tasks[0].key, {"n": 3, "sum": [1.5]})
    assert registry.summaries(NAME, round=2) == []
    assert [(d.epoch, d.owner) for d in registry.drivers()] == [(epoch, "test")]


def test_a_committed_round_points_to_its_version_and_back(pair, registry):
    epoch = begin(pair.ledger)
    made = whole_round(pair.ledger, epoch, 1, metrics={"loss": 0.25})
    assert registry.version(NAME) == made
    assert (made.round, made.origin, made.metrics) == (1, "round", {"loss": 0.25})
    assert registry.rounds()[0].version == made.number == 1
    assert {each.counted_in for each in registry.contributions(NAME)} == {1}
    assert [step.version.number for step in registry.lineage(NAME)] == [1, 0]


def test_metrics_name_who_measured(pair, registry):
    epoch = begin(pair.ledger)
    whole_round(pair.ledger, epoch, 1, metrics={"loss": 0.25})
    pair.ledger.record_metrics(f"{NAME}@1", {"accuracy": 0.8}, identity="n1", epoch=epoch)
    pair.ledger.record_metrics(f"{NAME}@1", {"accuracy": 0.9}, epoch=epoch)
    found = registry.metrics(NAME)
    assert [(each.name, each.value, each.identity) for each in found] == [
        ("loss", 0.25, None),
        ("accuracy", 0.8, "n1"),
        ("accuracy", 0.9, None),
    ]
    assert registry.version(NAME).metrics == {"loss": 0.25}


def test_decisions_rest_on_evidence(local, registry):
    numbers = [
        local.record_evidence("harm", adapter="support/en", subject="n1", payload={"z": z}).number
        for z in (2.5, 3.5)
    ]
    made = local.record_decision(
        "keep", adapter="support/en", reason="too few windows", evidence=numbers, payload={"w": 3}
    )
    assert registry.decisions() == [made]
    assert made.evidence == tuple(numbers) == (1, 2)
    assert [each.payload for each in registry.evidence("support/en", since=1)] == [{"z": 3.5}]
    assert registry.decisions("support/en", since=1) == []
    with pytest.raises(NotFound, match="evidence '9'"):
        local.record_decision("keep", reason="", evidence=[9])
    with pytest.raises(InvalidValue, match="decision kind"):
        local.record_decision("Keep it", reason="")
    assert [each.number for each in registry.decisions()] == [1]


def test_evidence_that_json_cannot_carry_is_refused(local):
    for payload in ({"x": float("nan")}, {"x": object()}, {1: 2}, {"x": {"y": b""}}):
        with pytest.raises(InvalidValue, match="evidence payload"):
            local.record_evidence("harm", payload=payload)


def test_unknown_adapters_are_not_found_in_every_list(registry):
    for ask in (registry.rounds, registry.tasks, registry.summaries, registry.decisions):
        with pytest.raises(NotFound):
            ask("nobody")


def test_a_remote_registry_says_that_it_does_not_write(pair, local, registry):
    calls = {
        "publish": lambda: registry.publish("support/en", adapter_blob()),
        "create_adapter": lambda: registry.create_adapter("x", base_model="base"),
        "register_base_model": lambda: registry.register_base_model("x", fingerprint="f"),
        "retire_adapter": lambda: registry.retire_adapter("support/en"),
        "record_evidence": lambda: registry.record_evidence("harm", payload={}),
        "record_decision": lambda: registry.record_decision("keep", reason=""),
    }
    for name, call in calls.items():
        if pair.remote:
            with pytest.raises(Unsupported, match=name):
                call()
        else:
            call()
    assert len(local.versions("support/en").items) == (0 if pair.remote else 1)


def test_a_describe_task_belongs_to_no_adapter(pair, registry):
    epoch = begin(pair.ledger)
    described = task(0, "n1", kind="describe", name="")
    assert pair.ledger.put_task(described, epoch=epoch).adapter == ""
    assert registry.tasks(NAME) == []
    assert len(pair.ledger.tasks()) == 1
