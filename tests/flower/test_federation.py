"""Two nodes, a SuperLink and a driver as real processes; each is killed once."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from flower.federation import Federation, digest, federation, is_alive, kill, until
from polyrank.client._wire import WireError
from polyrank.client._wire_process import free_port
from polyrank.coordinator._flower import Failure, Incoming, LinkLost, NodeGone

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("flower"), free_port(), 2) as made:
        made.await_nodes(2)
        yield made


def _incoming(found: Incoming | Failure) -> Incoming:
    assert isinstance(found, Incoming), found
    return found


def _round(fed: Federation, blob: bytes = b"", **wish: object) -> float:
    """Send a task to every node, check the answers, return the seconds it took."""
    started = time.monotonic()
    node_ids = fed.await_nodes(2)
    sent = {fed.ask(node_id, blob, **wish): node_id for node_id in node_ids}
    for message_id, node_id in sent.items():
        found = _incoming(fed.answer(message_id))
        said = json.loads(found.envelope)
        assert (found.message_id, found.node_id) == (message_id, node_id)
        assert found.run_id == fed.session.run_id
        assert (found.kind, found.signature) == ("train", b"signed")
        assert said["received"] == digest(blob)
        assert said["sent"] == digest(found.blob)
    return time.monotonic() - started


def test_a_round_of_tiny_payloads(fed: Federation) -> None:
    seconds = [_round(fed, b"tiny") for _ in range(4)]
    print("rounds took", ", ".join(f"{taken:.2f} s" for taken in seconds))


def test_twenty_megabytes_travel_both_ways(fed: Federation) -> None:
    _round(fed, os.urandom(20_000_000))
    _round(fed, bytes(20_000_000))  # all chunks alike: Flower sends the first alone
    _round(fed, b"", size=20_000_001)


def test_a_reply_can_be_pulled_again_until_it_is_confirmed(fed: Federation) -> None:
    message_id = fed.ask(min(fed.await_nodes(2)), b"abc")
    first = _incoming(until(lambda: fed.session.pull(message_id), 20, "an answer"))
    again = _incoming(until(lambda: fed.session.pull(message_id), 1, "the answer again"))
    assert bytes(first.blob) == bytes(again.blob) == b"abc"
    fed.session.confirm(message_id)
    assert fed.session.pull(message_id) is None


def test_the_reply_to_a_discarded_message_is_deleted_unread(fed: Federation) -> None:
    node_id = min(fed.await_nodes(2))
    unwanted = fed.ask(node_id, b"abc")
    until(lambda: fed.session.poll([unwanted]), 20, "an answer")
    (_, tree) = fed.session._ready[unwanted]
    task = fed.session._live()
    assert task.available(tree.object_id)
    fed.session.discard(unwanted)
    assert fed.session.pull(unwanted) is None
    with pytest.raises(WireError, match="object_gone"):
        task.available(tree.object_id)
    assert not fed.session._ready
    assert not fed.session._discarded


def test_a_node_answers_another_task_while_it_works_on_one(fed: Federation) -> None:
    node_id = min(fed.await_nodes(2))
    slow = fed.ask(node_id, sleep=4)
    started = time.monotonic()
    quick = _incoming(fed.answer(fed.ask(node_id, kind="describe")))
    assert quick.kind == "describe"
    assert time.monotonic() - started < 3.5
    assert fed.session.poll([slow]) == set()
    assert _incoming(fed.answer(slow)).kind == "train"


def test_a_node_that_fails_is_a_value(fed: Federation) -> None:
    found = fed.answer(fed.ask(min(fed.await_nodes(2)), fail="no such column: text"))
    assert isinstance(found, Failure)
    assert (found.code, found.reason) == (2, "no such column: text")


def test_a_task_for_a_node_that_never_was_is_refused(fed: Federation) -> None:
    stranger = max(fed.await_nodes(2)) ^ 1
    with pytest.raises(NodeGone) as caught:
        fed.ask(stranger)
    assert caught.value.node_id == stranger


def test_the_superlink_listens_on_loopback_alone(fed: Federation) -> None:
    listening = _listening(fed.link.pid)
    assert listening == {fed.link.address}


def test_the_supernode_listens_on_loopback_alone(fed: Federation) -> None:
    found = _incoming(fed.answer(fed.ask(min(fed.await_nodes(2)))))
    hosts = {
        address.rpartition(":")[0] for address in _listening(json.loads(found.envelope)["node"])
    }
    assert hosts == {"127.0.0.1"}


def test_a_killed_supernode_comes_back_under_another_address(fed: Federation) -> None:
    old = fed.await_nodes(2)
    said = json.loads(_incoming(fed.answer(fed.ask(min(old)))).envelope)
    kill(said["node"])
    new = fed.await_nodes(1, other_than=old)
    found = json.loads(_incoming(fed.answer(fed.ask(new.pop()))).envelope)
    assert found["process"] == said["process"]
    assert found["node"] != said["node"]


def test_nodes_reconnect_after_the_superlink_was_killed(fed: Federation) -> None:
    pid = fed.link.pid
    assert pid is not None
    waiting = fed.ask(min(fed.await_nodes(2)), sleep=2)
    kill(pid)
    with pytest.raises(LinkLost):
        until(lambda: fed.session.pull(waiting), 20, "the loss")
    assert not fed.session.alive
    assert until(fed.link.poll, 5, "the exit code") == -9
    started = time.monotonic()
    fed.resume()
    fed.await_nodes(2)
    print(f"nodes were back after {time.monotonic() - started:.1f} s")
    _round(fed, b"after the restart")


def test_a_supernode_ends_with_its_killed_node(fed: Federation) -> None:
    said = [json.loads(_incoming(fed.answer(fed.ask(n))).envelope) for n in fed.await_nodes(2)]
    victim = fed.nodes[0]
    (supernode,) = [line["node"] for line in said if line["process"] == victim.process.pid]
    victim.kill()
    until(lambda: not is_alive(supernode), 5, "the end of the SuperNode")


def _listening(pid: int | None) -> set[str]:
    """List every address on which a process, or a child of it, takes connections."""
    assert pid is not None
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    connections = [c for member in family for c in member.net_connections(kind="inet")]
    return {f"{c.laddr.ip}:{c.laddr.port}" for c in connections if c.status == psutil.CONN_LISTEN}


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with federation(tmp_path, free_port(), 0) as made:
        pid = made.link.pid
        assert pid is not None
        assert is_alive(pid)
    assert not is_alive(pid)
    assert not (tmp_path / "coordinator" / "superlink.pid").exists()
