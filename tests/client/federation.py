"""A SuperLink with a driver's session, and nodes as processes: real ones, for the node's tests."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from polyrank.aggregation import empty, encode, initial_dense
from polyrank.client._protocol import ReplyEnvelope, TaskEnvelope, verify_reply
from polyrank.coordinator._flower import DriverSession, Failure, SuperLink

OWN_LOOP = Path(__file__).with_name("own_loop.py")
CONFIG = {"steps": 20, "learning_rate": 0.02}


def until(condition, seconds, what):
    """Wait for a truthy value and return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


def state_of(number=0):
    """A version 0 for the node with its own loop: rank 0 and a head from a seed."""
    return encode(empty({"hidden": (16, 8)}, initial_dense({"head": (2, 16)}, number)))


class Link:
    """What a coordinator has: a SuperLink and a session in it."""

    def __init__(self, folder, port):
        self.superlink = SuperLink(folder, port=port)
        self.superlink.start()
        self.session = DriverSession(self.superlink.address)
        self.session.open()
        self.known = set()

    def close(self):
        self.session.close()
        self.superlink.stop()

    def new_node(self):
        """Wait for a node that was not there before; returns Flower's number for it."""
        found = until(lambda: self.session.node_ids() - self.known, 60, "a new node")
        self.known |= found
        return found.pop()

    def send(self, node, task, blob=b"", *, envelope=None):
        data = task.to_bytes() if envelope is None else envelope
        return self.session.send(node, task.kind, data, b"", blob, ttl_seconds=120)

    def collect(self, message):
        """Wait for a reply, check all that binds it, and return it with its blob."""
        pulled = until(lambda: self.session.pull(message), 60, "a reply")
        assert not isinstance(pulled, Failure), pulled
        self.session.confirm(message)
        reply = verify_reply(pulled.envelope, pulled.signature, pulled.blob)
        return reply, bytes(pulled.blob)

    def ask(self, node, task, blob=b"", **how) -> tuple[ReplyEnvelope, bytes]:
        return self.collect(self.send(node, task, blob, **how))


class Node:
    """The node with its own loop, as a process."""

    def __init__(self, server, state_dir):
        self.output = state_dir.with_suffix(".log")
        with self.output.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, str(OWN_LOOP), server, str(state_dir)],
                stdout=sink,
                stderr=sink,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(20)


def train(identity, blob, *, round=1, config=None, **changes):
    digest = hashlib.sha256(blob).hexdigest()
    given = {
        "adapter": "demo",
        "round": round,
        "identity": identity,
        "start_digest": digest,
        "blob_digest": digest,
        "config": CONFIG if config is None else config,
        "base_fingerprint": "my-model-1",
        "rank": 3,
        "seed": 5,
    }
    return TaskEnvelope.create("train", **{**given, **changes})


def evaluate(identity, blob, *, number=1, **changes):
    digest = hashlib.sha256(blob).hexdigest()
    given = {
        "adapter": "demo",
        "identity": identity,
        "start_digest": digest,
        "start_number": number,
        "blob_digest": digest,
        "base_fingerprint": "my-model-1",
    }
    return TaskEnvelope.create("evaluate", **{**given, **changes})
