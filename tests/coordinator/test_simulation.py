"""A whole federation in this process: the rounds of a daemon, without its servers and its time."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from polyrank.aggregation import decode, leading
from polyrank.coordinator._simulation import Simulation, simulate
from polyrank.coordinator._simulation_driver import SimulationStuck
from polyrank.coordinator._simulation_node import SimulatedNode

from .simulated import config, head, toy
from .toy_node import ToyTrainer


def dense(data: bytes) -> dict[str, torch.Tensor]:
    adapter = decode(data)
    deltas = {name: f.b.double() @ f.a.double() for name, f in adapter.factors.items()}
    return deltas | {name: value.double() for name, value in adapter.dense.items()}


def test_rounds_run_to_the_last_version_and_every_node_evaluates_each():
    nodes = [toy("ann", 4), toy("bob", 2), toy("cyd", 3)]
    with simulate(config(line={"rounds": 3, "min_nodes": 3}), nodes) as done:
        registry = done.registry
        assert head(done) == 3
        assert registry.version("line@stable").number == 3
        everyone = {node.identity for node in nodes}
        assert {record.identity for record in registry.nodes()} == everyone
        for number in range(4):
            measured = {m.identity for m in registry.metrics(f"line@{number}") if m.identity}
            assert measured == everyone
        assert {task.state for task in registry.tasks("line")} == {"done"}
        loss = [
            sum(m.value for m in registry.metrics(f"line@{n}") if m.identity and m.name == "loss")
            for n in (0, 3)
        ]
        assert loss[1] < loss[0], "the nodes learn nothing"


def test_a_version_is_the_dense_sum_of_the_updates_that_trainers_make_by_themselves():
    nodes = [toy("ann", 4, rows=30), toy("bob", 2, rows=10)]
    with simulate(config(line={"rounds": 2, "min_nodes": 2, "state_rank": 8}), nodes) as done:
        registry, ledger = done.registry, done.ledger
        start = decode(registry.read("line@1"))
        expected = dense(registry.read("line@1"))
        counted = [c for c in ledger.contributions("line") if c.counted_in == 2]
        assert {c.num_examples for c in counted} == {30, 10}
        for record in counted:
            rank = {30: 4, 10: 2}[record.num_examples]
            update = dense(ledger.read_blob(record.digest))
            began = dense(registry.read("line@1"))
            for name, factors in leading(start, rank).factors.items():
                began[name] = factors.b.double() @ factors.a.double()
            for name in expected:
                expected[name] += record.num_examples / 40 * (update[name] - began[name])
        found = dense(registry.read("line@2"))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_the_number_of_rounds_can_be_given_in_place_of_the_configured_one():
    with simulate(config(line={"min_nodes": 1}), [toy("ann")], rounds=2) as done:
        assert head(done) == 2


def test_several_lines_run_at_once_and_each_version_is_told_before_anybody_has_seen_it():
    told: list[tuple[str, int, int]] = []
    lines = {"left": {"rounds": 2, "min_nodes": 2}, "right": {"rounds": 3, "min_nodes": 1}}
    nodes = [
        toy("ann", adapters=("left",)),
        toy("bob", adapters=("*",)),
        toy("cyd", adapters=("right",)),
    ]
    with Simulation(config(**lines), nodes) as simulation:

        def told_of(adapter: str, version: Any) -> None:
            measured = simulation.registry.metrics(version.ref)
            told.append((adapter, version.number, sum(m.identity is not None for m in measured)))

        simulation.on_round = told_of
        simulation.run()
        assert (head(simulation, "left"), head(simulation, "right")) == (2, 3)
    assert [entry for entry in told if entry[0] == "left"] == [("left", n, 0) for n in range(3)]
    assert [entry for entry in told if entry[0] == "right"] == [("right", n, 0) for n in range(4)]


def test_data_that_is_changed_on_a_round_is_what_its_version_is_evaluated_on():
    trainer = ToyTrainer("ann")

    def more_rows(adapter: str, version: Any) -> None:
        fresh = ToyTrainer(f"ann {version.number}", rows=20 + version.number)
        trainer.__dict__.update(fresh.__dict__)

    node = SimulatedNode("ann", trainer, max_rank=2)
    line = config(line={"rounds": 2, "min_nodes": 1})
    with simulate(line, [node], on_round=more_rows) as done:
        rows = {
            number: [m.value for m in done.registry.metrics(f"line@{number}")
                     if m.name == "num_examples" and m.identity]
            for number in range(3)
        }  # fmt: skip
        trained = [c.num_examples for c in done.ledger.contributions("line")]
    assert rows == {0: [20.0], 1: [21.0], 2: [22.0]}
    assert sorted(trained) == [20, 21]


def test_progress_is_told_after_each_answer():
    seen: list[Any] = []
    line = config(line={"rounds": 1, "min_nodes": 2})
    simulate(line, [toy("ann"), toy("bob")], on_progress=seen.append).close()
    answers = sorted({progress.answers for progress in seen})
    assert answers == list(range(1, 9))  # 2 introductions, 2 trainings, 2 x 2 evaluations
    assert seen[-1].versions == {"line": 1}


# --------------------------------------------------------------------- nodes and time
def test_nodes_join_and_leave_between_rounds():
    ann, bob, cyd = toy("ann"), toy("bob"), toy("cyd")
    with Simulation(config(line={"rounds": 3, "min_nodes": 2}), [ann, bob]) as simulation:

        def move(adapter: str, version: Any) -> None:
            if version.number == 1:
                simulation.join(cyd)
            if version.number == 2:
                simulation.leave(ann)

        simulation.on_round = move
        simulation.run()
        counted = {
            number: {c.identity for c in simulation.ledger.contributions("line", round=number)}
            for number in (1, 2, 3)
        }
        status = {node.name: node.status for node in simulation.registry.nodes()}
        assert simulation.nodes == (bob, cyd)
    assert counted[1] == {ann.identity, bob.identity}
    assert counted[2] == {ann.identity, bob.identity, cyd.identity}
    assert counted[3] == {bob.identity, cyd.identity}
    assert status == {"ann": "gone", "bob": "live", "cyd": "live"}


def test_nodes_that_leave_in_a_round_cost_simulated_time_only_and_the_rest_goes_on():
    """Evaluations are not dated by the machine: else each later one would lapse at once."""
    nodes = [toy(name) for name in ("ann", "bob", "cyd", "dan")]
    line = {"rounds": 4, "min_nodes": 2, "quorum": 2, "deadline_seconds": 36_000.0}
    began = time.monotonic()
    with Simulation(config(line=line), nodes) as simulation:
        for number, node in enumerate(nodes[:1:-1], start=1):
            simulation.run(until=lambda n=number: is_open(simulation, n))
            simulation.leave(node)
        simulation.run()
        assert head(simulation) == 4
        assert 72_000 <= simulation.clock.elapsed_seconds < 109_000
        evaluations = [t for t in simulation.ledger.tasks("line") if t.kind == "evaluate"]
        expired = [t for t in simulation.ledger.tasks("line") if t.state == "expired"]
        for number in (1, 2, 3, 4):
            measured = simulation.registry.metrics(f"line@{number}")
            assert {n.identity for n in nodes[:2]} <= {m.identity for m in measured}
    assert {t.state for t in evaluations} == {"done"}
    assert [(t.identity, t.kind) for t in expired] == [(n.identity, "train") for n in nodes[:1:-1]]
    assert time.monotonic() - began < 60


def is_open(simulation: Simulation, number: int) -> bool:
    return (number, "open") in {(r.number, r.state) for r in simulation.registry.rounds()}


def test_a_line_that_was_stopped_is_tried_again_while_another_waits_for_its_deadline():
    lines = {
        "left": {"rounds": 1, "min_nodes": 2, "seed": 1},
        "right": {"rounds": 1, "min_nodes": 2, "quorum": 1, "deadline_seconds": 36_000.0},
    }
    ann, late = toy("ann", adapters=("left",)), toy("late", adapters=("left",))
    right = [toy("bob", adapters=("right",)), toy("cyd", adapters=("right",))]
    with Simulation(config(**lines), [ann, *right]) as simulation:
        simulation.run(until=lambda: is_open(simulation, 1))
        simulation.leave(right[1])
        simulation.join(late)
        simulation.run(until=lambda: head(simulation, "left") == 0)
        blobs = simulation.ledger._blobs._blobs
        digest = simulation.registry.version("left@0").digest
        whole = blobs.pop(digest)
        simulation.run(until=lambda: simulation.clock.elapsed_seconds > 30)
        blobs[digest] = whole
        simulation.run(until=lambda: head(simulation, "left") == 1)
        assert simulation.clock.elapsed_seconds < 300
        simulation.run()
        assert head(simulation, "right") == 1


def test_until_stops_between_two_steps_and_the_run_goes_on_from_there():
    with Simulation(config(line={"rounds": 2, "min_nodes": 1}), [toy("ann")]) as simulation:
        simulation.run(until=lambda: head(simulation) == 1)
        assert head(simulation) == 1
        simulation.run()
        assert head(simulation) == 2


# --------------------------------------------------------------------- families
def test_a_family_is_reviewed_at_its_deadline_and_ends_with_its_rounds():
    nodes = [toy("ann"), toy("bob"), toy("cyd")]
    line = {"rounds": 2, "min_nodes": 2, "deadline_seconds": 36_000.0}
    with Simulation(config(line={**line, "continual": {"mode": "record"}}), nodes) as simulation:

        def leave(adapter: str, version: Any) -> None:
            if version.number == 1:
                simulation.leave(nodes[1])
                simulation.leave(nodes[2])

        simulation.on_round = leave
        with pytest.raises(SimulationStuck, match="line: 1 of 2 nodes"):
            simulation.run()  # one evaluation is too few; then one node is too few for a round
        assert 36_000 <= simulation.clock.elapsed_seconds < 37_000
        assert simulation.registry.family("line").reviews == 2
        simulation.join(nodes[1])
        simulation.run()
        assert simulation.registry.family("line").payload["steps"] >= 2
        newest = simulation.registry.version("line@latest")
        measured = {m.identity for m in simulation.registry.metrics(newest.ref) if m.identity}
        assert measured == {nodes[0].identity, nodes[1].identity}
