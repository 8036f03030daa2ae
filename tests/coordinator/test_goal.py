"""Rounds that close on a goal: who is late joins a later version, exactly, once, and discounted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from polyrank.aggregation import decode
from polyrank.coordinator._plans import Plan
from polyrank.coordinator._simulation import Simulation, simulate
from polyrank.store import ContributionRecord, Ledger

from .conftest import MakeLoop
from .loop import Loop
from .simulated import config, digests, head, toy
from .test_driver import accepted, address, node

Dense = dict[str, torch.Tensor]
THREE = {
    "ann": {"rank": 4, "rows": 30},
    "bob": {"rank": 2, "rows": 10},
    "slow": {"rank": 3, "rows": 20},
}
ASYNCHRONOUS = {"min_nodes": 2, "goal": 2, "deadline_seconds": 1000.0, "state_rank": 16}


def dense(data: bytes, rank: int | None = None) -> Dense:
    """The deltas of a blob in float64, or of the first `rank` columns and rows of its factors."""
    found = decode(data)
    deltas = {
        name: factors.b.double()[:, :rank] @ factors.a.double()[:rank]
        for name, factors in found.factors.items()
    }
    return deltas | {name: value.double() for name, value in found.dense.items()}


def check_sum(
    ledger: Ledger, number: int, ranks: dict[str, int], discounts: dict[int, float]
) -> list[ContributionRecord]:
    """Hold a version against S + sum_k w_k d(tau_k) (T'_k - T_k), and return what it counted."""
    registry = ledger.registry
    counted = [c for c in ledger.contributions("line") if c.counted_in == number]
    examples = sum(c.num_examples for c in counted)
    head_before = registry.version(f"line@{number - 1}").number
    expected = dense(registry.read(f"line@{head_before}"))
    for c in counted:
        began = dense(registry.read(f"line@{c.start_number}"), ranks[c.identity])
        update = dense(ledger.read_blob(c.digest))
        weight = c.num_examples / examples * discounts[head_before - c.start_number]
        for name, value in update.items():
            expected[name] += weight * (value - began[name])
    found = dense(registry.read(f"line@{number}"))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    return counted


# --------------------------------------------------------------------- one straggler, by hand
STALENESS = {
    "constant": ({}, (1.0, 1.0, 1.0)),
    "exponential": ({"factor": 0.5}, (1.0, 0.5, 0.25)),
    "polynomial": ({"exponent": 2.0}, (1.0, 1 / 4, 1 / 9)),
    "hinge": ({"slope": 3.0, "grace": 1.0}, (1.0, 1.0, 1 / 4)),
}


def after_a_straggler(make_loop: MakeLoop, **line: Any) -> Loop:
    """Make three versions; what `slow` began in round 1 arrives while round 3 is open."""
    loop = make_loop(THREE, rounds=4, **ASYNCHRONOUS, **line)
    loop.run(until=loop.planned)
    slow = address(loop, "slow")
    loop.session.silent.add(slow)
    loop.run(until=lambda: loop.head() == 2)
    loop.session.silent |= {address(loop, "ann"), address(loop, "bob")}
    loop.run(until=lambda: len(loop.registry.rounds("line")) == 3)
    loop.session.silent.remove(slow)
    loop.run(until=lambda: len(accepted(loop, round=1)) == 3)
    loop.session.silent.clear()
    loop.run()
    return loop


@pytest.mark.parametrize("discount", STALENESS)
def test_a_late_update_joins_a_later_version_exactly_with_its_true_start_and_discount(
    make_loop: MakeLoop, discount: str
):
    parameters, discounts = STALENESS[discount]
    loop = after_a_straggler(make_loop, staleness={"discount": discount, **parameters})
    assert loop.head() == 4
    ranks = {n.identity: n.config.max_rank for n in loop.nodes.values()}
    counted = check_sum(loop.ledger, 3, ranks, dict(enumerate(discounts)))
    slow = node(loop, "slow").identity
    assert [(c.round, c.start_number) for c in counted if c.identity == slow] == [(1, 0)]
    assert loop.registry.version("line@3").metrics["late_contributions"] == 1
    check_sum(loop.ledger, 4, ranks, dict(enumerate(discounts)))


def test_a_straggler_is_not_asked_again_while_it_trains_and_nothing_is_counted_twice(
    make_loop: MakeLoop,
):
    loop = after_a_straggler(make_loop)
    slow = node(loop, "slow")
    asked = [t.round for a, t, _ in loop.session.log if loop.nodes[a] is slow and t.kind == "train"]
    assert asked == [1, 4], "it was asked while it was busy, or not any more afterwards"
    assert [t.round for t in slow.trained] == [1, 4]
    tasks = Counter(c.task_key for c in accepted(loop))
    assert set(tasks.values()) == {1}
    assert Counter(c.counted_in for c in accepted(loop)) == {1: 2, 2: 2, 3: 3, 4: 3}
    assert "expired" not in {t.state for t in loop.registry.tasks("line") if t.kind == "train"}


def test_restarts_within_asynchronous_rounds_repeat_no_training(make_loop: MakeLoop):
    loop = make_loop(THREE, rounds=3, **ASYNCHRONOUS)
    slow = address(loop, "slow")
    for _ in range(14):
        loop.session.silent.add(slow)
        loop.run(ticks=5)
        loop.restart()
    assert loop.head() == 3
    loop.run()
    assert all(len(n.trained) == len({t.round for t in n.trained}) for n in loop.nodes.values())
    counted = Counter(c.counted_in for c in accepted(loop) if c.counted_in is not None)
    assert all(counted[number] >= 2 for number in (1, 2, 3))


def test_late_updates_that_reach_the_goal_alone_become_a_version_for_which_nobody_is_asked(
    make_loop: MakeLoop,
):
    four = {name: {"rank": 2} for name in ("ann", "bob", "cyd", "dan")}
    loop = make_loop(four, rounds=3, **{**ASYNCHRONOUS, "min_nodes": 3, "quorum": 2})
    loop.run(until=loop.planned)
    late = {address(loop, name) for name in ("cyd", "dan")}
    loop.session.silent |= late
    loop.run(until=lambda: loop.head() == 1)
    loop.run(ticks=30)
    assert len(loop.registry.rounds("line")) == 1, "three idle nodes are needed, two are there"
    loop.session.silent -= late
    loop.run()
    second, third = loop.registry.rounds("line")[1:3]
    assert (second.state, second.plan["cohort"]) == ("committed", {})
    assert len(third.plan["cohort"]) == 4
    counted = [(c.start_number, c.round) for c in accepted(loop, counted_in=2)]
    assert counted == [(0, 1), (0, 1)]
    assert loop.head() == 3


def test_the_state_keeps_room_for_the_rank_of_a_node_that_still_trains(make_loop: MakeLoop):
    nodes = {"ann": {"rank": 2}, "bob": {"rank": 2}, "slow": {"rank": 6}}
    loop = make_loop(nodes, rounds=3, **{**ASYNCHRONOUS, "state_rank": None})
    loop.run(until=loop.planned)
    loop.session.silent.add(address(loop, "slow"))
    loop.run(until=lambda: len(loop.registry.rounds("line")) == 2)
    loop.session.silent.clear()
    loop.run()
    assert [r.plan["state_rank"] for r in loop.registry.rounds("line")] == [4, 4, 4]
    assert any(c.round == 1 and c.counted_in == 2 for c in accepted(loop))
    assert loop.registry.version("line@2").rank == 4


def test_a_plan_from_before_there_were_goals_and_discounts_is_read():
    old = {
        "cohort": {"a": {"rank": 2, "part_rank": None, "part_error": 0.0}}, "quorum": 1,
        "state_rank": 4, "start": "warm", "seed": 7, "weights": "examples", "late_discount": 0.9,
        "training": {},
    }  # fmt: skip
    plan = Plan.from_json(old)
    assert plan.goal is None
    assert plan.staleness == {"discount": "exponential", "factor": 0.9}
    assert Plan.from_json(plan.to_json()) == plan


# --------------------------------------------------------------------- simulated time
def federation() -> list[Any]:
    return [
        toy("ann", 4, rows=30, training_seconds=10.0),
        toy("bob", 2, rows=10, training_seconds=12.0),
        toy("slow", 3, rows=20, training_seconds=25.0),
    ]


def test_a_slow_node_of_a_simulation_joins_later_versions_and_holds_nobody_up():
    line = {
        "rounds": 5, **ASYNCHRONOUS, "staleness": {"discount": "polynomial", "exponent": 0.5},
    }  # fmt: skip
    nodes = federation()
    with simulate(config(line=line), nodes) as done:
        assert head(done) == 5
        ranks = {n.identity: n.config.max_rank for n in nodes}
        discounts = {tau: (tau + 1) ** -0.5 for tau in range(5)}
        stale = {
            (c.identity == nodes[2].identity, number - 1 - c.start_number)
            for number in range(1, 6)
            for c in check_sum(done.ledger, number, ranks, discounts)
        }
        assert (True, 2) in stale, "the slow node was never late, or never counted"
        assert {tau for is_slow, tau in stale if not is_slow} <= {0, 1}
        quick = done.clock.elapsed_seconds
        asynchronous = digests(done.registry)
    with simulate(config(line=line), federation()) as again:
        assert digests(again.registry) == asynchronous
    with simulate(config(line={**line, "goal": None}), federation()) as waiting:
        assert 5 * 25 <= waiting.clock.elapsed_seconds < 5 * 25 + 60
    assert quick < 100


def test_many_nodes_that_take_their_time_are_waited_for_one_after_the_other():
    nodes = [toy(f"n{i}", training_seconds=1.0 + i) for i in range(20)]
    line = {"rounds": 1, "min_nodes": 20, "evaluate_every": 0}
    with Simulation(config(line=line), nodes) as simulation:
        simulation.run()
        assert head(simulation) == 1
        assert 20 <= simulation.clock.elapsed_seconds < 25
