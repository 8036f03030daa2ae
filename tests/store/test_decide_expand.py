"""New adapters: what confirms harm, who joins, where it starts, and what forbids it."""

import random
from dataclasses import replace
from statistics import NormalDist

import pytest
from polyrank.store import AdaptationPolicy, NodeEvidence, decide
from store_reviews import POLICY, contradicted, harmed, member, novel, probe, quiet, review, root

TWO = (root(), member(2))
TRIED = (probe("demo/2", 0.03, 0.07),)


def choose(*nodes: NodeEvidence, policy: AdaptationPolicy = POLICY, **values: object):
    return decide(review(*nodes, **{"quiet": {"demo": 4}} | values), policy)


def lasting(identity: str, **values: object) -> NodeEvidence:
    """Return a node whose harm is in its second of three windows."""
    return harmed(identity, **{"recent_harm": (False, True, False)} | values)


def test_two_nodes_whose_labels_contradict_get_an_adapter_at_once():
    (choice,) = choose(
        contradicted("bob", harm_z=4.8, loss=1.11, base_loss=0.5, probes=TRIED),
        contradicted("ann", harm_z=5.2, loss=1.11, base_loss=0.5, probes=TRIED),
        members=TWO,
    )
    assert choice.kind == "expand_adapter"
    assert (choice.adapter, choice.target, choice.nodes) == ("demo", "demo@0", ("ann", "bob"))
    assert choice.reason == (
        "2 nodes of demo lose 0.61 nats against their base (z 5.2 and 4.8, threshold 2.33), worse "
        "than knowing nothing; no stored adapter cures it (best: demo/2, gain 0.03, z 0.4): a new "
        "adapter from demo@0, which knows nothing."
    )
    assert choice.numbers == {
        "nodes": 2, "loss_rise": 0.61, "harm_z_least": 4.8, "harm_z_most": 5.2, "z_loss": 2.33,
        "loss_above_uninformed": 0.42, "severe": 2, "lasting": 0, "best_gain": 0.03,
        "best_z": 0.428571, "windows": 6, "expansion_level": 0.001,
        "false_alarm_chance": choice.numbers["false_alarm_chance"],
    }  # fmt: skip
    assert choice.numbers["false_alarm_chance"] < 0.001


def test_milder_harm_must_last():
    (first,) = choose(harmed("ann"), harmed("bob"))
    assert first.kind == "keep"
    assert first.reason.endswith("2 harmful windows of 3 would confirm it: they stay.")
    (second,) = choose(lasting("ann"), lasting("bob"))
    assert second.kind == "expand_adapter"
    assert "in at least 2 of the last 3 windows; there is no other stored adapter" in second.reason


def test_milder_harm_does_not_join_nodes_enough_in_severe_harm():
    found = choose(contradicted("ann"), contradicted("bob"), lasting("cyd"))
    assert [(choice.kind, choice.nodes) for choice in found] == [
        ("expand_adapter", ("ann", "bob")),
        ("keep", ("cyd",)),
    ]
    assert "they come first" in found[1].reason
    (both,) = choose(contradicted("ann"), lasting("cyd"))
    assert both.nodes == ("ann", "cyd")


def test_harm_that_lies_too_far_back_confirms_nothing():
    long_ago = {"recent_harm": (True, True, False, False)}
    (choice,) = choose(lasting("ann", **long_ago), lasting("bob", **long_ago))
    assert choice.kind == "keep"


def test_harm_of_the_past_alone_is_no_harm():
    over = {"recent_harm": (True, True)}
    assert choose(quiet("ann", **over), quiet("bob", **over)) == ()


def test_a_rise_that_is_sure_but_tiny_is_no_harm():
    tiny = {"loss": 0.519, "harm_z": 9.0}
    assert choose(lasting("ann", **tiny), lasting("bob", **tiny)) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"balanced_accuracy": 0.7},  # difficult, not contradictory
        {"balanced_accuracy": 0.6, "harm_z": 3.0},  # not surely worse than knowing nothing
        {"chance": 1.0, "balanced_accuracy": 0.9},  # one class only: no chance to compare with
        {"balanced_accuracy": 0.6, "chance_error": 0.03},  # surely better than guessing
        {"loss": 0.69},  # not worse than knowing nothing
        {"uninformed_loss": None},
        {"base_windows": 3},
    ],
)
def test_severe_means_no_better_than_chance_and_worse_than_knowing_nothing(change: dict):
    (choice,) = choose(contradicted("ann", **change), contradicted("bob", **change))
    assert choice.kind == "keep"


def test_labels_of_which_some_contradict_count_at_once_and_what_agrees_is_not_unlearned():
    mixed = {"balanced_accuracy": 0.6, "rows": 64}  # 1.6 standard errors above guessing
    (choice,) = choose(contradicted("ann", **mixed), contradicted("bob", **mixed))
    assert (choice.kind, choice.target, choice.numbers["severe"]) == ("expand_adapter", "demo@7", 2)
    mixed["rows"] = 640
    (choice,) = choose(contradicted("ann", **mixed), contradicted("bob", **mixed))
    assert choice.kind == "keep", "with so many rows they are surely better than guessing"
    unsure = {"balanced_accuracy": 0.4, "rows": 64}
    (choice,) = choose(contradicted("ann", **unsure), contradicted("bob", **unsure))
    assert choice.target == "demo@7", "by so few rows it is not sure that the adapter misleads"


def test_a_language_model_has_no_chance_level_its_base_loss_says_it_all():
    tokens = {"balanced_accuracy": None, "chance": None, "uninformed_loss": 3.1, "base_loss": 2.9}
    severe = [contradicted(name, loss=3.4, **tokens) for name in ("ann", "bob")]
    (choice,) = choose(*severe)
    assert (choice.kind, choice.target) == ("expand_adapter", "demo@7")
    mild = [contradicted(name, loss=3.11, **tokens) for name in ("ann", "bob")]
    assert choose(*mild)[0].kind == "keep"


def test_one_identity_alone_is_not_enough():
    (choice,) = choose(contradicted("ann", recent_harm=(True, True)))
    assert choice.kind == "keep"
    assert "no stored adapter cures it, and a new one takes 2 nodes" in choice.reason


def test_groups_are_of_one_adapter():
    elsewhere = contradicted("bob", adapter="demo/2", probes=(probe("demo", 0.0),))
    found = choose(contradicted("ann", probes=TRIED), elsewhere, members=TWO)
    assert [choice.kind for choice in found] == ["keep", "keep"]


def test_who_has_not_tried_every_other_adapter_waits():
    both = choose(contradicted("ann"), contradicted("bob", probes=TRIED), members=TWO)
    assert [(choice.kind, choice.nodes) for choice in both] == [
        ("keep", ("bob",)),
        ("keep", ("ann",)),
    ]
    assert "still untried on these rows" in both[1].reason
    more = choose(
        contradicted("ann"),
        contradicted("bob", probes=TRIED),
        contradicted("cyd", probes=TRIED),
        members=TWO,
    )
    assert {choice.kind: choice.nodes for choice in more} == {
        "expand_adapter": ("bob", "cyd"),
        "keep": ("ann",),
    }


def test_who_is_cured_by_a_re_route_does_not_join():
    cured = contradicted("ann", probes=(probe("demo/2", 0.9),))
    found = choose(
        cured, contradicted("bob", probes=TRIED), contradicted("cyd", probes=TRIED), members=TWO
    )
    assert {choice.kind: choice.nodes for choice in found} == {
        "reroute": ("ann",),
        "expand_adapter": ("bob", "cyd"),
    }


def test_who_would_be_cured_but_has_just_moved_does_not_join_either():
    cure = {"since_move": 1, "probes": (probe("demo/2", 0.5),)}
    (choice,) = choose(lasting("ann", **cure), lasting("bob", **cure), members=TWO)
    assert choice.kind == "keep"
    assert "another serves better" in choice.reason


def test_it_starts_from_the_best_for_the_group_where_that_is_not_below_chance():
    same = choose(lasting("ann", probes=TRIED), lasting("bob", probes=TRIED), members=TWO)
    assert same[0].target == "demo/2@3", "gain 0.03 is not sure enough to move, but the best start"
    worse = (probe("demo/2", 0.01),)
    found = choose(lasting("ann", probes=worse), lasting("bob", probes=worse), members=TWO)
    assert found[0].target == "demo@7"


def test_below_chance_it_starts_from_a_stored_one_only_if_that_knows_something():
    unsure = (probe("demo/2", 0.6, 0.5),)
    found = choose(
        contradicted("ann", probes=unsure), contradicted("bob", probes=unsure), members=TWO
    )
    assert found[0].target == "demo/2@3", "1.2 - 0.6 nats is better than 0.69"


def test_one_node_does_not_choose_the_start_for_the_others():
    members = (*TWO, member(3))
    lie = (probe("demo/2", -0.1), probe("demo/3", 1e9, 1e9))
    honest = (probe("demo/2", 0.1), probe("demo/3", -0.5))
    nodes = [lasting("liar", probes=lie), lasting("ann", probes=honest)]
    found = choose(*nodes, lasting("bob", probes=honest), members=members)
    assert found[0].target == "demo/2@3"


def test_two_of_six_are_a_group_two_of_ten_thousand_are_noise():
    pair = (lasting("ann"), lasting("bob"))
    (few,) = choose(*pair, quiet={"demo": 4})
    assert few.kind == "expand_adapter"
    (many,) = choose(*pair, quiet={"demo": 9_998})
    assert many.kind == "keep"
    assert "among 10000 nodes false alarms alone would bring forth as many" in many.reason
    assert many.numbers["false_alarm_chance"] == 1.0


@pytest.mark.parametrize(
    ("recent", "most"), [((), 13), ((True,), 27), ((True, True), 1078), ((True, True, True), 1078)]
)
def test_the_longer_a_pair_is_in_harm_the_more_nodes_it_is_heard_among(
    recent: tuple[bool, ...], most: int
):
    pair = [contradicted(name, recent_harm=recent) for name in ("ann", "bob")]
    for windows, kind in ((2, "expand_adapter"), (most, "expand_adapter"), (most + 1, "keep")):
        assert choose(*pair, quiet={"demo": windows - 2})[0].kind == kind


def alarms_of(nodes: int, dice: random.Random) -> list[NodeEvidence]:
    """Return the harmful windows of so many quiet nodes, whose three windows share a base."""
    limit, found = NormalDist().inv_cdf(0.99), list[NodeEvidence]()
    for index in range(nodes):
        base = dice.gauss(0, 0.5)
        z = [(dice.gauss(0, 1) - base) / 1.25**0.5 for _ in range(3)]
        if z[2] > limit:
            past = tuple(value > limit for value in z[:2])
            found.append(harmed(f"n{index:03}", harm_z=z[2] + 0.01, recent_harm=past))
    return found


def test_quiet_nodes_hardly_ever_get_an_adapter():
    dice = random.Random(3)
    found = dict.fromkeys((0.001, 0.5), 0)
    for _ in range(1500):
        alarms = alarms_of(100, dice)
        for level in found:
            policy = replace(POLICY, expansion_level=level)
            chosen = choose(*alarms, policy=policy, quiet={"demo": 100 - len(alarms)})
            found[level] += any(choice.kind == "expand_adapter" for choice in chosen)
    assert found[0.001] <= 4
    assert found[0.5] >= 1, "the guard was needed"


def test_budgets_forbid_a_new_adapter_and_say_so():
    pair = (contradicted("ann"), contradicted("bob"))
    (full,) = choose(*pair, policy=replace(POLICY, max_adapters=1))
    assert full.kind == "keep"
    assert "but there would be 2 active adapters (at most 1): they stay." in full.reason
    (heavy,) = choose(*pair, policy=replace(POLICY, max_total_bytes=1999))
    assert heavy.kind == "keep"
    assert "but the family would keep 2000 bytes (at most 1999): they stay." in heavy.reason
    (fits,) = choose(*pair, policy=replace(POLICY, max_total_bytes=2000, max_adapters=2))
    assert fits.kind == "expand_adapter"


def test_an_adapter_that_returns_to_service_takes_its_place_in_the_budget():
    members = (root(), member(2, state="archived", users=0))
    cured = contradicted("ann", probes=(probe("demo/2", 0.9),))
    pair = [contradicted(name, probes=TRIED) for name in ("bob", "cyd")]
    found = choose(cured, *pair, members=members, policy=replace(POLICY, max_adapters=2))
    assert [choice.kind for choice in found] == ["reroute", "keep"]
    assert "there would be 3 active adapters (at most 2)" in found[1].reason
    assert choose(*pair, members=members, policy=replace(POLICY, max_adapters=2))[0].kind == (
        "expand_adapter"
    )


def test_the_larger_group_comes_first_when_there_is_room_for_one():
    here = [contradicted(name, probes=TRIED) for name in ("ann", "bob")]
    tried = (probe("demo", 0.0),)
    there = [contradicted(name, adapter="demo/2", probes=tried) for name in ("cyd", "dan", "eve")]
    found = choose(*here, *there, members=TWO, policy=replace(POLICY, max_adapters=3))
    assert {choice.kind: choice.adapter for choice in found} == {
        "expand_adapter": "demo/2",
        "keep": "demo",
    }
    both = choose(*here, *there, members=TWO)
    assert [(choice.kind, choice.adapter) for choice in both] == [
        ("expand_adapter", "demo"),
        ("expand_adapter", "demo/2"),
    ]


def test_new_data_beside_harm_joins_the_group_of_harm():
    nodes = [replace(novel(name), loss=1.2, harm_z=9.0, balanced_accuracy=0.2) for name in "ab"]
    (choice,) = choose(*nodes)
    assert (choice.kind, choice.nodes) == ("expand_adapter", ("a", "b"))


def test_severe_and_lasting_harm_are_told_apart_in_the_sentence():
    (choice,) = choose(contradicted("ann"), lasting("bob"))
    assert (
        "1 of them worse than knowing nothing, the others in at least 2 of the last 3 windows"
        in choice.reason
    )
