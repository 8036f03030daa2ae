"""Families of adapters: the daemon's own driver over a real ledger, with toy nodes that drift."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from polyrank.store import Choice, Conflict, Ledger, open_ledger, replays

from .family_world import NAMES, World
from .power_cuts import PowerCut, cut_in_a_merge, cut_the_power_after


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


def test_a_quiet_family_is_reviewed_and_nobody_moves(ledger: Ledger) -> None:
    world = World(ledger)
    world.review(8)
    assert not world.decisions("reroute", "expand_adapter", "merge", "archive")
    assert {world.member(name) for name in NAMES} == {"line"}


def test_a_world_that_was_warmed_up_before_goes_on_as_one_that_never_stopped(
    ledger: Ledger,
) -> None:
    decisions, digests = [], []
    with open_ledger("memory://") as other:
        for world in (World(ledger), World.warmed_up(other)):
            world.split()
            decisions.append([(d.kind, d.reason) for d in world.decisions()])
            digests.append([v.digest for v in world.ledger.registry.versions("line").items])
    assert decisions[0] == decisions[1]
    assert digests[0] == digests[1]


def test_contradicting_labels_get_an_adapter_of_their_own_in_which_they_do_well(
    ledger: Ledger,
) -> None:
    world = World.warmed_up(ledger)
    split = world.split()
    assert world.member("ann") == world.member("bob") == "line/2"
    assert {world.member(name) for name in NAMES[2:]} == {"line"}
    assert "2 nodes of line" in split.reason
    world.review(3)
    evaluated = ledger.registry.metrics("line/2@latest")
    accuracy = [m.value for m in evaluated if m.name == "balanced_accuracy"]
    assert min(accuracy) > 0.7, "what contradicts the others is learnt apart from them"


def test_who_returns_is_moved_back_in_one_review_and_the_empty_adapter_is_archived(
    ledger: Ledger,
) -> None:
    world = World.warmed_up(ledger, refractory=1, provisional_age=50, merge_every=50)
    world.split()
    world.review(4)
    world.flip("ann", "bob", back=True)
    world.review(2)
    assert world.member("ann") == world.member("bob") == "line"
    world.review(3)
    states = {m.adapter: m.state for m in ledger.registry.members("line")}
    assert states == {"line": "active", "line/2": "archived"}


def test_one_identity_alone_gets_no_adapter_however_bad_it_is(ledger: Ledger) -> None:
    world = World.warmed_up(ledger)
    world.flip("ann")
    world.review(3)
    assert not world.decisions("expand_adapter", "merge")
    assert any(world.nodes["ann"].identity in d.payload.get("nodes", ()) for d in world.decisions())


def test_mode_record_writes_decisions_down_and_changes_nothing(ledger: Ledger) -> None:
    world = World(ledger, mode="record")
    decision = world.split()
    world.review(2)
    assert decision.state == "recorded"
    assert {world.member(name) for name in NAMES} == {"line"}
    assert [line.name for line in ledger.registry.adapters()] == ["line"]


def test_mode_propose_waits_for_an_operator_who_approves_or_vetoes(ledger: Ledger) -> None:
    world = World(ledger, mode="propose", veto_rest=2)

    def kept(reason: str) -> bool:
        return any(reason in decision.reason for decision in world.decisions("keep"))

    first = world.split()
    world.review(2)
    assert len(world.decisions("expand_adapter")) == 1, "it is proposed once"
    assert kept(f"but decision {first.number} proposes that already")
    assert world.member("ann") == "line", "nothing happens before somebody approves"
    ledger.registry.settle(first.number, state="vetoed", reason="not now", actor="op")
    world.review(2)
    assert len(world.decisions("expand_adapter")) == 1, "a veto holds for two reviews"
    assert kept("was vetoed 1 review ago (rest 2)")
    world.review()
    second = world.decisions("expand_adapter")[-1]
    ledger.registry.settle(second.number, state="approved", reason="", actor="op")
    world.review()
    assert world.member("ann") == "line/2"
    states = {d.number: d.state for d in world.decisions("expand_adapter")}
    assert states[first.number] == "vetoed"
    assert states[second.number] == "carried_out"


def test_an_expansion_can_be_undone_and_only_once(ledger: Ledger) -> None:
    world = World.warmed_up(ledger)
    split = world.split()
    world.review()
    ledger.registry.settle(split.number, state="undone", reason="a mistake", actor="op")
    world.review()
    assert world.member("ann") == world.member("bob") == "line"
    states = {m.adapter: m.state for m in ledger.registry.members("line")}
    assert states == {"line": "active", "line/2": "archived"}
    with pytest.raises(Conflict):
        ledger.registry.settle(split.number, state="undone", reason="again", actor="op")


def test_a_merge_is_tried_first_then_made_whatever_the_crashes_and_can_be_undone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(ledger, merge_tolerance=40.0, refractory=1)  # so that any trial passes
    world.split()
    cuts = cut_in_a_merge(ledger, monkeypatch)
    before = None
    while not (merges := world.decisions("merge")) or world.open_decisions():
        before = before if merges else ledger.registry.version("line@latest")
        try:
            world.review(0 if merges else 1)
        except PowerCut:
            world.restart()
    assert cuts == [
        ("publish", "line"), ("put_family", "line"), ("put_member", "line active"),
        ("put_member", "line/2 active"), ("assign", "line"), ("put_member", "line/2 archived"),
        ("settle", ""),
    ]  # fmt: skip
    watches = [a.payload for a in ledger.registry.assignments("line")]
    assert all(watch["earlier"] for watch in watches), "what is known of nodes is not lost"
    (_, ended) = ledger.registry.members("line")
    assert set(ended.payload["absorbed"]) == {world.nodes[name].identity for name in ("ann", "bob")}
    assert before is not None
    assert ledger.registry.version(merges[0].payload["target"]).origin == "trial"
    merged = next(v for v in ledger.registry.versions("line").items if v.origin == "merge")
    assert {p.adapter for p in merged.parents} == {"line", "line/2"}
    assert {world.member(name) for name in NAMES} == {"line"}
    assert ledger.registry.version("line/2@stable") == ledger.registry.version("line@stable")
    ledger.registry.settle(merges[0].number, state="undone", reason="", actor="op")
    world.simulation.run(until=lambda: not world.open_decisions())
    assert ledger.registry.version("line/2@stable") == ledger.registry.version("line/2@latest")
    assert world.member("ann") == world.member("bob") == "line/2"
    undone = next(v for v in ledger.registry.versions("line").items if v.origin == "undo")
    parent = undone.parents[0]
    assert undone.digest == ledger.registry.version(f"line@{parent.number}").digest


def test_an_operators_own_choice_is_carried_out_or_fails_with_a_reason(ledger: Ledger) -> None:
    world = World(ledger)
    world.review(2)
    ann = world.nodes["ann"].identity
    bad = Choice(kind="reroute", adapter="line", target="line/9", nodes=(ann,), reason="Mine.")
    good = Choice(
        kind="expand_adapter", adapter="line", target="line@0", nodes=(ann,), reason="Mine."
    )
    late = replace(good, target="line@1")  # whose node has left by then
    numbers = [ledger.registry.force(choice, actor="op").number for choice in (bad, good, late)]
    world.review()
    assert world.member("ann") == "line/2"
    states = {d.number: d.state for d in world.decisions()}
    assert [states[number] for number in numbers] == ["failed", "carried_out", "failed"]
    lines = {line.name for line in ledger.registry.adapters()} - {"line/trials"}
    assert lines == {"line", "line/2"}, "what fails leaves no empty line behind"
    assert "line/9" in ledger.registry.decision_log(numbers[0])[-1].reason


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "merge", "absorb": "line"},
        {"kind": "merge", "absorb": ""},
        {"kind": "merge", "absorb": "line/trials"},
        {"kind": "archive"},
        {"kind": "pin", "target": "line 7"},
        {"kind": "pin", "target": "line@99"},
        {"kind": "expand_adapter", "target": "line@Stable"},
        {"kind": "expand_rank"},
    ],
)
def test_a_forced_choice_that_makes_no_sense_fails_and_stops_nothing(
    ledger: Ledger, values: dict[str, Any]
) -> None:
    world = World(ledger)
    world.review()
    choice = Choice(**{"adapter": "line", "target": "line", "reason": "A slip."} | values)
    number = ledger.registry.force(choice, actor="op").number
    world.review()
    assert [d.state for d in world.decisions() if d.number == number] == ["failed"]
    assert ledger.registry.decision_log(number)[-1].reason
    assert [m.state for m in ledger.registry.members("line")] == ["active"]


@pytest.mark.parametrize(
    "call", ["assign", *(pytest.param(c, marks=pytest.mark.soak) for c in ("put_member", "settle"))]
)
def test_a_crash_while_nodes_are_moved_back_does_not_make_it_a_failure(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    world = World.warmed_up(ledger)
    world.split()
    world.review()
    moved = ("ann", "bob")
    undone = world.decisions("expand_adapter")[-1]
    ledger.registry.settle(undone.number, state="undone", reason="", actor="op")
    world.review()  # line/2 is archived: to move nodes there puts it in service again
    nodes = tuple(sorted(world.nodes[name].identity for name in moved))
    choice = Choice(kind="reroute", adapter="line", target="line/2", nodes=nodes, reason="Mine.")
    cut_the_power_after(ledger, monkeypatch, call)
    number = ledger.registry.force(choice, actor="op").number
    with pytest.raises(PowerCut):
        world.review(3)
    world.restart()
    world.review()
    assert [d.state for d in world.decisions() if d.number == number] == ["carried_out"]
    assert {world.member(name) for name in moved} == {"line/2"}


def test_a_reroute_whose_nodes_are_elsewhere_by_now_fails_and_changes_nothing(
    ledger: Ledger,
) -> None:
    world = World.warmed_up(ledger)
    split = world.split()
    world.review()
    world.flip("ann", "bob", back=True)  # so that no review sends them there again
    ledger.registry.settle(split.number, state="undone", reason="", actor="op")
    world.review()
    cid = world.nodes["cid"].identity
    stale = Choice(kind="reroute", adapter="line/2", target="line/2", nodes=(cid,), reason="Old.")
    number = ledger.registry.force(stale, actor="op").number
    world.review()
    assert [d.state for d in world.decisions() if d.number == number] == ["failed"]
    states = {m.adapter: m.state for m in ledger.registry.members("line")}
    assert states["line/2"] == "archived", "it is not put in service for nobody"


def test_features_of_another_width_and_none_at_all_stop_nothing(ledger: Ledger) -> None:
    world = World(ledger)
    wide = torch.zeros(80, 3)
    world.streams["ann"].features = lambda rows=None: wide  # type: ignore[method-assign]
    world.review(3)
    del world.streams["ann"].features  # it has what the others have, from now on
    world.review(4)
    assert world.reviews == 7


def test_nodes_whose_rows_have_no_summary_go_on_training(ledger: Ledger) -> None:
    world = World(ledger)
    broken = torch.full((80, 8), float("nan"))
    for name in NAMES:
        world.streams[name].features = lambda rows=None: broken  # type: ignore[method-assign]
    world.review(4)
    newest = ledger.registry.version("line@latest")
    assert newest.number >= 3
    assert {m.identity for m in ledger.registry.metrics(newest.ref)} >= {
        world.nodes[name].identity for name in NAMES
    }


def test_a_node_that_is_gone_for_good_does_not_stop_its_member(ledger: Ledger) -> None:
    world = World.warmed_up(ledger, merge_every=50, provisional_age=50)
    world.split()
    world.review(2)
    world.simulation.leave(world.nodes["bob"])
    before = ledger.registry.version("line/2@latest").number
    for _ in range(8):
        world.simulation.clock.advance(10.0)  # rounds take no time here, pauses after them do
        world.review()
    assert ledger.registry.version("line/2@latest").number > before + 1


def test_recorded_evidence_leads_to_the_recorded_choices_again(ledger: Ledger) -> None:
    world = World.warmed_up(ledger)
    world.split()
    world.review(2)
    reviews = [e for e in ledger.registry.evidence() if e.kind == "review"]
    assert len(reviews) == world.reviews
    for evidence in reviews:
        own = [d.payload for d in world.decisions() if evidence.number in d.evidence]
        assert replays(evidence.payload, own)
    split = next(e for e in reviews if e.number == world.decisions("expand_adapter")[0].evidence[0])
    without = {**split.payload, "review": {**split.payload["review"], "nodes": []}}
    assert not replays(without, [d.payload for d in world.decisions("expand_adapter")])


@pytest.mark.parametrize(
    "call", ["record_review", "create_adapter", "publish", "put_member", "assign", "settle"]
)
def test_a_crash_at_any_step_of_a_decision_changes_nothing_of_its_outcome(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Cut the power right after a write of the driver, once; a new driver goes on."""
    world = World.warmed_up(ledger)
    world.flip("ann", "bob")
    cuts = cut_the_power_after(ledger, monkeypatch, call)
    with contextlib.suppress(PowerCut):
        world.review(4)
    assert cuts == [call], "the power was never cut"
    world.restart()
    world.review(2)
    assert world.member("ann") == world.member("bob") == "line/2"
    lines = {line.name for line in ledger.registry.adapters()}
    assert lines - {"line/trials"} == {"line", "line/2"}, "no second line was made"
    assert [d.state for d in world.decisions("expand_adapter")] == ["carried_out"]
