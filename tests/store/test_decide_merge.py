"""Merges by trial, changes of rank, archives: the household of a family."""

from dataclasses import replace
from typing import Any

import pytest
from polyrank.store import AdaptationPolicy, RankEvidence, TrialEvidence, decide
from store_reviews import POLICY, contradicted, harmed, member, probe, review, root, side, trial

THREE = (root(), member(2), member(3))


def choose(*nodes: Any, policy: AdaptationPolicy = POLICY, **values: object):
    return decide(review(*nodes, **{"members": THREE} | values), policy)


def pair(change: float, other: float = 0.0, *, absorb: str = "demo/2", **of: Any) -> TrialEvidence:
    return trial("demo", absorb, side("demo", other, **of), side(absorb, change, **of))


def test_a_trial_that_harms_neither_side_is_taken_over():
    (choice,) = choose(trials=(pair(0.05, -0.01),))
    assert (choice.kind, choice.adapter, choice.absorb) == ("merge", "demo", "demo/2")
    assert choice.target == "demo/trials@4"
    assert choice.reason == (
        "The trial merge demo/trials@4 costs -0.01 nats to demo and 0.05 nats to demo/2 "
        "(tolerance 0.075), judged by 2 nodes: demo/2 ends in demo."
    )
    assert choice.numbers == {
        "merge_tolerance": 0.075, "keep_loss_change": -0.01, "keep_standard_error": 0.02,
        "keep_nodes": 1, "absorb_loss_change": 0.05, "absorb_standard_error": 0.02,
        "absorb_nodes": 1,
    }  # fmt: skip


@pytest.mark.parametrize("sides", [(0.08, 0.0), (0.0, 0.08), (-5.0, 0.08)])
def test_a_trial_that_costs_the_worse_side_too_much_leaves_both(sides: tuple[float, float]):
    (choice,) = choose(trials=(pair(*sides),))
    assert choice.kind == "keep"
    assert (choice.adapter, choice.absorb, choice.nodes) == ("demo", "demo/2", ())
    assert choice.reason.endswith("too much: demo and demo/2 both stay.")


@pytest.mark.parametrize(
    "sides",
    [(), (side("demo", 0.0, 5),), (side("demo/2", 0.0, 5),)],
)
def test_a_trial_is_judged_on_both_sides(sides: tuple[Any, ...]):
    (choice,) = choose(trials=(trial("demo", "demo/2", *sides),))
    assert choice.kind == "keep"
    assert "it takes 2 with one on each side" in choice.reason


def test_more_judges_may_be_asked_for():
    policy = replace(POLICY, min_identities=3)
    assert choose(trials=(pair(0.0),), policy=policy)[0].kind == "keep"
    assert choose(trials=(pair(0.0, identities=2),), policy=policy)[0].kind == "merge"


def test_standard_errors_may_be_added_to_be_sure():
    sure = replace(POLICY, merge_confidence=2.0)
    assert choose(trials=(pair(0.04),), policy=sure)[0].kind == "keep"
    (choice,) = choose(trials=(pair(0.02),), policy=sure)
    assert choice.kind == "merge"
    assert "(tolerance 0.075 with 2 standard errors added)" in choice.reason


def test_one_merge_a_review_the_least_harmful_first():
    found = choose(trials=(pair(0.05), pair(0.03, absorb="demo/3")))
    assert [(c.kind, c.absorb) for c in found] == [("merge", "demo/3"), ("keep", "demo/2")]
    assert "one merge a review is enough" in found[1].reason


def test_a_refused_trial_does_not_keep_the_next_one_waiting():
    one_sided = trial("demo", "demo/3", side("demo", -9.0, 5))
    found = choose(trials=(pair(0.05), one_sided))
    assert [(c.kind, c.absorb) for c in found] == [("merge", "demo/2"), ("keep", "demo/3")]


def test_an_adapter_that_a_group_leaves_is_not_merged_in_the_same_review():
    tried = (probe("demo/2", 0.0), probe("demo/3", 0.0))
    nodes = (contradicted("ann", probes=tried), contradicted("bob", probes=tried))
    found = choose(*nodes, trials=(pair(0.0),))
    assert [choice.kind for choice in found] == ["expand_adapter", "keep"]
    assert "nodes leave demo for a new adapter in this review" in found[1].reason


def test_an_archived_member_is_not_merged():
    members = (root(), member(2, state="archived"))
    assert choose(trials=(pair(0.0),), members=members)[0].kind == "keep"


def rank(**values: Any) -> RankEvidence:
    full = {"saturated_share": 0.5, "flat_rounds": 3, "gain": 0.05, "standard_error": 0.02}
    first = {"adapter": "demo", "rank": 8, "energy_rank": 8, "identities": 2}
    return RankEvidence(**first | full | values)


def test_what_was_tried_is_what_goes_on_and_the_version_that_it_was_held_against_is_named():
    (choice,) = choose(ranks=(rank(trial="demo/rank-trials@4"),))
    assert (choice.kind, choice.target) == ("expand_rank", "demo/rank-trials@4")
    assert choice.numbers["version"] == root().version
    full = AdaptationPolicy(max_rank=8)
    (kept,) = choose(ranks=(rank(trial="demo/rank-trials@4"),), policy=full)
    assert (kept.kind, kept.target) == ("keep", "demo")


def test_rank_grows_where_it_is_full_the_loss_is_flat_and_a_trial_helped():
    (choice,) = choose(ranks=(rank(),))
    assert (choice.kind, choice.adapter, choice.target) == ("expand_rank", "demo", "demo")
    assert choice.numbers["new_rank"] == 16
    assert choice.reason == (
        "50% of the modules of demo fill its rank 8 (threshold 50%), its loss is flat for 3 rounds "
        "and twice the rank gains 0.05 nats (standard error 0.02), so its rank becomes 16."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"saturated_share": 0.49},
        {"flat_rounds": 2},
        {"gain": None},
        {"gain": 0.02},
        {"gain": 0.0, "standard_error": 0.0},
        {"identities": 1},
    ],
)
def test_rank_does_not_grow_when_one_reason_is_missing(change: dict[str, Any]):
    assert choose(ranks=(rank(**change),)) == ()


@pytest.mark.parametrize(
    ("policy", "kind", "new"),
    [
        ({"max_rank": 12}, "expand_rank", 12),
        ({"max_rank": 8}, "keep", 8),
        ({"max_total_bytes": 4000}, "expand_rank", 16),
        ({"max_total_bytes": 3999}, "keep", 8),
    ],
)
def test_rank_grows_within_the_budgets(policy: dict[str, int], kind: str, new: int):
    (choice,) = choose(ranks=(rank(),), policy=replace(POLICY, **policy))
    assert (choice.kind, choice.numbers["new_rank"]) == (kind, new)


def test_rank_shrinks_to_what_is_used_with_some_headroom():
    (choice,) = choose(ranks=(rank(rank=32, gain=None, energy_rank=12, shrink_error=0.1),))
    assert (choice.kind, choice.numbers["new_rank"]) == ("shrink_rank", 15)
    assert choice.reason == (
        "demo uses 12 of its rank 32, by 99 % of its energy, a cut there costs 0.1 of its norm (at "
        "most 0.1) and its loss is flat for 3 rounds: its rank becomes 15."
    )
    gap = rank(rank=32, gain=None, energy_rank=20, elbow=4, shrink_error=0.1)
    assert choose(ranks=(gap,))[0].numbers["new_rank"] == 5
    empty = rank(rank=32, gain=None, energy_rank=0, shrink_error=0.0)
    assert choose(ranks=(empty,))[0].numbers["new_rank"] == 2


@pytest.mark.parametrize(
    "change",
    [{"energy_rank": 17}, {"shrink_error": 0.11}, {"shrink_error": None}, {"flat_rounds": 2}],
)
def test_rank_does_not_shrink_when_one_reason_is_missing(change: dict[str, Any]):
    first = {"rank": 32, "gain": None, "energy_rank": 12, "shrink_error": 0.1}
    assert choose(ranks=(rank(**first | change),)) == ()


def test_the_rank_of_an_adapter_that_is_merged_or_archived_does_not_change():
    assert [c.kind for c in choose(ranks=(rank(),), trials=(pair(0.0),))] == ["merge"]
    away = (root(), member(2, state="archived"))
    assert choose(ranks=(rank(adapter="demo/2"),), members=away) == ()


def test_an_adapter_without_users_is_archived():
    idle = member(2, users=0, idle=2)
    (choice,) = choose(members=(root(), idle))
    assert (choice.kind, choice.adapter, choice.target) == ("archive", "demo/2", "demo/2")
    assert choice.reason == (
        "No node has used demo/2 for 2 reviews (threshold 2): it is stored and no longer trained."
    )


@pytest.mark.parametrize(
    "change", [{"idle": 1}, {"users": 1}, {"state": "archived"}, {"adapter": "demo", "root": True}]
)
def test_an_adapter_that_is_used_stored_or_the_root_is_not_archived(change: dict[str, Any]):
    first = member(2, **{"users": 0, "idle": 9} | change)
    assert choose(members=(first,) if first.root else (root(), first)) == ()


def test_an_adapter_that_nodes_return_to_is_not_archived():
    members = (root(), member(2, users=0, idle=5))
    found = choose(harmed("ann", probes=(probe("demo/2", 0.5),)), members=members)
    assert [choice.kind for choice in found] == ["reroute"]
    merged = choose(members=members, trials=(pair(0.0),))
    assert [choice.kind for choice in merged] == ["merge"]
