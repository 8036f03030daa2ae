"""The driver over a real ledger, with toy nodes in one process."""

from __future__ import annotations

import json
import math

import pytest
import torch
from polyrank.aggregation import decode, leading
from polyrank.client._protocol import KeyPair
from polyrank.client._wire import Failure, LinkLost
from polyrank.coordinator import StaleDriver

from .conftest import MakeLoop
from .loop import Loop, LoopNode

TWO = {"ann": {"rank": 4}, "bob": {"rank": 2}}


def node(loop: Loop, name: str) -> LoopNode:
    return next(node for node in loop.nodes.values() if node.name == name)


def address(loop: Loop, name: str) -> int:
    return next(a for a, node in loop.nodes.items() if node.name == name)


def accepted(loop: Loop, **where: object) -> list:
    found = loop.registry.contributions("line")
    return [c for c in found if c.status == "accepted" and _fits(c, where)]


def _fits(record: object, where: dict[str, object]) -> bool:
    return all(getattr(record, key) == value for key, value in where.items())


def events(loop: Loop, name: str) -> list[dict]:
    path = loop.folder / "log" / "daemon.jsonl"
    return [e for e in map(json.loads, path.read_text().splitlines()) if e["event"] == name]


def dense_of(loop: Loop, data: bytes) -> dict[str, torch.Tensor]:
    adapter = decode(data)
    deltas = {name: f.b.double() @ f.a.double() for name, f in adapter.factors.items()}
    return deltas | {name: value.double() for name, value in adapter.dense.items()}


def test_rounds_run_to_the_last_version_and_every_node_evaluates_each(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=3)
    loop.run()
    assert loop.head() == 3
    assert {v.number: v.rank for v in loop.registry.versions("line").items} == {
        0: 0,
        1: 3,
        2: 3,
        3: 3,
    }
    for number in range(4):
        measured = {m.identity for m in loop.registry.metrics(f"line@{number}") if m.identity}
        assert measured == {n.identity for n in loop.nodes.values()}
    assert loop.registry.version("line@stable").number == 3
    assert all(t.state == "done" for t in loop.registry.tasks("line"))
    before, after = (
        [m.value for m in loop.registry.metrics(f"line@{n}") if m.identity and m.name == "loss"]
        for n in (0, 3)
    )
    assert sum(after) < sum(before), "the nodes learn nothing"


@pytest.mark.parametrize("start", ["warm", "fresh-random", "fresh-spectral"])
@pytest.mark.parametrize("weights", ["examples", "per_module"])
def test_a_version_is_the_dense_sum_of_its_counted_updates(
    make_loop: MakeLoop, start: str, weights: str
):
    nodes = {"ann": {"rank": 4, "rows": 30}, "bob": {"rank": 2, "rows": 10}}
    loop = make_loop(nodes, start=start, weights=weights, state_rank=8)
    loop.run()
    state = dense_of(loop, loop.registry.read("line@1"))
    expected = {name: value.clone() for name, value in state.items()}
    for record in accepted(loop, counted_in=2):
        update = dense_of(loop, loop.ledger.read_blob(record.digest))
        weight = record.num_examples / 40
        rank = {30: 4, 10: 2}[record.num_examples] if start == "warm" else 0
        began = dense_of(loop, loop.registry.read("line@1"))
        part = leading(decode(loop.registry.read("line@1")), rank)
        for name, factors in part.factors.items():
            began[name] = factors.b.double() @ factors.a.double()
        for name in expected:
            expected[name] += weight * (update[name] - began[name])
    found = dense_of(loop, loop.registry.read("line@2"))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_versions_the_nodes_keep_are_the_stable_ones(make_loop: MakeLoop):
    loop = make_loop(TWO)
    loop.run()
    kept = {task.start_number: task.stable for task in node(loop, "ann").evaluated}
    assert kept == {0: False, 1: True, 2: True}


def test_evaluations_are_as_rare_as_configured_but_the_last_version_is_always_due(
    make_loop: MakeLoop,
):
    loop = make_loop(TWO, rounds=5, evaluate_every=3)
    loop.run()
    assert [t.start_number for t in node(loop, "ann").evaluated] == [0, 3, 5]


# --------------------------------------------------------------------- bad replies
def nan_blob(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[-4:] = b"\x00\x00\xc0\x7f"
    return bytes(changed)


def with_blob(change):
    from dataclasses import replace

    from polyrank.client._protocol import blob_digest

    def tamper(reply, data):
        new = change(data)
        return replace(reply, blob_digest=blob_digest(new)), new

    return tamper


def replacing(**fields):
    from dataclasses import replace

    return lambda reply, data: (replace(reply, **fields), data)


BAD = {
    "NaN": (with_blob(nan_blob), "NaN"),
    "a truncated blob": (with_blob(lambda data: data[:-3]), "too early"),
    "a pickle": (with_blob(lambda data: b"\x80\x04\x95" + data), "safetensors"),
    "nothing": (with_blob(lambda data: b""), "header"),
    "other bytes than signed": (lambda reply, data: (reply, data + b"x"), "blob_digest"),
    "another start": (replacing(start_digest="0" * 64), "start digest"),
    "another task": (replacing(task_key="0" * 64), "task_key"),
    "another kind": (replacing(kind="evaluate"), "kind"),
    "no examples": (replacing(num_examples=0), "num_examples"),
    "a refusal": (replacing(status="error", error="out of memory"), "out of memory"),
    "an old protocol": (replacing(protocol=0 + 7), "protocol version 7"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_reply_is_rejected_with_its_reason_and_the_round_goes_on(
    make_loop: MakeLoop, what: str
):
    loop = make_loop(TWO, rounds=1, quorum=1)
    node(loop, "bob").tamper, said = BAD[what]
    loop.run()
    assert loop.head() == 1
    rejected = [c for c in loop.registry.contributions("line") if c.status == "rejected"]
    assert [c.identity for c in rejected] == [node(loop, "bob").identity]
    assert said in rejected[0].reason
    assert "\n" not in rejected[0].reason
    assert [c.counted_in for c in accepted(loop)] == [1]


def test_a_reply_signed_with_another_key_is_rejected(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1, quorum=1)
    bob = node(loop, "bob")
    bob.tamper = lambda reply, data: (setattr(bob, "forge_key", KeyPair.generate()), (reply, data))[
        1
    ]
    loop.run()
    assert loop.head() == 1
    (rejected,) = [c for c in loop.registry.contributions("line") if c.status == "rejected"]
    assert "signature" in rejected.reason


def larger(dim: int = 8, rank: int = 3, name: str = "layers.0") -> bytes:
    from polyrank.aggregation import Adapter, Factors, encode

    return encode(Adapter({name: Factors(torch.ones(dim, rank), torch.ones(rank, dim))}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rank": 3}, "rank too high"),
        ({"dim": 9, "rank": 2}, "wrong shape"),
        ({"name": "layers.9", "rank": 2}, "layers.9"),
        ({"dim": 4096, "rank": 2}, "bytes"),
    ],
)
def test_an_update_that_does_not_fit_its_task_is_rejected(make_loop: MakeLoop, change, said: str):
    loop = make_loop(TWO, rounds=1, quorum=1, limits={"max_adapter_bytes": 20_000})
    node(loop, "bob").tamper = with_blob(lambda data: larger(**change))
    loop.run()
    assert loop.head() == 1
    (rejected,) = [c for c in loop.registry.contributions("line") if c.status == "rejected"]
    assert said in rejected.reason


def test_a_failure_on_the_way_is_asked_again_and_answered_from_the_cache(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1)
    loop.run(until=lambda: any(task.kind == "train" for _, task, _ in loop.session.log))
    loop.session.failing[address(loop, "bob")] = Failure("", 0, 5, "expired")
    loop.run()
    assert loop.head() == 1
    assert len(node(loop, "bob").trained) == 1
    assert not [c for c in loop.registry.contributions("line") if c.status == "rejected"]


def test_a_reply_that_breaks_the_wire_is_rejected(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1, quorum=1)
    loop.run(until=lambda: len(node(loop, "bob").evaluated) == 1)
    loop.session.failing[address(loop, "bob")] = Failure("", 0, 0, "envelope_too_large")
    loop.run()
    assert loop.head() == 1
    assert "envelope_too_large" in {c.reason for c in loop.registry.contributions("line")}


# --------------------------------------------------------------------- time
def test_a_straggler_is_counted_in_a_later_round_with_its_true_start(make_loop: MakeLoop):
    nodes = {**TWO, "cyd": {"rank": 3}}
    loop = make_loop(nodes, rounds=3, min_nodes=2, quorum=2, deadline_seconds=20, state_rank=16)
    loop.run(until=loop.planned)
    slow = address(loop, "cyd")
    loop.session.silent.add(slow)
    loop.run(until=lambda: loop.head() == 1)
    assert loop.head() == 1
    loop.run(until=lambda: any(t.round == 2 for _, t, _ in loop.session.log if t.kind == "train"))
    assert not [
        t for a, t, _ in loop.session.log if a == slow and t.kind == "train" and t.round == 2
    ]
    loop.session.silent.clear()
    loop.run()
    assert loop.head() == 3
    late = [c for c in accepted(loop) if c.round == 1 and c.counted_in != 1]
    assert [(c.start_number, c.counted_in) for c in late] == [(0, 2)]
    assert loop.registry.version("line@2").metrics["late_contributions"] == 1
    state = dense_of(loop, loop.registry.read("line@1"))
    counted = accepted(loop, counted_in=2)
    total = sum(c.num_examples for c in counted)
    ranks = {n.identity: n.config.max_rank for n in loop.nodes.values()}
    expected = {name: value.clone() for name, value in state.items()}
    for c in counted:
        update = dense_of(loop, loop.ledger.read_blob(c.digest))
        part = leading(decode(loop.registry.read(f"line@{c.start_number}")), ranks[c.identity])
        began = {n: f.b.double() @ f.a.double() for n, f in part.factors.items()}
        began |= {n: v.double() for n, v in part.dense.items()}
        for name in expected:
            expected[name] += c.num_examples / total * (update[name] - began[name])
    found = dense_of(loop, loop.registry.read("line@2"))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_a_round_without_quorum_is_abandoned_and_its_update_is_counted_later(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1, deadline_seconds=20)
    loop.run(until=loop.planned)
    loop.session.silent.add(address(loop, "bob"))
    loop.run(until=lambda: loop.registry.rounds("line")[0].state == "abandoned")
    rounds = loop.registry.rounds("line")
    assert (rounds[0].state, "1 of 2" in rounds[0].reason) == ("abandoned", True)
    loop.session.silent.clear()
    loop.run()
    assert loop.head() == 1
    assert len(node(loop, "ann").trained) == 1, "a finished training was asked again"
    assert {c.counted_in for c in accepted(loop)} == {1}


# --------------------------------------------------------------------- crashes
@pytest.mark.parametrize("ticks", [1, 4, 9, 16])
def test_a_new_driver_goes_on_from_the_records(make_loop: MakeLoop, ticks: int):
    loop = make_loop(TWO, rounds=3)
    for _ in range(12):
        loop.run(ticks=ticks)
        loop.restart()
    loop.run()
    assert loop.head() == 3
    assert all(len(n.trained) == 3 for n in loop.nodes.values()), "a training was repeated"
    assert sorted(c.counted_in for c in accepted(loop)) == [1, 1, 2, 2, 3, 3]


def test_a_crash_does_not_change_a_single_byte_of_the_result(
    make_loop: MakeLoop, tmp_path, request
):
    def digests(restart_every: int | None) -> list[str]:
        folder = tmp_path / f"{restart_every}"
        keys = [KeyPair.from_private_bytes(bytes([i]) * 32) for i in (1, 2)]
        nodes = [
            LoopNode("ann", folder / "n", rank=4, key=keys[0]),
            LoopNode("bob", folder / "n", rank=2, key=keys[1]),
        ]
        loop = Loop(folder / "d", nodes, {"line": {"rounds": 2, "min_nodes": 2}})
        request.addfinalizer(loop.close)
        for _ in range(10 if restart_every else 0):
            loop.run(ticks=restart_every or 0)
            loop.restart()
        loop.run()
        return [loop.registry.version(f"line@{n}").digest for n in range(3)]

    assert digests(None) == digests(7)


def test_a_round_that_was_aggregating_is_committed_before_anything_new_is_accepted(
    make_loop: MakeLoop, monkeypatch
):
    nodes = {**TWO, "cyd": {"rank": 3}}
    loop = make_loop(nodes, rounds=1, min_nodes=2, quorum=2, deadline_seconds=20)
    loop.run(until=loop.planned)
    loop.session.silent.add(address(loop, "cyd"))

    def die(*args: object, **kwargs: object):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("polyrank.coordinator._actions.aggregate", die)
        with pytest.raises(KeyboardInterrupt):
            loop.run(until=lambda: loop.head() == 1)
    assert loop.registry.rounds("line")[0].state == "aggregating"
    loop.restart()
    assert loop.head() == 1
    assert len(accepted(loop, counted_in=1)) == 2
    loop.run()
    assert len(accepted(loop, counted_in=None)) == 1


def test_an_old_driver_that_wakes_up_changes_nothing(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=3)
    loop.run(until=lambda: loop.head() == 1)
    old, now = loop.driver, loop.ledger.take_epoch("newer")
    last = loop.registry.events(limit=1000)[-1].number
    sent = len(loop.session.log)
    loop.now += 0.6
    with pytest.raises(StaleDriver):
        old.tick()
    assert loop.registry.events(limit=1000)[-1].number == last
    assert len(loop.session.log) == sent
    loop.driver = loop.make_driver(now)
    loop.run()


def test_a_lost_link_is_raised_for_the_daemon_to_mend(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1)
    loop.run(ticks=5)
    loop.session.lost = True
    loop.now += 1
    with pytest.raises(LinkLost):
        loop.run()
    loop.restart()
    loop.run()
    assert loop.head() == 1


# --------------------------------------------------------------------- nodes
def test_a_node_that_restarts_at_a_new_address_takes_over_its_tasks(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1)
    loop.run(until=loop.planned)
    old = address(loop, "bob")
    loop.session.silent.add(old)  # it is dead, but Flower has not noticed
    bob = loop.nodes[old]
    bob.process_id = 2
    loop.nodes[555] = bob
    loop.run(until=lambda: loop.head() == 1)
    loop.run()
    assert loop.head() == 1
    assert [t.kind for a, t, _ in loop.session.log if a == old][-1] == "describe", "no ping"
    (record,) = [n for n in loop.registry.nodes() if n.name == "bob"]
    assert (record.address, record.status) == ("555", "live")
    assert not [e for e in loop.registry.events(limit=1000) if e.kind == "node_refused"]


def test_a_second_live_address_with_the_same_identity_is_refused_and_recorded(
    make_loop: MakeLoop, tmp_path
):
    loop = make_loop(TWO, rounds=2)
    loop.run(until=loop.planned)
    bob = node(loop, "bob")
    twin = LoopNode("twin", tmp_path / "nodes", rank=2, key=bob.key)
    twin.process_id = 77
    loop.nodes[666] = twin
    loop.run()
    assert loop.head() == 2
    assert not twin.trained
    refused = [e for e in loop.registry.events(limit=1000) if e.kind == "node_refused"]
    assert [e.subject for e in refused] == [bob.identity]
    (record,) = [n for n in loop.registry.nodes() if n.identity == bob.identity]
    assert record.name == "bob"


@pytest.mark.parametrize("before", ["its introduction", "its task"])
def test_a_node_that_leaves_before_it_is_sent_to_stops_nobody(make_loop: MakeLoop, before: str):
    loop = make_loop(TWO, rounds=1)
    if before == "its task":
        loop.run(until=loop.planned)
    bob = address(loop, "bob")
    loop.session.leaving.add(bob)
    loop.run(ticks=5)
    assert loop.head() != 1
    loop.session.leaving.clear()
    loop.now += 1
    loop.run()
    assert loop.head() == 1


def test_a_node_that_leaves_is_recorded_as_gone_and_counts_are_kept(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1)
    loop.run()
    records = {n.name: n for n in loop.registry.nodes()}
    assert {name: r.card["trainings"] for name, r in records.items()} == {"ann": 1, "bob": 1}
    del loop.nodes[address(loop, "bob")]
    loop.now += 1
    loop.run()
    assert {n.name: n.status for n in loop.registry.nodes()} == {"ann": "live", "bob": "gone"}


def test_a_node_with_another_base_model_takes_no_part_and_is_told_about(make_loop: MakeLoop):
    nodes = {**TWO, "odd": {"base": "other"}}
    loop = make_loop(nodes, rounds=1, min_nodes=2)
    loop.run()
    assert loop.head() == 1
    assert not node(loop, "odd").trained
    (event,) = [e for e in loop.registry.events(limit=1000) if e.kind == "node_misfit"]
    assert event.subject == node(loop, "odd").identity
    assert "fingerprint" in event.payload["reason"]


def test_nodes_that_agree_on_nothing_do_not_start_a_line(make_loop: MakeLoop):
    loop = make_loop({"ann": {"base": "one"}, "bob": {"base": "two"}}, rounds=1)
    loop.run()
    assert not loop.registry.adapters()
    (said,) = events(loop, "base_not_agreed")
    assert "majority" in said["reason"]


def test_nodes_with_fewer_modules_contribute_to_those_they_have(make_loop: MakeLoop):
    nodes = {"ann": {"rank": 4}, "bob": {"rank": 2, "adapters": ("other/*",)}}
    loop = make_loop(nodes, rounds=1, min_nodes=1)
    loop.run()
    assert loop.head() == 1
    assert not node(loop, "bob").trained, "it does not join this line"


def test_a_node_that_cannot_hold_the_state_gets_its_best_part_and_is_marked(make_loop: MakeLoop):
    nodes = {"ann": {"rank": 4}, "bob": {"rank": 4, "memory_bytes": 900}}
    loop = make_loop(nodes, rounds=3, state_rank=4)
    loop.run()
    assert loop.head() == 3
    bob = node(loop, "bob")
    marks = [c.approximate for c in accepted(loop) if c.identity == bob.identity]
    assert sorted(marks) == [False, True, True]
    tasks = [
        (t, size) for a, t, size in loop.session.log if loop.nodes[a] is bob and t.kind == "train"
    ]
    assert all(size <= 900 for _, size in tasks)
    assert [t.approximate for t, _ in tasks] == [False, True, True]
    for round_ in loop.registry.rounds("line")[1:]:
        share = round_.plan["cohort"][bob.identity]
        start = decode(loop.registry.read(f"line@{round_.start_number}"))
        whole = dense_of(loop, loop.registry.read(f"line@{round_.start_number}"))
        part = leading(start, share["part_rank"])
        left = {n: whole[n] - f.b.double() @ f.a.double() for n, f in part.factors.items()}
        lost = math.sqrt(sum(float(x.square().sum()) for x in left.values()))
        size = math.sqrt(sum(float(whole[n].square().sum()) for n in left))
        assert share["part_error"] == pytest.approx(lost / size, rel=1e-4)


# --------------------------------------------------------------------- several lines, budget
def test_two_lines_with_different_nodes_run_at_once(make_loop: MakeLoop):
    nodes = {
        "ann": {"adapters": ("left",)},
        "bob": {"adapters": ("left", "right"), "rank": 4},
        "cyd": {"adapters": ("right",)},
    }
    lines = {
        "left": {"rounds": 2, "min_nodes": 2},
        "right": {"rounds": 3, "min_nodes": 2, "seed": 1},
    }
    loop = make_loop(nodes, lines=lines)
    loop.run(
        until=lambda: (
            {r.adapter for r in loop.registry.rounds() if r.state == "open"} == {"left", "right"}
        )
    )
    loop.run()
    assert (loop.head("left"), loop.head("right")) == (2, 3)
    assert {t.adapter for t in node(loop, "ann").trained} == {"left"}
    assert len(node(loop, "bob").trained) == 5


def test_the_bytes_on_their_way_stay_within_the_budget(make_loop: MakeLoop):
    nodes = {f"n{i}": {"rank": 4, "dim": 32} for i in range(5)}
    loop = make_loop(
        nodes, rounds=2, limits={"max_inflight_bytes": 12_000, "max_adapter_bytes": 20_000}
    )
    largest = 0
    for _ in range(400):
        loop.driver.tick()
        outbox = loop.driver._context.outbox
        largest = max(largest, outbox.inflight_bytes)
        loop.now += 0.2
        if loop.head() == 2:
            break
    assert loop.head() == 2
    assert 0 < largest <= 12_000


def test_metrics_that_are_not_finite_never_reach_the_records(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1)
    loop.run()
    values = [m.value for n in (0, 1) for m in loop.registry.metrics(f"line@{n}")]
    assert values
    assert all(math.isfinite(value) for value in values)
