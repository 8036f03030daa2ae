"""Writing down families, summaries of evaluations, and what became of decisions."""

import threading

import pytest
from polyrank.store import Conflict, InvalidValue, NotFound
from sqlalchemy import event
from store_worlds import NAME, answer, open_round, task

SECOND = f"{NAME}/2"


@pytest.fixture
def epoch(ledger, begin_family):
    return begin_family(ledger)


def kinds_since(ledger, number):
    return [each.kind for each in ledger.registry.events(since=number, limit=1000)]


def last_event(ledger):
    return ledger.registry.events(limit=1000)[-1]


def test_a_family_is_made_once_and_remembers_what_is_put(ledger, epoch):
    before = last_event(ledger).number
    first = ledger.registry.family(NAME)
    again = ledger.put_family(NAME, payload={"spec": {"seed": True}}, epoch=epoch)
    assert (again.reviews, again.payload) == (0, {"spec": {"seed": True}})
    assert again.updated_at > first.updated_at
    assert ledger.registry.family(NAME) == again
    assert len(ledger.registry.members(NAME)) == 1
    assert kinds_since(ledger, before) == []
    with pytest.raises(NotFound, match="nobody"):
        ledger.put_family("nobody", payload={}, epoch=epoch)


def test_numbers_that_python_calls_equal_are_told_apart(ledger, epoch):
    for value in (1, True, 1.0, 1):
        ledger.put_family(NAME, payload={"x": value}, epoch=epoch)
        ledger.put_member(NAME, NAME, state="active", payload={"x": value}, epoch=epoch)
        ledger.assign(NAME, {"n": (NAME, {"x": value})}, epoch=epoch)
        registry = ledger.registry
        for found in (
            registry.family(NAME), registry.members(NAME)[0], registry.assignments(NAME)[0],
        ):  # fmt: skip
            assert type(found.payload["x"]) is type(value)


def test_the_beginning_of_a_family_tells_its_story(ledger, epoch):
    assert [each.kind for each in ledger.registry.events(limit=1000)][-2:] == [
        "family_created",
        "member_active",
    ]
    assert last_event(ledger).adapter == last_event(ledger).subject == NAME


def test_a_line_is_in_one_family_at_most(ledger, epoch):
    ledger.create_adapter("other", base_model="base", epoch=epoch)
    ledger.put_family("other", payload={}, epoch=epoch)
    ledger.put_member(NAME, SECOND, state="active", payload={}, epoch=epoch)
    with pytest.raises(Conflict, match=f"adapter {SECOND}"):
        ledger.put_member("other", SECOND, state="active", payload={}, epoch=epoch)
    with pytest.raises(Conflict, match=f"adapter {SECOND}"):
        ledger.put_family(SECOND, payload={}, epoch=epoch)
    with pytest.raises(NotFound, match="family"):
        ledger.registry.family(SECOND)
    with pytest.raises(Conflict, match=f"adapter {NAME}"):
        ledger.put_member("other", NAME, state="archived", payload={}, epoch=epoch)


def test_a_member_is_on_the_base_model_of_its_root(ledger, epoch):
    ledger.register_base_model("elsewhere", fingerprint="e" * 64, epoch=epoch)
    ledger.create_adapter("foreign", base_model="elsewhere", epoch=epoch)
    with pytest.raises(Conflict, match="base model, base, found one on elsewhere"):
        ledger.put_member(NAME, "foreign", state="active", payload={}, epoch=epoch)


def test_a_member_tells_of_changes_of_its_state_alone(ledger, epoch):
    before = last_event(ledger).number
    for state, age in (("active", 0), ("active", 1), ("archived", 1), ("active", 2)):
        made = ledger.put_member(NAME, SECOND, state=state, payload={"age": age}, epoch=epoch)
        assert (made.adapter, made.state, made.payload) == (SECOND, state, {"age": age})
    assert kinds_since(ledger, before) == ["member_active", "member_archived", "member_active"]
    assert last_event(ledger).payload == {"family": NAME}
    with pytest.raises(InvalidValue, match="member state"):
        ledger.put_member(NAME, SECOND, state="asleep", payload={}, epoch=epoch)
    with pytest.raises(NotFound, match="nobody"):
        ledger.put_member(NAME, "nobody", state="active", payload={}, epoch=epoch)


def test_nodes_move_and_those_that_are_not_named_stay(ledger, epoch):
    ledger.put_member(NAME, SECOND, state="active", payload={}, epoch=epoch)
    ledger.assign(NAME, {"n1": (NAME, {"a": 1}), "n2": (NAME, {})}, epoch=epoch)
    assert last_event(ledger).payload == {"moved": {NAME: 2}}
    ledger.assign(NAME, {"n1": (SECOND, {}), "n3": (NAME, {})}, epoch=epoch)
    assert last_event(ledger).payload == {"moved": {NAME: 1, SECOND: 1}}
    assert last_event(ledger).kind == "nodes_assigned"
    before = last_event(ledger).number
    ledger.assign(NAME, {"n2": (NAME, {"b": 2})}, epoch=epoch)
    ledger.assign(NAME, {}, epoch=epoch)
    assert kinds_since(ledger, before) == []
    assert [(a.identity, a.adapter, a.payload) for a in ledger.registry.assignments(NAME)] == [
        ("n1", SECOND, {}),
        ("n2", NAME, {"b": 2}),
        ("n3", NAME, {}),
    ]


def test_a_node_that_was_away_may_be_assigned_to_an_archived_member(ledger, epoch):
    ledger.put_member(NAME, SECOND, state="active", payload={}, epoch=epoch)
    ledger.assign(NAME, {"n1": (SECOND, {})}, epoch=epoch)
    ledger.put_member(NAME, SECOND, state="archived", payload={}, epoch=epoch)
    assert ledger.registry.assignments(NAME)[0].adapter == SECOND


def test_an_assignment_that_cannot_be_kept_leaves_all_as_it_was(ledger, epoch):
    ledger.assign(NAME, {"n1": (NAME, {"a": 1})}, epoch=epoch)
    before = ledger.registry.assignments(NAME), last_event(ledger)
    wrong = {
        "a line that is no member": ("n2", SECOND, {}, NotFound, f"member '{SECOND}'"),
        "a watch of more than 4 KB": (
            "n2",
            NAME,
            {"x": "é" * 2044 + "x"},
            InvalidValue,
            "4097 bytes",
        ),
        "no JSON": ("n2", NAME, {"x": float("nan")}, InvalidValue, "assignment of n2"),
        "no identity": ("", NAME, {}, InvalidValue, "identity"),
    }
    for problem, (identity, name, payload, error, said) in wrong.items():
        placed = {"n1": (NAME, {"a": 2}), identity: (name, payload)}
        with pytest.raises(error, match=said):
            ledger.assign(NAME, placed, epoch=epoch)
        assert (ledger.registry.assignments(NAME), last_event(ledger)) == before, problem
    ledger.assign(NAME, {"n2": (NAME, {"x": "é" * 2044})}, epoch=epoch)


def test_a_summary_comes_with_an_evaluation_that_is_done_and_with_no_other(ledger, epoch):
    done = ledger.put_task(task(1, "n1", kind="evaluate"), epoch=epoch)
    (train,) = open_round(ledger, epoch, ["n1"])
    describe = ledger.put_task(task(0, "n1", kind="describe", name=""), epoch=epoch)
    wrong = ((done, "rejected"), (done, "expired"), (train, "done"), (describe, "done"))
    for each, state in wrong:
        with pytest.raises(InvalidValue, match="summary"):
            ledger.close_task(each.key, state=state, summary={"n": 1}, epoch=epoch)
        assert ledger.registry.summaries(NAME) == []
    assert len(ledger.tasks(state="open")) == 3
    with pytest.raises(InvalidValue, match="summary"):
        ledger.close_task(done.key, state="done", summary={"n": float("inf")}, epoch=epoch)
    ledger.close_task(done.key, state="done", summary={"n": 1}, epoch=epoch)
    ledger.close_task(done.key, state="done", summary={"n": 2}, epoch=epoch)
    assert [each.payload for each in ledger.registry.summaries(NAME)] == [{"n": 1}]


def test_summaries_of_updates_and_of_evaluations_stand_side_by_side(ledger, epoch):
    (train,) = open_round(ledger, epoch, ["n1"])
    answer(ledger, epoch, train, summary={"n": 1})
    lost = ledger.put_task(task(1, "n2", kind="evaluate"), epoch=epoch)
    ledger.close_task(lost.key, state="expired", epoch=epoch)
    ledger.close_task(lost.key, state="done", summary={"n": 9}, epoch=epoch)
    asked = ledger.put_task(task(1, "n1", kind="evaluate"), epoch=epoch)
    ledger.close_task(asked.key, state="done", summary={"n": 2}, epoch=epoch)
    assert [(each.task_key, each.payload) for each in ledger.registry.summaries(NAME)] == [
        (asked.key, {"n": 2}),
        (train.key, {"n": 1}),
    ]


def test_summaries_are_found_by_their_tasks_in_the_order_asked_for(ledger, epoch):
    keys = []
    for number in range(3):
        asked = ledger.put_task(task(1, f"n{number}", kind="probe"), epoch=epoch)
        ledger.close_task(asked.key, state="done", summary={"n": number}, epoch=epoch)
        keys.append(asked.key)
    silent = ledger.put_task(task(1, "n9", kind="evaluate"), epoch=epoch)
    ledger.close_task(silent.key, state="done", epoch=epoch)
    wanted = [keys[2], silent.key, *(f"none/{n}" for n in range(2500)), keys[0], keys[2]]
    assert list(ledger.summaries_of(wanted).items()) == [(keys[2], {"n": 2}), (keys[0], {"n": 0})]
    assert ledger.summaries_of([]) == {}


# Where a decision stands, and what the driver may say next; "undo asked": by an operator.
MOVES = {
    "recorded": {"proposed", "approved"},
    "proposed": {"approved", "vetoed"},
    "approved": {"carried_out", "failed"},
    "vetoed": set(),
    "carried_out": {"undone"},
    "failed": set(),
    "undone": set(),
    "undo asked": {"undone", "carried_out"},
}
PATHS = {
    "vetoed": ("proposed", "vetoed"),
    "carried_out": ("approved", "carried_out"),
    "failed": ("approved", "failed"),
    "undone": ("approved", "carried_out", "undone"),
    "undo asked": ("approved", "carried_out", "undo asked"),
}


def decided(ledger, epoch, standing):
    number = ledger.record_decision("merge", adapter=NAME, reason="", epoch=epoch).number
    for state in PATHS.get(standing, () if standing == "recorded" else (standing,)):
        if state == "undo asked":
            ledger.registry.settle(number, state="undone", reason="worse", actor="ann")
        else:
            ledger.settle(number, state=state, epoch=epoch)
    return number


def test_the_driver_makes_the_moves_of_the_table_and_no_other(ledger, epoch):
    states = {"proposed", "approved", "vetoed", "carried_out", "failed", "undone"}
    for standing, allowed in MOVES.items():
        number = decided(ledger, epoch, standing)
        before = ledger.registry.decision_log(number)
        for state in states - allowed:
            with pytest.raises(Conflict, match=f"decision {number}"):
                ledger.settle(number, state=state, epoch=epoch)
        assert ledger.registry.decision_log(number) == before, standing
        for state in allowed:
            number = decided(ledger, epoch, standing)
            before = ledger.registry.decision_log(number)
            step = ledger.settle(number, state=state, reason="why", epoch=epoch)
            assert (step.state, step.reason, step.actor) == (state, "why", "")
            assert ledger.registry.decision_log(number) == [*before, step]
            assert last_event(ledger).kind == f"decision_{state}"
    with pytest.raises(InvalidValue, match="state"):
        ledger.settle(1, state="recorded", epoch=epoch)
    with pytest.raises(NotFound, match="decision '999'"):
        ledger.settle(999, state="approved", epoch=epoch)


def test_an_undoing_of_the_drivers_has_no_actor(ledger, epoch):
    number = decided(ledger, epoch, "carried_out")
    with pytest.raises(InvalidValue, match="actor"):
        ledger.settle(number, state="undone", actor="ann", epoch=epoch)
    assert ledger.settle(number, state="undone", epoch=epoch).actor == ""


def test_an_undoing_that_failed_may_be_asked_for_again(ledger, epoch):
    number = decided(ledger, epoch, "undo asked")
    ledger.settle(number, state="carried_out", reason="its parent is retired", epoch=epoch)
    ledger.registry.settle(number, state="undone", reason="now it is not", actor="bob")
    ledger.settle(number, state="undone", epoch=epoch)
    assert [(s.state, s.actor) for s in ledger.registry.decision_log(number)][2:] == [
        ("undone", "ann"),
        ("carried_out", ""),
        ("undone", "bob"),
        ("undone", ""),
    ]


def test_what_waits_for_the_driver_is_what_is_approved_or_to_be_undone(ledger, epoch):
    ledger.put_member(NAME, SECOND, state="active", payload={}, epoch=epoch)
    stand = {standing: decided(ledger, epoch, standing) for standing in MOVES}
    other = ledger.record_decision("pin", adapter=SECOND, reason="", epoch=epoch).number
    ledger.settle(other, state="approved", epoch=epoch)
    ledger.create_adapter("elsewhere", base_model="base", epoch=epoch)
    ledger.put_family("elsewhere", payload={}, epoch=epoch)
    for adapter in ("elsewhere", None):
        number = ledger.record_decision("pin", adapter=adapter, reason="", epoch=epoch).number
        ledger.settle(number, state="approved", epoch=epoch)
    found = ledger.open_decisions(NAME)
    assert [(each.number, each.state) for each in found] == [
        (stand["approved"], "approved"),
        (stand["undo asked"], "undone"),
        (other, "approved"),
    ]
    by_number = {each.number: each for each in ledger.registry.decisions(limit=1000)}
    assert found == [by_number[each.number] for each in found]
    with pytest.raises(NotFound, match="family"):
        ledger.open_decisions(SECOND)


def statements(ledger, ask) -> int:
    said = []

    def listen(*_args):
        said.append(_args[2])

    engine = ledger._database._engine
    event.listen(engine, "before_cursor_execute", listen)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    return len(said)


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_listing_decisions_takes_no_query_for_each(ledger, epoch):
    number = ledger.record_evidence("harm", payload={}, epoch=epoch).number
    lists = (ledger.registry.decisions, lambda: ledger.open_decisions(NAME))
    counts = []
    for many in (2, 60):
        for _ in range(many):
            made = ledger.record_decision(
                "merge", adapter=NAME, reason="", evidence=[number], epoch=epoch
            )
            ledger.settle(made.number, state="approved", epoch=epoch)
        counts.append([statements(ledger, ask) for ask in lists])
    assert counts[0] == counts[1]


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_assigning_nodes_takes_no_statement_for_each(ledger, epoch):
    counts = [
        statements(
            ledger,
            lambda many=many: ledger.assign(
                NAME, {f"{many}/{n}": (NAME, {}) for n in range(many)}, epoch=epoch
            ),
        )
        for many in (2, 300)
    ]
    assert counts[0] == counts[1]


def test_of_two_operators_one_settles(ledger, epoch):
    number = decided(ledger, epoch, "proposed")
    together, outcomes = threading.Barrier(4), []

    def say(state):
        together.wait()
        try:
            outcomes.append(ledger.registry.settle(number, state=state, reason="", actor="a").state)
        except Conflict:
            outcomes.append(None)

    threads = [threading.Thread(target=say, args=(state,)) for state in ("approved", "vetoed") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [outcome for outcome in outcomes if outcome]
    assert len(outcomes) == 4
    assert [s.state for s in ledger.registry.decision_log(number)] == ["proposed", winner]
