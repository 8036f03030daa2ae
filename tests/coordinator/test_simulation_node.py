"""One simulated node: the client's own answers, from memory."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from polyrank.aggregation import decode, empty, encode, initial_dense
from polyrank.client import TrainTask
from polyrank.client._card import make_card
from polyrank.client._protocol import (
    ProtocolError,
    ReplyEnvelope,
    TaskEnvelope,
    blob_digest,
    verify_reply,
)
from polyrank.client._wire import Failure, Incoming
from polyrank.client._work import start_of
from polyrank.coordinator._flower import NodeGone
from polyrank.coordinator._simulation_node import KEPT_TASKS, SimulatedNode
from polyrank.coordinator._simulation_random import OwnRandomness
from polyrank.coordinator._simulation_session import SimulatedSession

from .toy_node import ToyTrainer


def toy(name: str = "ann", **options: Any) -> SimulatedNode:
    return SimulatedNode(name, ToyTrainer(name), **{"max_rank": 2, **options})


def start(node: SimulatedNode) -> bytes:
    """Version 0 of a line on the node's model."""
    described = node.trainer.description
    return encode(empty(described.modules, initial_dense(described.dense, seed=1)))


def question(
    node: SimulatedNode, kind: str = "train", *, blob: bytes | None = None, **fields: Any
) -> Incoming:
    data = b"" if kind == "describe" else start(node) if blob is None else blob
    values: dict[str, Any] = {"config": {"count": 1}}
    if kind != "describe":
        values = {
            "adapter": "line",
            "round": 1,
            "identity": node.identity,
            "start_digest": blob_digest(data),
            "blob_digest": blob_digest(data),
            "rank": 2,
            "base_fingerprint": node.trainer.description.fingerprint,
        }
    task = TaskEnvelope.create(kind, **{**values, **fields})
    return Incoming("m1", 1, 7, kind, task.to_bytes(), b"", data)


def opened(answer: Incoming | Failure) -> ReplyEnvelope:
    assert isinstance(answer, Incoming)
    return verify_reply(answer.envelope, answer.signature, answer.blob)


def test_its_identity_follows_from_name_and_seed():
    assert toy("ann").identity == toy("ann").identity
    others = {toy("ann").identity, toy("bob").identity, toy("ann", seed=1).identity}
    assert len(others) == 3


def test_it_introduces_itself_with_the_card_that_a_client_makes():
    node = toy("ann", max_rank=3, tags={"site": "north"}, adapters=("a/*",), memory_bytes=5)
    reply = opened(node.answer(question(node, "describe")))
    card = reply.read_card()
    started = {"model_loads": 1, "trainings": 0, "started_at": card.started_at}
    assert card == make_card(node.config, node.trainer.description, **started) == node.card
    assert (card.name, card.max_rank, card.tags, card.memory_bytes) == (
        "ann",
        3,
        {"site": "north"},
        5,
    )
    assert card.adapters == ("a/*",)


def test_a_training_is_the_trainers_own_and_is_signed_by_its_key():
    node = toy()
    incoming = question(node)
    answer = node.answer(incoming)
    reply = opened(answer)
    assert (reply.identity, reply.status, reply.trainings) == (node.identity, "ok", 1)
    assert (answer.message_id, answer.node_id, answer.kind) == ("m1", 7, "train")
    update = decode(bytearray(answer.blob))
    task = TaskEnvelope.from_bytes(incoming.envelope)
    begun = start_of(task, decode(bytearray(incoming.blob)), node.trainer.description)
    expected = ToyTrainer("ann").train(TrainTask("line", 1, begun, 2, task.seed, {}))
    for name, factors in expected.adapter.factors.items():
        torch.testing.assert_close(update.factors[name].b, factors.b, rtol=0, atol=0)
        torch.testing.assert_close(update.factors[name].a, factors.a, rtol=0, atol=0)


def test_asked_again_it_answers_from_memory_as_a_client_does():
    node = toy()
    first, again = node.answer(question(node)), node.answer(question(node))
    assert bytes(first.blob) == bytes(again.blob)
    assert (opened(first).from_cache, opened(again).from_cache) == (False, True)
    assert node.card.trainings == 1


def test_what_it_keeps_is_bounded():
    node = toy()
    for round in range(1, KEPT_TASKS + 2):
        node.answer(question(node, round=round))
    repeated = [opened(node.answer(question(node, round=r))).from_cache for r in (KEPT_TASKS, 1)]
    assert repeated == [True, False]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"identity": "a" * 64}, "the task is for node"),
        ({"base_fingerprint": "other"}, "base model"),
        ({"rank": 9}, "rank 9 asked"),
        ({"blob_digest": "0" * 64}, "blob_digest"),
    ],
)
def test_a_task_that_does_not_fit_is_refused_in_the_clients_words(change: Any, said: str):
    node = toy()
    reply = opened(node.answer(question(node, **change)))
    assert reply.status == "error"
    assert said in reply.error


def test_an_error_of_the_owners_code_is_a_reply():
    class Broken(ToyTrainer):
        def evaluate(self, adapter: Any, rows: Any = None) -> Any:
            raise ValueError("no such column")

    node = SimulatedNode("ann", Broken("ann"), max_rank=2)
    reply = opened(node.answer(question(node, "evaluate")))
    assert reply.error == "ValueError: no such column"


def test_after_ctrl_c_in_a_training_the_same_task_can_be_asked_again():
    class Once(ToyTrainer):
        interrupted = False

        def train(self, task: Any) -> Any:
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return super().train(task)

    node = SimulatedNode("ann", Once("ann"), max_rank=2)
    with pytest.raises(KeyboardInterrupt):
        node.answer(question(node))
    assert opened(node.answer(question(node))).status == "ok"


def test_a_description_that_no_card_can_hold_is_an_error_at_once():
    trainer = ToyTrainer("ann")
    object.__setattr__(trainer.description, "fingerprint", "")
    with pytest.raises(ProtocolError, match="fingerprint"):
        SimulatedNode("ann", trainer, max_rank=2)


# --------------------------------------------------------------------- random generators
def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_each_node_draws_from_generators_of_its_own_and_the_callers_are_untouched():
    ann, bob = OwnRandomness(1), OwnRandomness(2)
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = draw(), draw()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    found, mixed = [draw()], []
    for _ in range(2):
        for own in (ann, bob):
            with own.installed():
                mixed.append(draw())
    found.append(draw())
    assert tuple(found) == expected
    alone = OwnRandomness(1)
    with alone.installed():
        assert [draw(), draw()] == [mixed[0], mixed[2]]
    assert len({value for triple in mixed for value in triple}) == 12


# --------------------------------------------------------------------- the session
def test_answers_come_in_the_drivers_order_and_only_from_nodes_that_are_there():
    session = SimulatedSession()
    ann, bob = toy("ann"), toy("bob")
    addresses = [session.join(ann), session.join(bob)]
    sent = [
        session.send(at, "describe", question(node, "describe").envelope, b"", ttl_seconds=1)
        for at, node in zip(addresses, (ann, bob), strict=True)
    ]
    assert session.node_ids() == set(addresses)
    assert session.poll(sent) == set(sent)
    session.leave(addresses[0])
    assert session.poll(sent) == {sent[1]}
    assert session.pull(sent[0]) is None
    assert opened(session.pull(sent[1])).identity == bob.identity
    session.confirm(sent[1])
    session.discard(sent[0])
    assert session.poll(sent) == set()
    with pytest.raises(NodeGone):
        session.send(addresses[0], "describe", b"", b"", ttl_seconds=1)
    assert session.join(ann) not in addresses


def test_the_blob_of_an_answer_belongs_to_the_caller():
    session, node = SimulatedSession(), toy()
    address, incoming = session.join(node), question(node)
    message = session.send(address, "train", incoming.envelope, b"", incoming.blob, ttl_seconds=1)
    first = session.pull(message)
    first.blob[:8] = b"\0" * 8
    opened(session.pull(message))  # its digest still fits
