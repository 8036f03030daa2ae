"""What a round's method can not count is settled with the reason, and no line is stuck by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from polyrank.aggregation import Adapter, Factors, decode, encode
from polyrank.client._protocol import ReplyEnvelope, blob_digest
from polyrank.coordinator._base import Base
from polyrank.coordinator._late import Needs, unfit
from polyrank.coordinator._plans import Plan, Share
from polyrank.store import ContributionRecord

from .conftest import MakeLoop
from .loop import Loop
from .test_driver import accepted, address, events, node

THREE = {"ann": {"rank": 4}, "bob": {"rank": 4}, "slow": {"rank": 4}}
FEDEX = {"min_nodes": 2, "quorum": 2, "method": "fedex", "rank": 2, "evaluate_every": 0}


def cut(reply: ReplyEnvelope, data: bytes) -> tuple[ReplyEnvelope, bytes]:
    """Send the first slot of every module alone."""
    update = decode(bytearray(data))
    factors = {n: Factors(f.b[:, :1].clone(), f.a[:1].clone()) for n, f in update.factors.items()}
    data = encode(Adapter(factors, update.dense))
    return replace(reply, blob_digest=blob_digest(data)), data


def change(loop: Loop, **line: Any) -> None:
    """Change the line's settings, and start a new daemon."""
    changed = loop.config.adapters["line"].model_copy(update=line)
    loop.config = loop.config.model_copy(update={"adapters": {"line": changed}})
    loop.restart()


def reasons(loop: Loop) -> list[str]:
    return [c.reason for c in loop.registry.contributions("line") if c.status == "rejected"]


def assert_nothing_waits(loop: Loop) -> None:
    assert all(c.counted_in is not None for c in accepted(loop))


def test_an_update_of_another_rank_is_refused_by_fedex_and_the_line_goes_on(make_loop: MakeLoop):
    loop = make_loop(THREE, rounds=2, **FEDEX)
    node(loop, "bob").tamper = cut
    loop.run(until=lambda: loop.head() == 2, ticks=200)
    assert all(
        "has rank 1" in reason and "equal rank, here 2" in reason for reason in reasons(loop)
    )
    assert len(reasons(loop)) == 2
    assert {r.state for r in loop.registry.rounds("line")} == {"committed"}


def test_a_node_whose_memory_does_not_hold_the_equal_rank_is_told_why(make_loop: MakeLoop):
    nodes = {**THREE, "small": {"rank": 4, "memory_bytes": 600}}
    loop = make_loop(nodes, rounds=3, **{**FEDEX, "rank": 4})
    loop.run(until=lambda: loop.head() == 3, ticks=200)
    (misfit,) = events(loop, "node_misfit")
    assert misfit["name"] == "small"
    assert "memory_bytes of 600" in misfit["reason"]
    assert "equal ranks of 4" in misfit["reason"]
    shares = [s for r in loop.registry.rounds("line") for s in r.plan["cohort"].values()]
    assert {share["rank"] for share in shares} == {4}


def one_straggler(make_loop: MakeLoop, **line: Any) -> Loop:
    """Make a version of two; the third node's update is still out."""
    more = {"min_nodes": 2, "quorum": 2, "deadline_seconds": 1000.0, "evaluate_every": 0}
    loop = make_loop(THREE, **{"rounds": 3, "goal": 2, **more, **line})
    loop.run(until=loop.planned)
    loop.session.silent.add(address(loop, "slow"))
    loop.run(until=lambda: loop.head() == 1)
    return loop


def test_after_a_change_of_method_the_old_methods_updates_are_settled(make_loop: MakeLoop):
    loop = one_straggler(make_loop)
    change(loop, method="fedex", rank=2, goal=None)
    loop.run(until=lambda: loop.head() == 3, ticks=300)
    (reason,) = reasons(loop)
    assert "trained for method stacking: fedex can not count it" in reason
    assert_nothing_waits(loop)
    (told,) = events(loop, "update_left_out")
    assert told["reason"] == reason


def test_after_a_change_of_rank_fedex_settles_what_has_the_old_one(make_loop: MakeLoop):
    loop = one_straggler(make_loop, method="fedex", rank=2)
    change(loop, rank=3)
    loop.run(until=lambda: loop.head() == 3, ticks=300)
    assert reasons(loop) == ["its rank is 2, and fedex averages factors of rank 3"]
    assert_nothing_waits(loop)


def test_stacking_counts_what_another_method_has_trained(make_loop: MakeLoop):
    loop = one_straggler(make_loop, method="ffa")
    change(loop, method="stacking")
    loop.run(until=lambda: loop.head() == 3, ticks=300)
    assert reasons(loop) == []
    assert_nothing_waits(loop)
    slow = node(loop, "slow").identity
    assert [c.start_number for c in accepted(loop, round=1) if c.identity == slow] == [0]


def test_what_was_accepted_before_ranks_were_checked_is_settled_and_the_next_round_asks_again(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch
):
    """Records of an older daemon: its round had closed with an update of another rank."""
    loop = make_loop({"ann": {"rank": 2}, "bob": {"rank": 2}}, rounds=1, **FEDEX)
    for one in loop.nodes.values():
        one.tamper = cut
    with monkeypatch.context() as older:
        older.setattr("polyrank.coordinator._replies._check_ranks", lambda *_: None)
        older.setattr("polyrank.coordinator._lines.unfit", lambda *_: "")
        loop.run(until=loop.planned)
        loop.run(until=lambda: loop.registry.rounds("line")[0].state == "aggregating")
    for one in loop.nodes.values():
        one.tamper = None
    loop.restart()
    loop.run(until=lambda: loop.head() == 1, ticks=300)
    first, second = loop.registry.rounds("line")
    assert (first.state, second.state) == ("abandoned", "committed")
    assert first.reason.startswith("no contribution is left to count: its rank is 1")
    assert_nothing_waits(loop)


# --------------------------------------------------------------------- the rule, on values
BASE = Base("f" * 64, {"wide": (8, 6), "thin": (8, 1)}, {})
UPDATE = ContributionRecord(
    task_key="k", adapter="line", round=1, identity="ann", status="accepted", reason="", digest="d",
    size_bytes=1, num_examples=1, start_digest="s", start_number=0, rank=4, approximate=False,
    counted_in=None, created_at=datetime.now(UTC),
)  # fmt: skip
PLAN = Plan(
    {"ann": Share(4)}, 1, 8, "warm", 0, "examples", {"discount": "constant"}, {}, method="fedex"
)


@pytest.mark.parametrize(
    ("needs", "rank", "said"),
    [
        (Needs("fedex", "warm", 4), 4, ""),
        (Needs("fedex", "warm", 4), 1, ""),  # of a node that adapts the thin module alone
        (Needs("fedex", "warm", 4), 0, ""),  # of one that trains the head alone
        (Needs("fedex", "warm", 4), 3, "its rank is 3"),
        (Needs("fedex", "warm", 3), 4, "rank 3"),
        (Needs("fedex", "leading", 4), 4, "began with start warm"),
        (Needs("fedit", "leading"), 4, "for method fedex: fedit"),
        (Needs("stacking", "fresh-random"), 3, ""),
        (Needs("florist", "fresh-spectral"), 3, ""),
    ],
)
def test_what_a_round_can_count(needs: Needs, rank: int, said: str):
    found = unfit(needs, BASE, PLAN, replace(UPDATE, rank=rank))
    assert said in found
    assert bool(found) == bool(said)


def test_an_update_of_another_rank_is_told_from_one_of_a_thin_module():
    other = replace(PLAN, cohort={"ann": Share(1)})
    assert "rank 4" in unfit(Needs("fedex", "warm", 4), BASE, other, replace(UPDATE, rank=1))


def test_the_delivered_update_of_a_node_that_left_is_not_cut(make_loop: MakeLoop):
    nodes = {"ann": {"rank": 2}, "bob": {"rank": 2}, "cyn": {"rank": 6}}
    loop = make_loop(nodes, rounds=1, min_nodes=2, deadline_seconds=60.0, evaluate_every=0)
    loop.run(until=loop.planned)
    quiet = {address(loop, "ann"), address(loop, "bob")}
    loop.session.silent |= quiet
    loop.run(until=lambda: len(accepted(loop)) == 1)
    loop.nodes.pop(address(loop, "cyn"))
    for _ in range(2):
        loop.now += 61
        loop.run(ticks=20)
    loop.session.silent.clear()
    loop.run(until=lambda: loop.head() == 1, ticks=3000)
    version = loop.registry.version("line@1")
    assert loop.registry.rounds("line")[-1].plan["state_rank"] == 4
    assert len(accepted(loop, counted_in=1)) == 3
    assert version.metrics["discarded"] < 0.7
    assert version.rank == 4
