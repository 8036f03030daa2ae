"""The desk in one process: what is held in memory, what stops it, what it says. No Flower."""

import queue
import sys
import threading
import time
from dataclasses import replace

import pytest
from polyrank.client import ClientConfig, ClientError, ModelDescription, ProtocolError
from polyrank.client._desk import Desk
from polyrank.client._latest import LatestAdapters
from polyrank.client._protocol import ReplyEnvelope, TaskEnvelope
from polyrank.client._state import NodeState
from polyrank.client._wire import Incoming
from polyrank.client._work import Worker
from structlog.testing import capture_logs

from .federation import state_of, train, until
from .test_work import Peculiar

BLOB = state_of()


class Inbox:
    """Stands where Flower would: tasks go in by `ask`, answers are kept."""

    def __init__(self):
        self.tasks = queue.Queue()
        self.answers = {}
        self.failures = {}

    def ask(self, name, task, blob=b""):
        self.tasks.put(Incoming(name, 1, 1, task.kind, task.to_bytes(), b"", blob))

    def receive(self, timeout_seconds):
        try:
            return self.tasks.get(timeout=0.05)
        except queue.Empty:
            return None

    def reply(self, incoming, *, envelope, signature, blob=b"", kind=None):
        self.answers[incoming.message_id] = ReplyEnvelope.from_bytes(envelope)
        return True

    def fail(self, incoming, reason):
        self.failures[incoming.message_id] = reason
        return True

    def answer(self, name):
        return until(lambda: self.answers.get(name), 20, f"the answer to {name}")


class World:
    def __init__(self, folder, trainer):
        config = ClientConfig(state_dir=folder, name="n", max_rank=4)
        self.inbox, self.stopping, self.error = Inbox(), threading.Event(), None
        self.state = NodeState(folder)
        worker = Worker(config, trainer, latest=LatestAdapters(folder))
        self.desk = Desk(worker, self.state, self.inbox, stopping=self.stopping)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        try:
            self.desk.serve()
        except ClientError as error:
            self.error = error

    def task(self, **more):
        return train(self.state.key.identity, BLOB, **more)

    def close(self):
        self.stopping.set()
        self.thread.join(20)
        self.desk.stop_sending()
        self.desk.close()
        self.state.close()


@pytest.fixture
def world(tmp_path):
    made = []

    def make(trainer=None):
        made.append(World(tmp_path, trainer or Peculiar()))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Waiting(Peculiar):
    """Trains until it is let go, reporting progress."""

    def __init__(self):
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def train(self, task):
        self.begun.set()
        while not self.go.wait(0.02):
            try:
                task.progress(1, 2, 0.5)
            except Exception:  # what an owner's loop may well do
                continue
        return super().train(task)


def test_requests_that_wait_for_a_training_hold_no_blob(world):
    trainer = Waiting()
    node = world(trainer)
    task = node.task()
    node.inbox.ask("first", task, BLOB)
    assert trainer.begun.wait(20)
    node.inbox.ask("second", task, BLOB)
    waiting = until(lambda: [w for w in node.desk._waiting.values() if len(w) == 2], 20, "a join")
    assert [asker.blob for asker in waiting[0]] == [b"", b""]
    trainer.go.set()
    assert node.inbox.answer("first") == node.inbox.answer("second")


def test_a_trainer_that_catches_every_exception_is_stopped_all_the_same(world):
    trainer = Waiting()
    node = world(trainer)
    node.inbox.ask("first", node.task(), BLOB)
    assert trainer.begun.wait(20)
    began = time.monotonic()
    node.close()
    assert not node.desk._worker_thread.is_alive()
    assert time.monotonic() - began < 4.5
    assert node.inbox.answers == {}, "a training that was given up is not a failed one"


def test_a_trainer_that_exits_costs_its_task_and_not_the_node(world):
    node = world(Peculiar(lambda result: sys.exit("no")))
    node.inbox.ask("first", node.task(), BLOB)
    assert node.inbox.answer("first").error == "SystemExit: no"
    node.inbox.ask("again", node.task(round=2), BLOB)
    assert node.inbox.answer("again").status == "error"


def test_a_thread_that_fails_ends_the_node_with_its_reason(world):
    node = world()
    node.desk._do = lambda task, blob: 1 // 0
    node.inbox.ask("first", node.task(), BLOB)
    node.thread.join(20)
    assert isinstance(node.error, ClientError)
    assert "ZeroDivisionError" in str(node.error)


class Moody(Peculiar):
    """Its description fails when it is asked for once too often."""

    is_calm = True

    def __getattribute__(self, name):
        if name == "description" and not Moody.is_calm:
            raise OSError("the disk is gone")
        return super().__getattribute__(name)


def test_a_describe_that_fails_is_answered_and_the_node_goes_on(world, monkeypatch):
    node = world(Moody())
    monkeypatch.setattr(Moody, "is_calm", False)
    node.inbox.ask("first", TaskEnvelope.create("describe"))
    assert "the disk is gone" in until(lambda: node.inbox.failures.get("first"), 20, "a failure")
    monkeypatch.setattr(Moody, "is_calm", True)
    node.inbox.ask("second", TaskEnvelope.create("describe"))
    assert node.inbox.answer("second").read_card().name == "n"


def test_a_description_that_no_card_can_hold_is_refused_at_the_start(tmp_path):
    trainer = Peculiar()
    trainer.description = replace(trainer.description, fingerprint="")
    assert isinstance(trainer.description, ModelDescription)
    with pytest.raises(ProtocolError, match="fingerprint"):
        World(tmp_path, trainer)


def test_the_log_says_once_that_the_node_has_joined(world):
    with capture_logs() as logs:
        node = world()
        for name in ("first", "second"):
            node.inbox.ask(name, TaskEnvelope.create("describe"))
            node.inbox.answer(name)
        until(lambda: [log for log in logs if log["event"] == "joined"], 5, "the line")
    (joined,) = (log for log in logs if log["event"] == "joined")
    assert joined["server"] == "127.0.0.1:9092"
