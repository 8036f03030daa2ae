"""An operator's word on a decision, on every registry."""

import pytest
from polyrank.store import Choice, Conflict, InvalidValue, NotFound
from store_worlds import NAME

# How the driver and an operator bring a decision to where it stands.
PATHS = {
    "recorded": (),
    "proposed": ("proposed",),
    "approved": ("proposed", "approved"),
    "vetoed": ("proposed", "vetoed"),
    "carried_out": ("approved", "carried_out"),
    "failed": ("approved", "failed"),
    "undone": ("approved", "carried_out", "undone"),
    "undo asked": ("approved", "carried_out", "undo asked"),
}
ALLOWED = {("proposed", "approved"), ("proposed", "vetoed"), ("carried_out", "undone")}


def decided(ledger, epoch, standing: str) -> int:
    """A decision that stands there."""
    number = ledger.record_decision("merge", adapter=NAME, reason="", epoch=epoch).number
    for state in PATHS[standing]:
        if state == "undo asked":
            ledger.registry.settle(number, state="undone", reason="worse", actor="ann")
        else:
            ledger.settle(number, state=state, epoch=epoch)
    return number


@pytest.fixture
def epoch(pair, begin_family):
    return begin_family(pair.ledger)


def test_a_proposal_is_approved_with_name_and_reason(pair, registry, epoch):
    number = decided(pair.ledger, epoch, "proposed")
    assert registry.decisions()[-1].state == "proposed"
    step = registry.settle(number, state="approved", reason="looked at it", actor="ann")
    assert (step.decision, step.state, step.reason, step.actor) == (
        number, "approved", "looked at it", "ann",
    )  # fmt: skip
    assert registry.decision_log(number)[-1] == step
    assert step.sequence == 2
    assert registry.decisions()[-1].state == "approved"


def test_a_word_is_an_event(pair, registry, epoch):
    number = decided(pair.ledger, epoch, "carried_out")
    registry.settle(number, state="undone", reason="worse on n2", actor="ann")
    event = registry.events(limit=1000)[-1]
    assert (event.kind, event.adapter) == ("decision_undone", NAME)
    assert event.payload == {
        "number": number, "kind": "merge", "sequence": 3, "reason": "worse on n2", "actor": "ann",
    }  # fmt: skip


def test_an_operator_makes_three_moves_and_no_other(pair, registry, epoch):
    for standing in PATHS:
        number = decided(pair.ledger, epoch, standing)
        before = registry.decision_log(number)
        for state in ("approved", "vetoed", "undone"):
            if (standing, state) not in ALLOWED:
                with pytest.raises(Conflict, match=f"decision {number}"):
                    registry.settle(number, state=state, reason="", actor="ann")
        assert registry.decision_log(number) == before, standing
    for standing, state in ALLOWED:
        number = decided(pair.ledger, epoch, standing)
        before = registry.decision_log(number)
        step = registry.settle(number, state=state, reason="", actor="ann")
        assert registry.decision_log(number) == [*before, step]


def test_words_that_can_never_be_right_are_refused(pair, registry, epoch):
    number = decided(pair.ledger, epoch, "proposed")
    for state in ("carried_out", "failed", "proposed", "recorded", ""):
        with pytest.raises(InvalidValue, match="state"):
            registry.settle(number, state=state, reason="", actor="ann")
    for actor in ("", "a\nb", "x" * 201):
        with pytest.raises(InvalidValue, match="actor"):
            registry.settle(number, state="approved", reason="", actor=actor)
    with pytest.raises(InvalidValue, match="reason"):
        registry.settle(number, state="approved", reason="\0", actor="ann")
    for unknown in (0, 99):
        with pytest.raises(NotFound, match="decision"):
            registry.settle(unknown, state="approved", reason="", actor="ann")
    assert len(registry.decision_log()) == 1


def test_a_decision_without_steps_is_recorded(pair, registry, epoch):
    made = pair.ledger.record_decision("keep", reason="", epoch=epoch)
    assert made.state == "recorded"
    assert registry.decisions() == [made]


def choice(**values):
    return Choice(
        **{"kind": "archive", "adapter": NAME, "target": NAME, "reason": "Mine."} | values
    )


def test_a_forced_choice_is_approved_at_once_under_a_name_and_waits_for_the_driver(
    pair, registry, epoch
):
    forced = choice(numbers={"gain": 0.5}, nodes=("a" * 64,))
    with pytest.raises(NotFound, match="a" * 64):
        registry.force(forced, actor="ann")
    assert registry.decisions() == []
    pair.ledger.put_node("a" * 64, name="ann", card={}, address=None, epoch=epoch)
    found = registry.force(forced, actor="ann")
    assert (found.kind, found.adapter, found.state) == ("archive", NAME, "approved")
    assert found.evidence == ()
    assert Choice.from_json(found.payload) == forced
    step = registry.decision_log(found.number)[-1]
    assert (step.state, step.actor, step.reason) == ("approved", "ann", "Mine.")
    assert [d.number for d in pair.ledger.open_decisions(NAME)] == [found.number]


def test_a_choice_about_no_member_or_that_does_nothing_cannot_be_forced(pair, registry, epoch):
    with pytest.raises(NotFound):
        registry.force(choice(adapter="nobody"), actor="ann")
    with pytest.raises(InvalidValue):
        registry.force(choice(kind="keep"), actor="ann")
    with pytest.raises(InvalidValue):
        registry.force(choice(), actor="")
    assert registry.decisions() == []
