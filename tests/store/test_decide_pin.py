"""Pins: new data without harm keeps what was there before."""

from dataclasses import replace

import pytest
from polyrank.store import AdaptationPolicy, NodeEvidence, decide
from store_reviews import POLICY, contradicted, harmed, member, novel, probe, quiet, review, root


def choose(*nodes: NodeEvidence, policy: AdaptationPolicy = POLICY, **values: object):
    return decide(review(*nodes, **{"quiet": {"demo": 3}} | values), policy)


def test_new_data_without_harm_pins_the_version_before_it_and_moves_nobody():
    (choice,) = choose(novel("ann"))
    assert (choice.kind, choice.adapter, choice.target) == ("pin", "demo", "demo@7")
    assert choice.nodes == ("ann",)
    assert choice.reason == (
        "1 node of demo sees new data (z 6.0, threshold 2.33) without harm: demo@7 is kept for "
        "good as it was before, and it stays."
    )
    assert choice.numbers["novelty_z_most"] == 6.0


def test_an_adapter_is_pinned_once_for_all_nodes_that_see_new_data():
    (choice,) = choose(novel("bob"), novel("ann"))
    assert (choice.kind, choice.nodes) == ("pin", ("ann", "bob"))


def test_harm_is_no_reason_for_a_pin():
    (choice,) = choose(replace(novel("ann"), loss=0.6, harm_z=4.0))
    assert choice.kind == "keep"


@pytest.mark.parametrize(
    "node",
    [
        novel("ann", base_windows=3),
        novel("ann", rows=7),
        novel("ann", since_move=1, probes=(probe("demo/2", 0.5),)),
    ],
)
def test_a_short_base_a_small_window_and_a_recent_move_pin_nothing(node: NodeEvidence):
    (choice,) = choose(node, members=(root(), member(2)))
    assert choice.kind == "keep"


@pytest.mark.parametrize(("pinned", "kind"), [(7, "keep"), (6, "pin"), (None, "pin")])
def test_an_adapter_rests_after_a_pin(pinned: int | None, kind: str):
    (choice,) = choose(novel("ann"), members=(root(pinned=pinned),), number=10)
    assert choice.kind == kind
    if kind == "keep":
        assert "without harm, and demo was pinned in review 7: it stays." in choice.reason


def test_a_weak_sign_in_one_of_many_windows_is_noise_a_strong_one_is_not():
    weak = novel("ann", novelty_z=2.4)
    assert choose(weak)[0].kind == "pin"
    (noise,) = choose(weak, quiet={"demo": 99})
    assert noise.kind == "keep"
    assert "among 100 nodes false alarms alone would bring that forth with chance 0.63" in (
        noise.reason
    )
    assert choose(novel("ann", novelty_z=5.0), quiet={"demo": 99})[0].kind == "pin"
    many = [novel(f"n{i}", novelty_z=2.4) for i in range(5)]
    assert choose(*many, quiet={"demo": 95})[0].kind == "pin"


def test_a_pin_that_the_budget_does_not_hold_is_left_out():
    (choice,) = choose(novel("ann"), policy=replace(POLICY, max_total_bytes=1999))
    assert choice.kind == "keep"
    assert "the family would keep 2000 bytes (at most 1999)" in choice.reason


def test_what_earlier_pins_keep_counts_against_the_budget():
    members = (root(pinned_bytes=500),)
    policy = replace(POLICY, max_total_bytes=2499)
    (choice,) = choose(novel("ann"), members=members, policy=policy)
    assert "the family would keep 2500 bytes (at most 2499)" in choice.reason
    more = replace(policy, max_total_bytes=2500)
    assert choose(novel("ann"), members=members, policy=more)[0].kind == "pin"


def test_what_one_pin_takes_is_gone_for_the_next():
    both = (novel("ann"), novel("bob", adapter="demo/2"))
    policy = replace(POLICY, max_total_bytes=3000)
    found = choose(*both, members=(root(), member(2)), policy=policy)
    assert [(choice.kind, choice.adapter) for choice in found] == [
        ("pin", "demo"),
        ("keep", "demo/2"),
    ]


def test_an_adapter_that_some_leave_is_pinned_for_the_others():
    found = choose(contradicted("ann"), contradicted("bob"), novel("cyd"))
    assert [(choice.kind, choice.nodes) for choice in found] == [
        ("expand_adapter", ("ann", "bob")),
        ("pin", ("cyd",)),
    ]


def test_a_node_that_always_sees_new_data_pins_once_in_a_while():
    pinned, pins = None, 0
    for number in range(1, 42):
        members = (root(pinned=pinned),)
        (choice,) = choose(novel("liar"), members=members, number=number)
        if choice.kind == "pin":
            pinned, pins = number, pins + 1
    assert pins == 11


def test_nodes_that_stay_are_told_by_cause_and_adapter():
    found = choose(
        quiet("ann", prior_z=3.0), quiet("bob", prior_z=4.0), harmed("cyd"),
        quiet("dan", loss=0.8, harm_z=0.0, base_loss=0.8), quiet("eve", loss=0.8, base_windows=0),
        harmed("fay", base_windows=2), quiet("gus", loss=0.9, rows=3),
        quiet("hal", adapter="demo/2", prior_z=3.0), members=(root(), member(2)),
    )  # fmt: skip
    assert {choice.kind for choice in found} == {"keep"}
    assert [(choice.adapter, choice.nodes) for choice in found] == [
        ("demo", ("dan", "eve")),
        ("demo", ("ann", "bob")),
        ("demo", ("gus",)),
        ("demo", ("cyd",)),
        ("demo", ("fay",)),
        ("demo/2", ("hal",)),
    ]
    assert found[0].reason == (
        "2 nodes of demo lose 0.11 nats more than knowing nothing (threshold 0.02); the loss has "
        "not risen and no stored adapter is known to serve better: they stay."
    )
