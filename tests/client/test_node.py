"""A node as a process on a real SuperLink: the user's own torch loop, asked by a driver."""

import dataclasses
import json
import signal
import time

import psutil
import pytest
from polyrank.aggregation import Adapter, decode
from polyrank.client import from_peft
from polyrank.client._protocol import TaskEnvelope, canonical_json
from polyrank.client._wire_process import free_port

from .federation import Link, Node, evaluate, state_of, train, until

pytestmark = pytest.mark.processes
BLOB = state_of()
LONG = {"steps": 1_000_000, "learning_rate": 0.001}


@pytest.fixture(scope="module")
def link(tmp_path_factory):
    made = Link(tmp_path_factory.mktemp("coordinator"), free_port())
    yield made
    made.close()


@pytest.fixture(scope="module")
def started(link, tmp_path_factory):
    folder = tmp_path_factory.mktemp("node") / "state"
    node = Node(link.superlink.address, folder)
    yield node, link.new_node(), folder
    node.process.kill()
    node.process.wait()


@pytest.fixture(scope="module")
def identity(link, started):
    return link.ask(started[1], TaskEnvelope.create("describe"))[0].identity


def test_the_card_tells_what_the_node_is(link, started):
    node, address, _ = started
    card = link.ask(address, TaskEnvelope.create("describe"))[0].read_card()
    assert (card.name, card.max_rank, card.fingerprint) == ("own-loop", 4, "my-model-1")
    assert card.modules == {"hidden": (16, 8)}
    assert card.process_id == node.process.pid
    assert card.model_loads == 1
    for word in ("server_reached", "joined"):
        until(lambda word=word: word in node.output.read_text(), 10, f"the line {word}")


def test_the_own_loop_joins_and_learns(link, started, identity):
    config = {"steps": 150, "learning_rate": 0.05}
    task = train(identity, BLOB, round=1, config=config, rank=4)
    reply, blob = link.ask(started[1], task, BLOB)
    assert (reply.status, reply.error, reply.rank) == ("ok", "", 4)
    assert reply.num_examples == 200
    # One node, so its update from the empty adapter is the next version.
    whole = Adapter(decode(blob).factors, decode(blob).dense)
    assert whole.ranks == {"hidden": 4}
    before, _ = link.ask(started[1], evaluate(identity, BLOB, number=0), BLOB)
    after, _ = link.ask(started[1], evaluate(identity, blob, number=1, stable=True), blob)
    assert after.metrics["balanced_accuracy"] > before.metrics["balanced_accuracy"] + 0.2
    kept = from_peft(started[2] / "latest")
    assert kept.shapes == whole.shapes
    assert json.loads((started[2] / "latest" / "polyrank.json").read_text())["number"] == 1


def test_the_same_task_is_answered_from_disk_and_trained_once(link, started, identity):
    task = train(identity, BLOB, round=2)
    first, blob = link.ask(started[1], task, BLOB)
    again, same = link.ask(started[1], task, BLOB)
    assert (first.from_cache, again.from_cache) == (False, True)
    assert same == blob
    assert again.trainings == first.trainings


def test_describe_is_answered_while_a_training_runs_and_equal_tasks_join(link, started, identity):
    config = {"steps": 4000, "learning_rate": 0.001}
    task = train(identity, BLOB, round=3, config=config)
    trained = link.ask(started[1], TaskEnvelope.create("describe"))[0].trainings
    messages = [link.send(started[1], task, BLOB) for _ in range(2)]
    described, _ = link.ask(started[1], TaskEnvelope.create("describe"))
    assert described.trainings == trained, "it was answered only after the training"
    replies = [link.collect(message) for message in messages]
    assert replies[0][1] == replies[1][1]
    assert {reply.trainings for reply, _ in replies} == {trained + 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_fingerprint": "another"}, "use the same checkpoint"),
        ({"start_digest": "c" * 64}, "start_digest"),
        ({"max_adapter_bytes": 10}, "max_adapter_bytes"),
        ({"identity": "b" * 64}, "for node bbbbbbbbbbbb"),
        ({"rank": 99}, "rank 99"),
        ({"config": {"learning_rate": 1.0}}, "KeyError: 'steps'"),
    ],
)
def test_a_task_that_does_not_fit_is_answered_in_one_line(link, started, identity, change, said):
    task = train(**{"identity": identity, "blob": BLOB, "round": 9, **change})
    reply, blob = link.ask(started[1], task, BLOB)
    assert reply.status == "error"
    assert said in reply.error
    assert "\n" not in reply.error
    assert (blob, reply.task_key) == (b"", task.task_key)


def test_another_protocol_version_is_refused_clearly(link, started, identity):
    task = train(identity, BLOB)
    envelope = canonical_json({**dataclasses.asdict(task), "protocol": 99})
    reply, _ = link.ask(started[1], task, BLOB, envelope=envelope)
    assert reply.status == "error"
    assert "protocol version 99 is not supported" in reply.error
    assert reply.task_key == task.task_key


def test_a_second_process_on_the_same_state_says_so_and_ends(link, started):
    second = Node(link.superlink.address, started[2])
    assert second.process.wait(60) == 1
    assert f"in use by process {started[0].process.pid}" in second.output.read_text()


def test_a_killed_node_comes_back_as_itself_with_what_it_finished(link, tmp_path):
    folder = tmp_path / "state"
    node = Node(link.superlink.address, folder)
    address = link.new_node()
    described, _ = link.ask(address, TaskEnvelope.create("describe"))
    task = train(described.identity, BLOB)
    first, blob = link.ask(address, task, BLOB)
    node.end(signal.SIGKILL)
    node = Node(link.superlink.address, folder)
    try:
        address = link.new_node()
        again, same = link.ask(address, task, BLOB)
        assert (again.identity, again.from_cache, same) == (described.identity, True, blob)
        assert again.trainings == first.trainings == 1
        # A training in progress does not keep SIGTERM waiting, and nothing is left running.
        children = psutil.Process(node.process.pid).children(recursive=True)
        assert children
        link.send(address, train(described.identity, BLOB, round=2, config=LONG), BLOB)
        until(lambda: node.output.read_text().count("task_started") == 2, 30, "the training")
        began = time.monotonic()
        assert node.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 40
        until(lambda: not any(child.is_running() for child in children), 10, "no process left")
    finally:
        node.process.kill()
