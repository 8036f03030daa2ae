"""The rank of a family's member: changed by an operator, changed back, and what a crash does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from polyrank.store import Ledger, open_ledger

from .power_cuts import PowerCut, cut_the_power_after
from .rank_world import RankWorld


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


def test_an_operator_gives_a_member_more_rank_which_its_next_rounds_use(ledger: Ledger) -> None:
    world = RankWorld(ledger)
    world.review(2)
    number = world.force("expand_rank", numbers={"new_rank": 4})
    made, before = world.made_by(number)
    assert (world.state(number), made.origin, before.rank) == ("carried_out", "expand_rank", 2)
    assert made.digest == before.digest, "no trial was made: the bytes are the same"
    world.review(2)
    newest = ledger.registry.version("line@latest")
    assert newest.rank == 4
    ranks = {r.plan["state_rank"] for r in ledger.rounds("line") if r.start_number >= made.number}
    assert ranks == {4}
    assert world.loss() < 0.3 * world.loss(before.ref)


def test_less_rank_is_a_cut_whose_error_is_on_record_and_both_are_undone(ledger: Ledger) -> None:
    world = RankWorld(ledger, state_rank=4, max_ranks=(8, 8))
    world.review(3)
    first = world.force("shrink_rank", numbers={"new_rank": 2})
    cut, before = world.made_by(first)
    assert (cut.rank, cut.origin) == (2, "shrink_rank")
    assert cut.metrics["discarded"] == pytest.approx((6.25 / 21.5) ** 0.5, rel=1e-2)
    assert cut.metrics["num_examples"] == before.metrics["num_examples"]
    world.review(2)
    assert ledger.registry.version("line@latest").rank == 2
    world.undo(first)
    back = ledger.registry.version("line@stable")
    assert (back.digest, back.origin, world.state(first)) == (before.digest, "undo", "undone")
    assert world.member()[1].ranks.rank is None
    world.review()
    assert ledger.registry.version("line@latest").rank == 4
    second = world.force("expand_rank", numbers={"new_rank": 6})
    world.review()
    world.undo(second)
    assert (world.member()[1].ranks.rank, world.state(second)) == (None, "undone")


def test_changes_of_rank_are_undone_one_after_the_other_the_last_first(ledger: Ledger) -> None:
    world = RankWorld(ledger)
    world.review()
    first = world.force("expand_rank", numbers={"new_rank": 3})
    second = world.force("expand_rank", numbers={"new_rank": 4})
    world.undo(first)
    assert world.state(first) == "carried_out"
    assert "changed again since" in ledger.registry.decision_log(first)[-1].reason
    world.undo(second)
    assert (world.member()[1].ranks.rank, world.state(second)) == (3, "undone")
    world.undo(first)
    assert (world.member()[1].ranks.rank, world.state(first)) == (None, "undone")


SENSELESS: list[tuple[str, dict[str, Any], str]] = [
    ("expand_rank", {}, "does not say the rank"),
    ("expand_rank", {"numbers": {"new_rank": 2}}, "no rank above 2"),
    ("expand_rank", {"numbers": {"new_rank": 16}}, "max_rank 8"),
    ("expand_rank", {"numbers": {"new_rank": 4}, "target": "line@0"}, "no trial"),
    ("shrink_rank", {"numbers": {"new_rank": 2}}, "no rank below 2"),
    ("shrink_rank", {"numbers": {"new_rank": 0.5}}, "does not say the rank"),
]


def test_a_change_of_rank_that_makes_no_sense_fails_with_its_reason(ledger: Ledger) -> None:
    world = RankWorld(ledger, max_ranks=(8, 8), max_rank=8)
    world.review()
    for kind, values, reason in SENSELESS:
        number = world.force(kind, **values)
        assert world.state(number) == "failed"
        assert reason in ledger.registry.decision_log(number)[-1].reason
    assert {v.origin for v in ledger.registry.versions("line").items} == {"initial", "round"}


@pytest.mark.parametrize("kind", ["expand_rank", "shrink_rank", "undone"])
def test_a_crash_at_any_step_of_a_change_of_rank_changes_nothing_of_its_outcome(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    world = RankWorld(ledger, max_ranks=(8, 8), state_rank=7 if kind == "shrink_rank" else 2)
    world.review()
    for step, call in enumerate(("publish", "put_member", "put_family", "settle"), start=1):
        undoing = kind == "undone"
        rank = {"expand_rank": 2 + step, "shrink_rank": 7 - step, "undone": 4}[kind]
        forced = world.force("expand_rank", numbers={"new_rank": rank}) if undoing else 0
        with monkeypatch.context() as patch:
            cuts = cut_the_power_after(ledger, patch, call)
            with pytest.raises(PowerCut):
                _ = world.undo(forced) if undoing else world.force(kind, numbers={"new_rank": rank})
        assert cuts == [call]
        world.restart()
        world.settle()
        decision = world.decisions("expand_rank", "shrink_rank")[-1]
        assert decision.state == ("undone" if undoing else "carried_out")
        assert world.member()[1].ranks.rank == (None if undoing else rank)
        made, before = world.made_by(decision.number)
        versions = ledger.registry.versions("line").items
        assert sum(v.origin == ("undo" if undoing else kind) for v in versions) == step
        if undoing:
            newest = next(v for v in versions if v.origin == "undo")
            assert newest.digest == before.digest
        else:
            assert ledger.registry.version("line@stable").ref == made.ref


def test_a_new_adapter_has_the_rank_of_its_source_and_a_merge_the_larger_of_both(
    ledger: Ledger,
) -> None:
    world = RankWorld(ledger, max_ranks=(8, 8))
    world.review()
    world.force("expand_rank", numbers={"new_rank": 4})
    world.review()
    nodes = tuple(sorted(node.identity for node in world.nodes))
    world.force("expand_adapter", target="line@stable", nodes=nodes[:1])
    world.review()
    assert world.member("line/2")[1].ranks.rank == 4
    assert ledger.registry.version("line/2@latest").rank == 4
    larger = {"adapter": "line/2", "target": "line/2", "numbers": {"new_rank": 6}}
    world.force("expand_rank", **larger)
    merged = world.force("merge", absorb="line/2")
    assert (world.state(merged), world.member()[1].ranks.rank) == ("carried_out", 6)
    world.undo(merged)
    assert (world.state(merged), world.member()[1].ranks.rank) == ("undone", 4)
