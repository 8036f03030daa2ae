"""Promises of `decide` for any evidence at all."""

import json
import random
from collections import Counter
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from polyrank.store import (
    AdaptationPolicy,
    NodeEvidence,
    Review,
    SideEvidence,
    choices_to_json,
    decide,
)
from store_reviews import POLICIES, POLICY, contradicted, member, nodes, review, reviews, root

GROWS = ("expand_adapter", "merge")


def alarmed(node: NodeEvidence, policy: AdaptationPolicy) -> bool:
    """Say from the rule's own words whether a node is in alarm."""
    rise = node.loss - node.base_loss if node.base_loss is not None else 0.0
    return (
        ((node.harm_z or 0.0) > policy.z_loss and rise >= policy.min_harm)
        or (node.novelty_z or 0.0) > policy.z_novelty
        or (node.prior_z or 0.0) > policy.z_prior
        or (node.uninformed_loss is not None and node.loss - node.uninformed_loss > policy.min_harm)
    )


@settings(max_examples=80, deadline=None)
@given(reviews(), POLICIES)
def test_every_node_in_alarm_is_in_exactly_one_choice_and_no_other_is_in_any(
    made: Review, policy: AdaptationPolicy
):
    named = Counter(name for choice in decide(made, policy) for name in choice.nodes)
    assert named == Counter(node.identity for node in made.nodes if alarmed(node, policy))


@settings(max_examples=80, deadline=None)
@given(reviews(), POLICIES)
def test_choices_name_known_members_versions_and_trials_only(
    made: Review, policy: AdaptationPolicy
):
    members = {line.adapter: line for line in made.members}
    versions = {f"{name}@{line.version}" for name, line in members.items()}
    home = {node.identity: node.adapter for node in made.nodes}
    for choice in decide(made, policy):
        assert choice.adapter in members
        assert choice.absorb in members or not choice.absorb
        assert all(home[identity] == choice.adapter for identity in choice.nodes)
        assert choice.nodes == tuple(sorted(choice.nodes))
        targets = {
            "reroute": set(members) - {choice.adapter},
            "pin": {f"{choice.adapter}@{members[choice.adapter].version}"},
            "expand_adapter": versions | {f"{made.family}@0"},
            "merge": {trial.trial for trial in made.trials},
        }
        assert choice.target in targets.get(choice.kind, {choice.adapter})
        assert choice.reason.endswith(".")
        assert "\n" not in choice.reason
        assert json.dumps(choices_to_json([choice]), allow_nan=False)


@settings(max_examples=80, deadline=None)
@given(reviews(), POLICIES)
def test_budgets_hold_and_each_adapter_grows_once(made: Review, policy: AdaptationPolicy):
    found = decide(made, policy)
    members = {line.adapter: line for line in made.members}
    active = {name for name, line in members.items() if line.state == "active"}
    served = {choice.target for choice in found if choice.kind == "reroute"} - active
    new = [choice.adapter for choice in found if choice.kind == "expand_adapter"]
    pinned = [choice.adapter for choice in found if choice.kind == "pin"]
    merged = [choice for choice in found if choice.kind == "merge"]
    assert len(active) + len(served) + len(new) <= max(policy.max_adapters, len(active))
    assert len(set(new)) == len(new)
    assert len(set(pinned)) == len(pinned)
    assert len(merged) <= 1
    assert not {name for choice in merged for name in (choice.adapter, choice.absorb)} & set(new)
    if policy.max_total_bytes is not None and (new or pinned):
        used = sum(line.size_bytes for line in made.members)
        used += sum(members[name].size_bytes for name in pinned)
        starts = [choice.target for choice in found if choice.kind == "expand_adapter"]
        used += sum(members[start.partition("@")[0]].size_bytes for start in starts)
        assert used <= policy.max_total_bytes
    archived = {choice.adapter for choice in found if choice.kind == "archive"}
    assert made.family not in archived
    assert not archived & {choice.target for choice in found if choice.kind == "reroute"}
    if policy.max_rank is not None:
        ranks = [choice for choice in found if choice.kind == "expand_rank"]
        assert all(choice.numbers["new_rank"] <= policy.max_rank for choice in ranks)


@settings(max_examples=60, deadline=None)
@given(reviews(), POLICIES, st.randoms(use_true_random=False))
def test_the_order_of_the_evidence_changes_nothing(
    made: Review, policy: AdaptationPolicy, dice: random.Random
):
    mixed = replace(
        made,
        nodes=tuple(dice.sample(made.nodes, len(made.nodes))),
        members=tuple(dice.sample(made.members, len(made.members))),
        trials=tuple(dice.sample(made.trials, len(made.trials))),
    )
    assert decide(mixed, policy) == decide(made, policy)


@settings(max_examples=150, deadline=None)
@given(st.data(), reviews(most_nodes=0), POLICIES)
def test_one_identity_alone_never_makes_an_adapter_or_a_merge(
    data: st.DataObject, made: Review, policy: AdaptationPolicy
):
    names = [line.adapter for line in made.members]
    liar = data.draw(nodes("liar", names))
    alone = tuple(replace(trial, sides=_by_one(trial.sides)) for trial in made.trials)
    ranks = tuple(replace(rank, identities=min(rank.identities, 1)) for rank in made.ranks)
    found = decide(replace(made, nodes=(liar,), trials=alone, ranks=ranks), policy)
    assert not [choice for choice in found if choice.kind in (*GROWS, "expand_rank")]


def _by_one(sides: tuple[SideEvidence, ...]) -> tuple[SideEvidence, ...]:
    """Return what one identity can answer: it is on one side."""
    return tuple(replace(side, identities=1) for side in sides[:1])


@settings(max_examples=80, deadline=None)
@given(st.data(), POLICIES)
def test_among_quiet_nodes_a_liar_can_move_and_pin_but_nothing_else(
    data: st.DataObject, policy: AdaptationPolicy
):
    members = (root(), member(2), member(3, state="archived", users=0))
    liar = data.draw(nodes("liar", ["demo", "demo/2", "demo/3"]))
    found = decide(review(liar, members=members, quiet={"demo": 9, "demo/2": 9}), policy)
    assert {choice.kind for choice in found} <= {"keep", "reroute", "pin"}
    assert all(choice.nodes == ("liar",) for choice in found)


@settings(max_examples=80, deadline=None)
@given(reviews(), POLICIES)
def test_no_answer_moves_nobody(made: Review, policy: AdaptationPolicy):
    assume(len(made.members) > 1)
    silent = tuple(replace(node, probes=()) for node in made.nodes)
    found = decide(replace(made, nodes=silent, trials=()), policy)
    assert not [choice for choice in found if choice.kind in ("reroute", *GROWS)]


def test_nothing_in_alarm_and_nothing_due_is_no_choice():
    assert decide(review(quiet={"demo": 9}), POLICY) == ()


def test_ten_thousand_nodes_in_alarm_are_one_sentence():
    many = tuple(contradicted(f"n{i:05}", base_windows=0) for i in range(10_000))
    (choice,) = decide(review(*many), POLICY)
    assert len(choice.nodes) == 10_000
    assert len(choice.reason) < 250
