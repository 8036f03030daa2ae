"""Rank by need: tried at twice the rank when the loss is flat, kept if it helps, cut if unused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from polyrank.coordinator._report_ranks import ranks
from polyrank.coordinator._report_records import read_family
from polyrank.coordinator._report_time import Timeline
from polyrank.store import Ledger, open_ledger, replays

from .power_cuts import PowerCut, cut_after_each
from .rank_world import RankWorld

QUICK = {"rank_flat_rounds": 2, "rank_every": 2}
WRITES = (
    "record_review", "create_adapter", "publish", "plan_round", "put_task", "move_round", "accept",
    "commit_round", "close_task", "put_member", "put_family", "settle",
)  # fmt: skip


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


def reviews(ledger: Ledger) -> list[dict[str, Any]]:
    return [e.payload["review"] for e in ledger.registry.evidence() if e.kind == "review"]


def lines(ledger: Ledger) -> set[str]:
    return {line.name for line in ledger.registry.adapters()}


def test_a_full_rank_grows_when_its_loss_is_flat_and_a_trial_helps_and_can_be_undone(
    ledger: Ledger,
) -> None:
    world = RankWorld(ledger, keep_rounds=2, **QUICK)
    decision = world.until_decided("expand_rank", within=10)
    made, before = world.made_by(decision.number)
    trial = ledger.registry.version(decision.payload["target"])
    assert (made.digest, made.rank, before.rank) == (trial.digest, 4, 2)
    assert trial.adapter == "line/rank-trials"
    source = ledger.registry.version(f"line/rank-trials@{trial.parents[0].number}").parents[0]
    assert (source.adapter, source.number) == ("line", before.parents[0].number), (
        "the trial and the round that it was compared with began with the same version"
    )
    assert world.loss(made.ref) < 0.6 * world.loss(before.ref)
    numbers = decision.payload["numbers"]
    assert numbers["gain"] > numbers["standard_error"] > 0
    assert (numbers["nodes"], numbers["new_rank"], numbers["rank"]) == (3, 4, 2)
    trained = [t for t in ledger.tasks("line/rank-trials") if t.kind == "train"]
    assert sorted(t.rank for t in trained) == [2, 4, 4], "each by its card"
    world.review(6)
    newest = ledger.registry.version("line@latest")
    assert newest.rank == 4
    assert len(world.decisions("expand_rank")) == 1, "a task of rank 4 has no use for 8"
    again = [r["ranks"][0] for r in reviews(ledger) if r.get("ranks") and "gain" in r["ranks"][0]]
    assert [r["rank"] for r in again] == [2, 4]
    assert again[1]["gain"] < again[1]["standard_error"]
    for evidence in ledger.registry.evidence():
        if evidence.kind == "review":
            own = [d.payload for d in world.decisions() if evidence.number in d.evidence]
            assert replays(evidence.payload, own)
    trials = {v.number: v.retired for v in ledger.registry.versions("line/rank-trials").items}
    assert trials == {0: True, trial.number: False, 2: True, 3: False, 4: False}, "what is needed"
    world.undo(decision.number)
    assert world.state(decision.number) == "undone"
    assert ledger.registry.version("line@stable").digest == before.digest
    assert world.member()[1].ranks.rank is None
    recorded = read_family(ledger.registry, "line")
    told = ranks(recorded, Timeline.of(recorded.reviews))
    assert [(c.words, c.decision, c.state) for c in told.changes][:2] == [
        ("2 to 4", decision.number, "undone"), ("4 to 8", None, ""),
    ]  # fmt: skip
    assert {one.rank for one in told.levels["line"]} == {0, 2, 4}
    assert told.now == {"line": 2}


def test_a_rank_that_is_not_used_is_cut_and_the_error_is_on_record(ledger: Ledger) -> None:
    options = {"max_ranks": (8, 8), "rank_flat_rounds": 2, "rank_every": 6}
    world = RankWorld(ledger, (3.0,), state_rank=8, **options)
    decision = world.until_decided("shrink_rank", within=8)
    made, before = world.made_by(decision.number)
    assert made.metrics["discarded"] < 1e-3
    assert world.member()[1].ranks.rank == decision.payload["numbers"]["new_rank"] == 2
    world.review(2)
    plans = [r.plan["state_rank"] for r in ledger.rounds("line")]
    assert plans[0] == 8
    assert plans[-1] == 2
    assert world.loss() < 1e-3
    world.undo(decision.number)
    assert ledger.registry.version("line@stable").digest == before.digest
    world.review(5)
    assert world.member()[1].ranks.flat >= 2
    assert len(world.decisions("shrink_rank")) == 1, "what was undone is not done again at once"


@pytest.mark.parametrize("options", [{"max_ranks": (2, 2)}, {"max_rank": 2}])
def test_there_is_no_trial_where_no_node_can_train_more_or_the_policy_allows_no_more(
    ledger: Ledger, options: dict[str, Any]
) -> None:
    world = RankWorld(ledger, **QUICK, **options)
    world.review(6)
    (member,) = reviews(ledger)[-1]["ranks"]
    assert member["flat_rounds"] >= QUICK["rank_flat_rounds"]
    assert member["saturated_share"] == 1.0
    assert lines(ledger) == {"line"}
    assert not world.decisions("expand_rank", "shrink_rank")


def test_nothing_is_tried_where_decisions_are_only_recorded(ledger: Ledger) -> None:
    world = RankWorld(ledger, mode="record", **QUICK)
    world.review(6)
    assert lines(ledger) == {"line"}


def test_a_trial_that_an_operator_approves_late_gives_room_and_takes_nothing_back(
    ledger: Ledger,
) -> None:
    world = RankWorld(ledger, mode="propose", **QUICK)
    decision = world.until_decided("expand_rank", within=10)
    assert decision.state == "proposed"
    world.review(2)
    ledger.registry.settle(decision.number, state="approved", reason="", actor="op")
    world.settle()
    made, before = world.made_by(decision.number)
    assert made.digest == before.digest, "two rounds were made since: they are kept"
    assert before.number >= decision.payload["numbers"]["version"] + 2
    world.review()
    assert ledger.registry.version("line@latest").rank == 4


def test_a_driver_that_dies_after_any_write_of_a_trial_makes_what_another_makes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger("memory://") as other:
        undisturbed = RankWorld(other, **QUICK)
        undisturbed.until_decided("expand_rank", within=10)
        wanted = made(other)
    world = RankWorld(ledger, **QUICK)
    world.review()
    while world.member()[1].ranks.flat < QUICK["rank_flat_rounds"] - 1:
        world.review()  # the next one asks for the trial
    cuts = cut_after_each(ledger, monkeypatch, WRITES)
    for _ in range(60):
        try:
            world.review()
        except PowerCut:
            world.restart()
        found = world.decisions("expand_rank")
        if [d.state for d in found] == ["carried_out"]:
            break
    assert set(cuts) == set(WRITES)
    assert made(ledger) == wanted, "nothing is made twice, nothing is left out"
    assert world.state(found[-1].number) == "carried_out"


def made(ledger: Ledger) -> list[Any]:
    """What was made of what, on both lines."""
    return [
        (v.ref, v.origin, v.rank, [(p.adapter, p.number, p.role) for p in v.parents])
        for name in ("line", "line/rank-trials")
        for v in ledger.registry.versions(name).items
    ]
