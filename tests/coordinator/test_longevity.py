"""Months of one daemon: what must not grow, spin, or stand still."""

from __future__ import annotations

from polyrank.client._wire import Failure

from .conftest import MakeLoop
from .test_driver import TWO, address, events


def test_a_clock_that_is_set_back_stops_nothing(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1)
    loop.run(until=loop.planned)
    loop.session.failing[address(loop, "bob")] = Failure("", 0, 5, "expired")
    loop.run(until=lambda: events(loop, "reply_lost"))
    loop.now -= 3600
    bob = loop.nodes.pop(address(loop, "bob"))
    bob.process_id = 2
    loop.nodes[555] = bob
    loop.run(ticks=60)
    assert loop.head() == 1


def test_a_peer_that_cannot_introduce_itself_is_asked_less_and_less(make_loop: MakeLoop):
    loop = make_loop({**TWO, "odd": {}}, rounds=1, min_nodes=2)
    odd = address(loop, "odd")
    for _ in range(200):
        loop.session.failing[odd] = Failure("", 0, 0, "no\nrecord")
        loop.driver.tick()
        loop.now += 0.6
    asked = [t for a, t, _ in loop.session.log if a == odd]
    assert 5 <= len(asked) <= 10
    assert {e["reason"] for e in events(loop, "node_silent")} == {"no?record"}
    loop.session.failing.clear()
    loop.now += 60
    loop.run(until=lambda: "odd" in {n.name for n in loop.registry.nodes()})


def test_rounds_that_are_over_are_not_kept_in_memory(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1, deadline_seconds=1)
    loop.run(until=loop.planned)
    loop.session.silent |= set(loop.nodes)
    loop.run(until=lambda: len(loop.registry.rounds("line")) == 8)
    (line,) = loop.driver._lines.values()
    assert len(line._rounds) < 4
    loop.restart()
    (line,) = loop.driver._lines.values()
    assert len(line._rounds) < 4
    loop.session.silent.clear()
    loop.run()
    assert loop.head() == 1


def test_a_line_whose_bytes_are_lost_stops_alone_and_goes_on_once_they_are_back(
    make_loop: MakeLoop,
):
    lines = {
        "line": {"rounds": 2, "min_nodes": 2},
        "other": {"rounds": 2, "min_nodes": 2, "seed": 1},
    }
    loop = make_loop(TWO, lines=lines)
    loop.run(until=loop.planned)
    blobs = loop.ledger._blobs._blobs
    digest = loop.registry.version("line@0").digest
    whole = blobs.pop(digest)
    loop.run(until=lambda: loop.head("other") == 2)
    assert loop.head("line") == 0
    assert "does not exist" in events(loop, "line_stopped")[0]["reason"]
    loop.restart()
    blobs[digest] = whole
    loop.now += 61
    loop.run()
    assert loop.head("line") == 2


def test_a_line_that_an_operator_retires_stops_alone(make_loop: MakeLoop):
    lines = {
        "line": {"rounds": 3, "min_nodes": 2},
        "other": {"rounds": 3, "min_nodes": 2, "seed": 1},
    }
    loop = make_loop(TWO, lines=lines)
    loop.run(until=lambda: loop.head() == 1)
    loop.registry.retire_adapter("line")
    loop.run(until=lambda: loop.head("other") == 3)
    assert loop.head() < 3
    assert "a retired one" in events(loop, "line_stopped")[0]["reason"]
