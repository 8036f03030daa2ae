"""Families, members and assignments as every registry tells of them."""

import pytest
from polyrank.store import InvalidValue, NotFound
from store_blobs import adapter_blob
from store_worlds import NAME, task

SECOND = f"{NAME}/2"


@pytest.fixture
def epoch(pair, begin_family):
    return begin_family(pair.ledger)


def test_a_family_begins_with_its_root_alone(pair, registry, epoch):
    found = registry.family(NAME)
    assert (found.root, found.reviews, found.payload) == (NAME, 0, {"spec": {"seed": 7}})
    assert registry.families() == [found]
    (root,) = registry.members(NAME)
    assert (root.adapter, root.family, root.state, root.payload) == (NAME, NAME, "active", {})
    assert registry.assignments(NAME) == []
    assert registry.decision_log() == []


def test_members_and_assignments_are_listed_by_name(pair, registry, epoch):
    ledger = pair.ledger
    ledger.create_adapter(f"{NAME}/10", base_model="base", epoch=epoch)
    member = ledger.put_member(NAME, SECOND, state="active", payload={"age": 0}, epoch=epoch)
    ledger.put_member(NAME, f"{NAME}/10", state="archived", payload={"x": [1.5, None]}, epoch=epoch)
    placed = {"n2": (NAME, {"harm": [True]}), "n10": (SECOND, {}), "n1": (SECOND, {"z": 1.0})}
    ledger.assign(NAME, placed, epoch=epoch)
    found = registry.members(NAME)
    assert [each.adapter for each in found] == [NAME, f"{NAME}/10", SECOND]
    assert found[2] == member
    assert (found[1].state, found[1].payload) == ("archived", {"x": [1.5, None]})
    assert [(a.family, a.identity, a.adapter, a.payload) for a in registry.assignments(NAME)] == [
        (NAME, "n1", SECOND, {"z": 1.0}),
        (NAME, "n10", SECOND, {}),
        (NAME, "n2", NAME, {"harm": [True]}),
    ]
    with pytest.raises(TypeError):
        registry.assignments(NAME)[0].payload["z"] = 2


def test_several_families_are_listed_by_root_and_kept_apart(pair, registry, epoch):
    ledger = pair.ledger
    ledger.create_adapter("a", base_model="base", epoch=epoch)
    ledger.put_family("a", payload={}, epoch=epoch)
    ledger.assign("a", {"n1": ("a", {})}, epoch=epoch)
    ledger.assign(NAME, {"n1": (NAME, {"w": 1})}, epoch=epoch)
    assert [each.root for each in registry.families()] == ["a", NAME]
    assert [each.adapter for each in registry.members("a")] == ["a"]
    assert [each.payload for each in registry.assignments("a")] == [{}]
    assert [each.payload for each in registry.assignments(NAME)] == [{"w": 1}]


def test_a_line_that_is_no_root_has_no_family(pair, registry, epoch):
    pair.ledger.put_member(NAME, SECOND, state="active", payload={}, epoch=epoch)
    for ask in (registry.family, registry.members, registry.assignments):
        with pytest.raises(NotFound, match=f"family '{SECOND}'"):
            ask(SECOND)
        with pytest.raises(NotFound, match="nobody"):
            ask("nobody")
    with pytest.raises(NotFound, match="decision '9'"):
        registry.decision_log(9)


@pytest.mark.parametrize("kind", ["evaluate", "probe"])
def test_the_summary_of_an_evaluation_is_listed_with_those_of_updates(pair, registry, epoch, kind):
    made = pair.ledger.put_task(task(1, "n1", kind=kind), epoch=epoch)
    pair.ledger.close_task(made.key, state="done", summary={"count": 80, "x": [0.5]}, epoch=epoch)
    (found,) = registry.summaries(NAME, round=1)
    assert (found.task_key, found.adapter, found.round, found.identity, found.payload) == (
        made.key, NAME, 1, "n1", {"count": 80, "x": [0.5]},
    )  # fmt: skip
    assert registry.summaries(NAME) == [found]
    assert registry.tasks(NAME)[0].kind == kind
    assert registry.summaries(NAME, round=2) == []


def test_thousands_of_assignments_arrive_whole(pair, registry, epoch):
    placed = {f"n{number:05}": (NAME, {"pad": "x" * 500}) for number in range(2000)}
    pair.ledger.assign(NAME, placed, epoch=epoch)
    found = registry.assignments(NAME)
    assert {each.identity: (each.adapter, each.payload) for each in found} == placed


def test_the_log_is_read_on_from_a_sequence(pair, registry, epoch):
    ledger = pair.ledger
    for _ in range(3):
        number = ledger.record_decision("merge", adapter=NAME, reason="", epoch=epoch).number
        ledger.settle(number, state="approved", epoch=epoch)
        ledger.settle(number, state="failed", reason="gone", epoch=epoch)
    steps = registry.decision_log()
    assert [(step.sequence, step.decision, step.state) for step in steps] == [
        (1, 1, "approved"), (2, 1, "failed"), (3, 2, "approved"),
        (4, 2, "failed"), (5, 3, "approved"), (6, 3, "failed"),
    ]  # fmt: skip
    assert registry.decision_log(since=2, limit=2) == steps[2:4]
    assert registry.decision_log(2) == steps[2:4]
    assert registry.decision_log(2, since=3) == steps[3:4]
    for bad in ({"limit": 0}, {"limit": 1001}, {"since": -1}):
        with pytest.raises(InvalidValue):
            registry.decision_log(**bad)


def test_a_line_with_versions_stays_readable_as_a_member(pair, registry, epoch):
    pair.ledger.publish(SECOND, adapter_blob(fill=3), epoch=epoch)
    pair.ledger.put_member(NAME, SECOND, state="archived", payload={}, epoch=epoch)
    assert registry.version(SECOND).number == 0


def test_aliases_of_a_line_that_was_merged_are_those_of_the_line_that_goes_on(
    pair, registry, epoch
):
    ledger, third = pair.ledger, f"{NAME}/10"
    ledger.create_adapter(third, base_model="base", epoch=epoch)
    for name, aliases in ((NAME, ["stable"]), (SECOND, ["stable", "pin-3"]), (third, ["stable"])):
        ledger.publish(name, adapter_blob(), aliases=aliases, epoch=epoch)
    merged = {"merged_into": f"{NAME}@0"}
    ledger.put_member(NAME, SECOND, state="archived", payload=merged, epoch=epoch)
    (told,) = [e for e in registry.events(limit=1000) if e.kind == "member_archived"]
    assert told.payload == {"family": NAME, **merged}
    newest = ledger.publish(NAME, adapter_blob(fill=1), aliases=["stable"], epoch=epoch)
    assert registry.version(f"{SECOND}@stable").ref == newest.ref, "it goes where the line goes"
    assert registry.read(f"{SECOND}@stable") == adapter_blob(fill=1)
    for own in ("pin-3", "latest", "0"):
        assert registry.version(f"{SECOND}@{own}").ref == f"{SECOND}@0"
    ledger.put_member(
        NAME, third, state="archived", payload={"merged_into": f"{SECOND}@0"}, epoch=epoch
    )
    assert registry.version(f"{third}@stable").ref == newest.ref, "also over two merges"
    ledger.put_member(NAME, SECOND, state="active", payload=merged, epoch=epoch)
    assert registry.version(f"{SECOND}@stable").ref == f"{SECOND}@0", "in service it has its own"
    assert registry.version(f"{third}@stable").ref == f"{SECOND}@0"


def test_a_merge_into_no_version_is_refused(pair, registry, epoch):
    for into, error in ((f"{NAME}@99", NotFound), (NAME, InvalidValue), (7, InvalidValue)):
        with pytest.raises(error):
            pair.ledger.put_member(
                NAME, SECOND, state="archived", payload={"merged_into": into}, epoch=epoch
            )
