"""What is asked before a review is decided, and what is not."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from polyrank.store import (
    AdaptationPolicy,
    Probe,
    RankEvidence,
    RankTrial,
    Review,
    Trial,
    decide,
    questions,
)
from store_reviews import (
    POLICIES,
    POLICY,
    contradicted,
    harmed,
    member,
    novel,
    probe,
    quiet,
    review,
    reviews,
    root,
    trial,
)

FOUR = (root(), member(2), member(3, parent="demo/2", users=9), member(4, state="archived"))


def ask(*nodes: Any, policy: AdaptationPolicy = POLICY, **values: object):
    return questions(review(*nodes, **{"members": FOUR} | values), policy)


def test_a_quiet_review_asks_nothing():
    assert ask() == ()
    assert ask(quiet("ann"), quiet("bob", prior_z=9.0)) == ()


@pytest.mark.parametrize(
    "node", [harmed("ann"), novel("ann"), quiet("ann", loss=0.8), harmed("ann", base_windows=0)]
)
def test_a_node_in_alarm_scores_every_other_member_archived_ones_too(node: Any):
    assert ask(node) == (
        Probe("ann", "demo/2", 3),
        Probe("ann", "demo/4", 3),
        Probe("ann", "demo/3", 3),
    )


@pytest.mark.parametrize(("moves", "asked"), [(0, 3), (1, 3), (2, 0)])
def test_a_node_that_is_lost_is_asked_after_one_move_but_not_after_two(moves: int, asked: int):
    lost = quiet("ann", loss=0.8, since_move=0, recent_moves=moves)
    assert len(ask(lost)) == asked
    assert len(ask(replace(lost, since_move=POLICY.refractory))) == 3


def test_nearest_is_parent_then_children_then_most_used_then_newest_then_by_name():
    members = (
        *FOUR,
        member(5, users=0, age=1, parent="demo/3"),
        member(6, users=0, age=9, parent="demo/3"),
        member(7, users=0, age=1, parent="demo/3"),
    )
    asked = ask(harmed("ann", adapter="demo/2"), members=members)
    assert [question.adapter[-1] for question in asked] == ["o", "3", "4", "5", "7", "6"]


@pytest.mark.parametrize(
    ("node", "count"),
    [
        (novel("ann", rows=7), 0),
        (novel("ann", since_move=2), 0),
        (novel("ann", since_move=3), 3),
        (contradicted("ann", since_move=0), 3),
    ],
)
def test_who_may_not_move_is_not_asked(node: Any, count: int):
    assert len(ask(node)) == count


def test_what_was_answered_is_not_asked_again():
    assert ask(harmed("ann", probes=(probe("demo/2", 0.0), probe("demo/3", 0.0)))) == (
        Probe("ann", "demo/4", 3),
    )


def test_with_more_members_than_places_half_go_round_until_all_have_been_tried():
    members = (root(), *(member(i, parent=None, age=i) for i in range(2, 30)))
    policy = replace(POLICY, max_probes=5)
    seen: Counter[str] = Counter()
    for number in range(1, 14):
        asked = ask(harmed("ann"), members=members, policy=policy, number=number)
        names = [question.adapter for question in asked if isinstance(question, Probe)]
        assert len(set(names)) == 5
        assert names[:3] == ["demo/2", "demo/3", "demo/4"]
        seen.update(names[3:])
    assert len(seen) == 25
    many = ask(*(harmed(f"n{i:02}") for i in range(13)), members=members, policy=policy)
    assert len({question.adapter for question in many}) == 28
    assert Counter(question.identity for question in many) == {f"n{i:02}": 5 for i in range(13)}


def test_a_provisional_member_is_tried_against_its_parent_when_it_is_old_enough():
    young = {"provisional": True, "parent": "demo/2"}
    for age, expected in ((1, ()), (2, (Trial("demo/2", "demo/3"),))):
        members = (root(), member(2, age=9), member(3, age=age, **young))
        assert ask(members=members) == expected


def test_a_provisional_member_whose_parent_is_gone_is_tried_against_the_root():
    gone = (root(), member(2, state="archived"), member(3, provisional=True, parent="demo/2"))
    assert ask(members=gone) == (Trial("demo", "demo/3"),)
    unknown = (root(), member(3, provisional=True, parent="demo/9"))
    assert ask(members=unknown) == (Trial("demo", "demo/3"),)


def test_other_pairs_are_tried_at_every_third_review_the_longest_untried_first():
    members = (root(age=9), member(2, age=7), member(3, age=8))
    for number in (10, 11):
        assert ask(members=members, number=number) == ()
    assert ask(members=members, number=12) == (Trial("demo", "demo/2"), Trial("demo", "demo/3"))
    tried = (root(age=9, trials={"demo/2": 9}), member(2, age=7), member(3, age=8))
    assert ask(members=tried, number=12) == (Trial("demo", "demo/3"), Trial("demo/3", "demo/2"))


def test_the_root_keeps_whoever_is_older():
    members = (root(age=2), member(2, age=9))
    assert ask(members=members, number=12) == (Trial("demo", "demo/2"),)


def test_a_pair_is_tried_once_in_so_many_reviews_whoever_remembers_it():
    provisional = member(2, provisional=True, trials={"demo": 8})
    assert ask(members=(root(), provisional), number=10) == ()
    assert ask(members=(root(trials={"demo/2": 8}), member(2)), number=9) == ()
    assert ask(members=(root(), provisional), number=11) == (Trial("demo", "demo/2"),)


def test_newcomers_come_before_other_pairs_and_their_first_trial_waits_for_nothing():
    members = (root(trials={"demo/3": 9}), member(2), member(3, provisional=True), member(4))
    one = replace(POLICY, max_trials=1)
    assert ask(members=members, number=12, policy=one) == (Trial("demo", "demo/3"),)
    early = (root(), member(2, provisional=True, age=2))
    patient = replace(POLICY, merge_every=9)
    assert ask(members=early, number=2, policy=patient) == (Trial("demo", "demo/2"),)


@pytest.mark.parametrize(
    "members",
    [
        (root(users=0), member(2)),
        (root(), member(2, users=0)),
        (root(), member(2, age=0)),
        (root(), member(2, state="archived")),
        (root(), member(2, provisional=True, age=1)),
    ],
)
def test_no_trial_without_judges_on_both_sides_or_with_a_member_that_has_just_been_made(
    members: Any,
):
    assert ask(members=members, number=12) == ()


def test_two_newcomers_are_tried_together_when_nobody_is_left_where_they_came_from():
    new = {"provisional": True, "age": 3}
    members = (root(users=0), member(2, **new), member(3, **new))
    assert ask(members=members, number=12) == (Trial("demo/2", "demo/3"),)


def test_trials_are_few_and_those_that_were_made_count():
    members = (root(), *(member(i) for i in range(2, 6)))
    assert len(ask(members=members, number=12)) == 2
    made = (trial("demo", "demo/2"),)
    assert ask(members=members, number=12, trials=made) == (Trial("demo", "demo/3"),)
    assert ask(members=members, number=12, policy=replace(POLICY, max_trials=0)) == ()


def test_a_full_rank_with_a_flat_loss_is_tried_at_twice_its_size():
    full = RankEvidence(adapter="demo", rank=8, saturated_share=0.5, flat_rounds=3, energy_rank=8)
    assert ask(ranks=(full,)) == (RankTrial("demo", 16),)
    assert ask(ranks=(full,), policy=replace(POLICY, max_rank=12)) == (RankTrial("demo", 12),)
    assert ask(ranks=(full,), policy=replace(POLICY, max_rank=8)) == ()
    for change in ({"saturated_share": 0.4}, {"flat_rounds": 2}, {"gain": 0.1}, {"trainable": 8}):
        assert ask(ranks=(replace(full, **change),)) == ()
    assert ask(ranks=(replace(full, trainable=9),)) == (RankTrial("demo", 16),)
    alone = (root(users=1),)
    assert ask(ranks=(full,), members=alone) == (), "one identity alone judges nothing"


def test_trials_of_rank_rest_and_come_one_at_a_time():
    policy = replace(POLICY, rank_every=8, merge_every=50)
    full = RankEvidence(adapter="demo", rank=8, saturated_share=1.0, flat_rounds=3, energy_rank=8)
    for tried, wanted in ((5, ()), (4, (RankTrial("demo", 16),))):
        assert ask(ranks=(replace(full, tried=tried),), number=12, policy=policy) == wanted
    both = (replace(full, tried=3), replace(full, adapter="demo/2", tried=2))
    found = ask(ranks=both, members=(root(), member(2)), number=12, policy=policy)
    assert found == (RankTrial("demo/2", 16),), "the one that has waited longest"


@settings(max_examples=60, deadline=None)
@given(reviews(), POLICIES)
def test_questions_name_what_is_there_and_keep_within_their_bounds(
    made: Review, policy: AdaptationPolicy
):
    asked = questions(made, policy)
    assert len(set(asked)) == len(asked)
    members = {line.adapter: line for line in made.members}
    home = {node.identity: node.adapter for node in made.nodes}
    each = Counter(question.identity for question in asked if isinstance(question, Probe))
    assert all(count <= policy.max_probes for count in each.values())
    for question in asked:
        if isinstance(question, Probe):
            assert question.adapter != home[question.identity]
            assert question.version == members[question.adapter].version
        elif isinstance(question, Trial):
            assert question.absorb != made.family
            assert {members[question.keep].state, members[question.absorb].state} == {"active"}
    trials = sum(isinstance(question, Trial) for question in asked)
    assert trials + len(made.trials) <= max(policy.max_trials, len(made.trials))


@settings(max_examples=60, deadline=None)
@given(reviews(), POLICIES)
def test_when_all_was_answered_nobody_waits_for_an_answer(made: Review, policy: AdaptationPolicy):
    asked = [question for question in questions(made, policy) if isinstance(question, Probe)]
    nodes = tuple(
        replace(
            node,
            probes=(
                *node.probes,
                *(probe(q.adapter, -1.0) for q in asked if q.identity == node.identity),
            ),
        )
        for node in made.nodes
    )
    resting = {n.identity for n in nodes if (n.since_move or 0) < policy.refractory}
    waiting = {
        identity
        for choice in decide(replace(made, nodes=nodes), policy)
        if "still untried on these rows" in choice.reason
        for identity in choice.nodes
    }
    assert waiting <= resting


def test_a_newcomer_scores_the_other_active_members_once_and_archived_ones_only_in_alarm():
    first = {"newcomer": True, "base_windows": 0, "base_loss": None, "harm_z": None}
    assert ask(quiet("ann", **first)) == (Probe("ann", "demo/2", 3), Probe("ann", "demo/3", 3))
    assert len(ask(quiet("ann", **first, loss=0.8))) == 3
    assert ask(quiet("ann", **first, rows=7)) == ()
    assert ask(quiet("ann", **first), members=(root(), member(4, state="archived"))) == ()
    assert len(ask(quiet("ann", **first), policy=replace(POLICY, max_probes=1))) == 1


def test_a_node_that_was_away_scores_the_archived_member_that_it_had():
    back = {"newcomer": True, "base_windows": 0, "base_loss": None, "harm_z": None}
    asked = ask(quiet("ann", **back, former="demo/4"))
    assert [question.adapter for question in asked] == ["demo/4", "demo/2", "demo/3"]
    one = ask(quiet("ann", **back, former="demo/4"), policy=replace(POLICY, max_probes=1))
    assert [question.adapter for question in one] == ["demo/4"]
