"""Re-routes: who moves where, and who does not."""

from dataclasses import replace

import pytest
from polyrank.store import AdaptationPolicy, Choice, NodeEvidence, Review, decide
from store_reviews import POLICY, contradicted, harmed, member, novel, probe, quiet, review, root

TWO = (root(), member(2))


def choose(*nodes: NodeEvidence, policy: AdaptationPolicy = POLICY, **values: object):
    return decide(review(*nodes, **{"members": TWO} | values), policy)


def test_a_node_moves_to_the_adapter_that_serves_it_surely_better():
    (choice,) = choose(harmed("ann", probes=(probe("demo/2", 0.4),)))
    assert choice.kind == "reroute"
    assert (choice.adapter, choice.target, choice.nodes) == ("demo", "demo/2", ("ann",))
    assert choice.reason == (
        "1 node of demo loses 0.10 nats against its base (z 4.0, threshold 2.33) and gains 0.40 "
        "nats with demo/2 on the same rows (z 8.0, threshold 3.085): it moves there."
    )
    assert choice.numbers == {
        "nodes": 1, "loss_rise": 0.1, "harm_z_least": 4.0, "harm_z_most": 4.0, "z_loss": 2.33,
        "gain": 0.4, "gain_z_least": 8.0, "gain_z_most": 8.0, "z_pair": 3.085, "min_gain": 0.02,
    }  # fmt: skip


@pytest.mark.parametrize(
    "node",
    [
        harmed("ann"),
        harmed("ann", base_windows=1),
        novel("ann"),
        novel("ann", base_windows=0, base_loss=None, harm_z=None),
        quiet("ann", loss=0.8),
        contradicted("ann", since_move=0),
    ],
)
def test_harm_novelty_and_a_loss_above_the_uninformed_one_may_all_move_a_node(node: NodeEvidence):
    (choice,) = choose(replace(node, probes=(probe("demo/2", 0.4),)))
    assert (choice.kind, choice.target) == ("reroute", "demo/2")


@pytest.mark.parametrize(
    "better",
    [
        probe("demo/2", 0.12, 0.05),  # z 2.4
        probe("demo/2", 0.019, 0.0001),  # under min_gain
        probe("demo/2", -0.4),
        probe("demo/2", 0.4, rows=7),
    ],
)
def test_a_gain_that_is_unsure_or_small_moves_nobody(better):
    (choice,) = choose(harmed("ann", probes=(better,)))
    assert choice.kind == "keep"


@pytest.mark.parametrize("node", [quiet("ann"), quiet("ann", loss=0.70)])
def test_without_an_alarm_a_better_adapter_moves_nobody(node: NodeEvidence):
    assert choose(replace(node, probes=(probe("demo/2", 0.4),))) == ()


def test_a_prior_shift_alone_moves_nobody_and_is_recorded():
    (choice,) = choose(quiet("ann", prior_z=5.0, probes=(probe("demo/2", 0.4),)))
    assert choice.kind == "keep"
    assert choice.reason == (
        "1 node of demo sees other label frequencies (z 5.0, threshold 2.33); without harm that is "
        "no reason to change anything: it stays."
    )


def test_of_several_better_ones_the_largest_gain_wins_then_the_surer_then_the_name():
    members = (*TWO, member(3), member(4))
    gains = (probe("demo/2", 0.3, 0.05), probe("demo/3", 0.4, 0.1), probe("demo/4", 0.4, 0.05))
    (choice,) = choose(harmed("ann", probes=gains), members=members)
    assert choice.target == "demo/4"
    tied = (probe("demo/3", 0.3), probe("demo/2", 0.3))
    (choice,) = choose(harmed("ann", probes=tied), members=members)
    assert choice.target == "demo/2"


def test_nodes_with_the_same_way_share_one_choice():
    ways = (probe("demo/2", 0.4),)
    (choice,) = choose(*(harmed(name, probes=ways) for name in ("cyd", "ann", "dan", "bob")))
    assert choice.nodes == ("ann", "bob", "cyd", "dan")
    assert "z 8.0 to 8.0" in choice.reason
    assert choice.reason.startswith("4 nodes of demo lose 0.10 nats against their base (z 4.0 to")


def test_a_window_of_few_rows_moves_nobody():
    (choice,) = choose(harmed("ann", rows=7, probes=(probe("demo/2", 0.4),)))
    assert choice.kind == "keep"
    assert "fewer than 8 rows" in choice.reason


@pytest.mark.parametrize(("since", "kind"), [(0, "keep"), (2, "keep"), (3, "reroute")])
def test_a_node_rests_after_a_move(since: int, kind: str):
    (choice,) = choose(novel("ann", since_move=since, probes=(probe("demo/2", 0.4),)))
    assert choice.kind == kind
    if kind == "keep":
        assert "another serves better, but the last move was within 3 reviews" in choice.reason


def flap(review_count: int, **values: object) -> int:
    """Let one node report, each time, that the other adapter is better; count its moves."""
    here, there, since, moves = "demo", "demo/2", None, 0
    for number in range(1, review_count + 1):
        node = harmed("ann", adapter=here, since_move=since, probes=(probe(there, 0.4),), **values)
        found = choose(node, number=number)
        moved = [choice for choice in found if choice.kind == "reroute"]
        since = 0 if moved else None if since is None else since + 1
        moves += len(moved)
        here, there = (there, here) if moved else (here, there)
    return moves


def test_a_node_that_always_wants_to_be_elsewhere_moves_once_in_a_while():
    assert flap(41) == 11
    assert flap(41, loss=5.0) == 41, "but at once where it does worse than knowing nothing"


def test_an_archived_adapter_returns_to_service():
    members = (root(), member(2, state="archived", users=0))
    (choice,) = choose(harmed("ann", probes=(probe("demo/2", 0.4),)), members=members)
    assert choice.kind == "reroute"
    assert choice.reason.endswith("it moves there, which returns to service.")


def test_only_so_many_archived_adapters_return_and_the_others_nodes_take_the_next_best():
    away = [member(number, state="archived", users=0) for number in (3, 4)]
    members = (root(), member(2), *away)
    nodes = (
        harmed("ann", probes=(probe("demo/3", 0.5), probe("demo/2", 0.2))),
        harmed("bob", probes=(probe("demo/4", 0.5),)),
        harmed("cyd", probes=(probe("demo/4", 0.5),)),
        harmed("dan", probes=(probe("demo/3", 0.5),)),
        harmed("eve", probes=(probe("demo/4", 0.5),)),
    )
    policy = replace(POLICY, max_adapters=3)
    found = decide(Review(family="demo", number=10, members=members, nodes=nodes), policy)
    ways = {choice.target: choice.nodes for choice in found if choice.kind == "reroute"}
    assert ways == {"demo/4": ("bob", "cyd", "eve"), "demo/2": ("ann",)}
    (kept,) = [choice for choice in found if choice.kind == "keep"]
    assert kept.nodes == ("dan",)
    assert "a better adapter is archived, and 3 active ones are the most allowed" in kept.reason


def test_a_liar_moves_itself_alone():
    lie = contradicted("liar", loss=1e9, harm_z=1e9, probes=(probe("demo/2", 1e9, 0.0),))
    honest = novel("ann", probes=(probe("demo/2", -0.1),))
    found: dict[str, Choice] = {name: c for c in choose(lie, honest) for name in c.nodes}
    assert found["liar"].kind == "reroute"
    alone = {name: c for c in choose(honest, quiet={"demo": 1}) for name in c.nodes}
    assert found["ann"] == alone["ann"]


def newcomer(identity: str, **values: object) -> NodeEvidence:
    first = {"newcomer": True, "base_windows": 0, "base_loss": None, "harm_z": None}
    return quiet(identity, **first | values)


def test_a_newcomer_starts_where_it_is_surely_served_better_without_any_alarm():
    (choice,) = choose(newcomer("ann", probes=(probe("demo/2", 0.4),)))
    assert (choice.kind, choice.target, choice.nodes) == ("reroute", "demo/2", ("ann",))
    assert choice.reason == (
        "1 node of demo is new and gains 0.40 nats with demo/2 on the same rows (z 8.0, threshold "
        f"{POLICY.z_pair:g}): it moves there."
    )
    both = choose(
        newcomer("ann", probes=(probe("demo/2", 0.4),)), harmed("bob", probes=(probe("demo/2", 1),))
    )
    assert "2 nodes of demo are in alarm or new (1 in harm, 1 new) and gain" in both[0].reason


@pytest.mark.parametrize(
    "values",
    [
        {"probes": (probe("demo/2", 0.12, 0.06),)},
        {"probes": (probe("demo/2", 0.4),), "rows": 7},
        {"probes": (probe("demo/2", -0.4),)},
        {"probes": ()},
    ],
)
def test_a_newcomer_that_is_not_surely_better_off_elsewhere_stays_and_nothing_is_said(values):
    assert choose(newcomer("ann", **values)) == ()
