"""A review is recorded whole or not at all, and once."""

import pytest
from polyrank.store import Conflict, InvalidValue, NewDecision, NotFound, _families
from polyrank.store import _family_reviews as reviews
from store_worlds import NAME

SECOND, THIRD = f"{NAME}/2", f"{NAME}/3"


@pytest.fixture
def epoch(ledger, begin_family):
    epoch = begin_family(ledger)
    ledger.create_adapter(THIRD, base_model="base", epoch=epoch)
    ledger.put_member(NAME, SECOND, state="active", payload={"age": 3}, epoch=epoch)
    ledger.assign(NAME, {"n1": (NAME, {"w": 0}), "n2": (SECOND, {"w": 0})}, epoch=epoch)
    return epoch


DECISIONS = (
    NewDecision(kind="reroute", adapter=NAME, subject="n1", reason="better", state="approved"),
    NewDecision(
        kind="merge", adapter=SECOND, reason="alike", payload={"d": 0.01}, state="proposed"
    ),
    NewDecision(kind="keep", reason="nothing to do"),
)


def record(ledger, epoch, number=1, **more):
    given = {
        "evidence": {"number": number, "nodes": [{"identity": "n1", "z": 2.5}]},
        "subject": "after round 4",
        "decisions": DECISIONS,
        "payload": {"spec": {"seed": 7}, "heads": {NAME: 4}},
        "members": {SECOND: ("archived", {"age": 4}), THIRD: ("active", {"age": 0})},
        "assignments": {"n1": (THIRD, {"w": 1}), "n3": (NAME, {})},
        **more,
    }
    return ledger.record_review(NAME, number=number, **given, epoch=epoch)


def state_of(ledger):
    registry = ledger.registry
    return (
        registry.events(limit=1000),
        registry.evidence(),
        registry.decisions(),
        registry.decision_log(),
        registry.families(),
        registry.members(NAME),
        registry.assignments(NAME),
    )


def test_a_review_writes_everything_down(ledger, epoch):
    evidence, made = record(ledger, epoch)
    registry = ledger.registry
    assert (evidence.kind, evidence.adapter, evidence.subject) == ("review", NAME, "after round 4")
    assert evidence.payload == {"number": 1, "nodes": [{"identity": "n1", "z": 2.5}]}
    assert registry.evidence() == [evidence]
    assert tuple(registry.decisions()) == made
    assert [(d.kind, d.adapter, d.subject, d.reason, d.payload, d.state) for d in made] == [
        ("reroute", NAME, "n1", "better", {}, "approved"),
        ("merge", SECOND, "", "alike", {"d": 0.01}, "proposed"),
        ("keep", None, "", "nothing to do", {}, "recorded"),
    ]
    assert {decision.evidence for decision in made} == {(evidence.number,)}
    family = registry.family(NAME)
    assert (family.reviews, family.payload) == (1, {"spec": {"seed": 7}, "heads": {NAME: 4}})
    assert {m.adapter: (m.state, m.payload) for m in registry.members(NAME)} == {
        NAME: ("active", {}),
        SECOND: ("archived", {"age": 4}),
        THIRD: ("active", {"age": 0}),
    }
    assert {a.identity: (a.adapter, a.payload) for a in registry.assignments(NAME)} == {
        "n1": (THIRD, {"w": 1}),
        "n2": (SECOND, {"w": 0}),
        "n3": (NAME, {}),
    }
    assert [(s.sequence, s.decision, s.state, s.actor) for s in registry.decision_log()] == [
        (1, 1, "approved", ""),
        (2, 2, "proposed", ""),
    ]


def test_a_review_tells_its_story(ledger, epoch):
    before = ledger.registry.events(limit=1000)[-1].number
    record(ledger, epoch)
    story = ledger.registry.events(since=before, limit=1000)
    assert [each.kind for each in story] == [
        "evidence_recorded",
        "decision_recorded",
        "decision_approved",
        "decision_recorded",
        "decision_proposed",
        "decision_recorded",
        "member_archived",
        "member_active",
        "nodes_assigned",
        "review_recorded",
    ]
    assert (story[-1].adapter, story[-1].payload) == (
        NAME,
        {"number": 1, "evidence": 1, "kinds": ["reroute", "merge", "keep"]},
    )
    assert [each.number for each in story] == list(range(before + 1, before + 11))


def test_a_quiet_review_counts_too(ledger, epoch):
    before = state_of(ledger)
    evidence, made = record(ledger, epoch, decisions=(), members={}, assignments={})
    assert made == ()
    assert ledger.registry.family(NAME).reviews == 1
    assert state_of(ledger)[5:] == before[5:]
    again = record(ledger, epoch, decisions=(), members={}, assignments={})
    assert again == (evidence, ())


def test_a_review_repeated_returns_what_was_recorded_and_changes_nothing(ledger, epoch):
    first = record(ledger, epoch)
    second = record(ledger, epoch, 2)
    successor = ledger.take_epoch("successor")
    before = state_of(ledger)
    assert record(ledger, successor) == first
    assert record(ledger, successor, 2) == second
    assert record(ledger, successor, decisions=(), assignments={}, payload={}) == first
    assert state_of(ledger) == before


def test_a_review_repeated_returns_its_own_decisions_as_they_stand_now(ledger, epoch):
    evidence, made = record(ledger, epoch)
    ledger.settle(made[0].number, state="carried_out", epoch=epoch)
    ledger.record_decision("rollback", reason="", evidence=[evidence.number], epoch=epoch)
    _, again = record(ledger, epoch)
    assert [each.number for each in again] == [each.number for each in made]
    assert [each.state for each in again] == ["carried_out", "proposed", "recorded"]


def test_a_number_that_is_not_the_next_one_changes_nothing(ledger, epoch):
    record(ledger, epoch)
    before = state_of(ledger)
    for number in (1, 3, 99):
        with pytest.raises(Conflict, match="review"):
            record(ledger, epoch, number, evidence={"number": 1.0})
    assert state_of(ledger) == before


def test_evidence_that_python_alone_calls_equal_is_other_evidence(ledger, epoch):
    record(ledger, epoch, evidence={"x": 1})
    with pytest.raises(Conflict, match="the evidence that it was recorded with"):
        record(ledger, epoch, evidence={"x": True})


WRONG = {
    "no number": ({"number": 0}, InvalidValue, "number"),
    "evidence that is no JSON": ({"evidence": {"x": float("nan")}}, InvalidValue, "evidence"),
    "a decision of no kind": (
        {"decisions": [DECISIONS[0], NewDecision(kind="Keep it", reason="")]},
        InvalidValue,
        "decision kind",
    ),
    "a decision that is carried out already": (
        {"decisions": [NewDecision(kind="keep", reason="", state="carried_out")]},
        InvalidValue,
        "state",
    ),
    "a decision about nothing": (
        {"decisions": [NewDecision(kind="keep", reason="", adapter="nobody")]},
        NotFound,
        "nobody",
    ),
    "a member of no state": ({"members": {SECOND: ("asleep", {})}}, InvalidValue, "member state"),
    "a member that does not exist": ({"members": {"nobody": ("active", {})}}, NotFound, "nobody"),
    "a node of a stranger": ({"members": {}}, NotFound, f"member '{THIRD}'"),
    "a watch that is too long": (
        {"assignments": {"n1": (NAME, {"x": "y" * 4096})}},
        InvalidValue,
        "at most 4096",
    ),
    "a payload that is no JSON": ({"payload": {"x": object()}}, InvalidValue, "family payload"),
}


def test_a_review_with_one_thing_wrong_leaves_nothing(ledger, epoch):
    before = state_of(ledger)
    for wrong, (more, error, said) in WRONG.items():
        with pytest.raises(error, match=said):
            record(ledger, epoch, **more)
        assert state_of(ledger) == before, wrong


def test_a_review_of_what_is_no_family_is_not_found(ledger, epoch):
    with pytest.raises(NotFound, match="family"):
        ledger.record_review(
            SECOND, number=1, evidence={}, subject="", decisions=[], payload={}, epoch=epoch
        )


class PowerCutError(Exception):
    """Stands for whatever may go wrong at a step."""


def failing_after(work):
    def fail(*args, **kwargs):
        work(*args, **kwargs)
        raise PowerCutError

    return fail


FAULTS = {
    "evidence": (reviews, "add_evidence"),
    "decisions": (reviews, "add_decision"),
    "members": (reviews, "put_member"),
    "assignments": (reviews, "assign"),
    "after the assignments": (_families, "add_event"),
    "the family": (reviews, "remember"),
    "the last event": (reviews, "add_event"),
    "the answer": (reviews._rows, "evidence"),
}


def test_a_review_that_fails_at_any_step_leaves_nothing_and_no_gap(ledger, epoch, monkeypatch):
    record(ledger, epoch)
    before = state_of(ledger)
    more = {"members": {SECOND: ("active", {}), THIRD: ("archived", {})}}
    for fault, (where, name) in FAULTS.items():
        with monkeypatch.context() as patched:
            patched.setattr(where, name, failing_after(getattr(where, name)))
            with pytest.raises(PowerCutError):
                record(ledger, epoch, 2, **more)
        assert state_of(ledger) == before, fault
    evidence, made = record(ledger, epoch, 2, **more)
    registry = ledger.registry
    assert (evidence.number, [each.number for each in made]) == (2, [4, 5, 6])
    assert [step.sequence for step in registry.decision_log()] == [1, 2, 3, 4]
    numbers = [each.number for each in registry.events(limit=1000)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_proposals_are_those_that_wait_and_those_that_were_vetoed_lately(ledger, epoch):
    def told(rest):
        return [(p.decision.number, p.vetoed) for p in ledger.proposals(NAME, rest=rest)]

    numbers = []
    for number in (1, 2):
        _, made = record(ledger, epoch, number)
        numbers.append(made[1].number)
    first, second = numbers
    assert told(8) == told(0) == [(first, None), (second, None)]
    ledger.registry.settle(first, state="vetoed", reason="no", actor="op")
    assert told(8) == told(1) == [(first, 0), (second, None)]
    assert told(0) == [(second, None)]
    record(ledger, epoch, 3, decisions=())
    record(ledger, epoch, 4, decisions=())
    assert told(8) == told(3) == [(first, 2), (second, None)]
    assert told(2) == [(second, None)]
    ledger.registry.settle(second, state="approved", reason="", actor="op")
    assert told(2) == []
