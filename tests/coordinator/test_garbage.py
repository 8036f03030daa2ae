"""Whatever a node sends, it is that node's reply that is refused; the daemon goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from polyrank.aggregation import Adapter, Factors, decode, encode
from polyrank.client._protocol import canonical_json

from .conftest import MakeLoop
from .test_driver import TWO, events, node, with_blob

Change = Callable[[dict[str, Any]], None]


def changing(kind: str, change: Change) -> Callable[[bytes], bytes]:
    """Return what changes the envelopes of one kind of reply before they are signed."""

    def apply(envelope: bytes) -> bytes:
        reply = json.loads(envelope)
        if reply["kind"] == kind:
            change(reply)
        return canonical_json(reply)

    return apply


GARBAGE: dict[str, Change] = {
    "a metric's name with a line break": lambda r: r["metrics"].update({"a\nb": 1.0}),
    "a metric's name that is too long": lambda r: r["metrics"].update({"x" * 300: 1.0}),
    "a metric beyond any float": lambda r: r["metrics"].update(loss=10**400),
    "an error with a NUL": lambda r: r.update(status="error", error="out of\0memory"),
    "a huge number of examples": lambda r: r.update(num_examples=2**60),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_training_with_garbage_in_its_envelope_is_rejected(make_loop: MakeLoop, what: str):
    loop = make_loop(TWO, rounds=1, quorum=1)
    bob = node(loop, "bob")
    bob.change_envelope = changing("train", GARBAGE[what])
    loop.run()
    assert loop.head() == 1
    rejected = [c for c in loop.registry.contributions("line") if c.status == "rejected"]
    assert [c.identity for c in rejected] == [bob.identity]
    assert rejected[0].reason
    assert rejected[0].reason.isprintable()


@pytest.mark.parametrize("what", [w for w in GARBAGE if "examples" not in w])
def test_an_evaluation_with_garbage_in_its_envelope_is_rejected(make_loop: MakeLoop, what: str):
    loop = make_loop(TWO, rounds=1)
    bob = node(loop, "bob")
    bob.change_envelope = changing("evaluate", GARBAGE[what])
    loop.run()
    assert loop.head() == 1
    tasks = [t for t in loop.ledger.tasks("line") if t.kind == "evaluate"]
    assert {t.state for t in tasks if t.identity == bob.identity} == {"rejected"}
    assert bob.identity not in {m.identity for m in loop.registry.metrics("line@1")}


def test_a_metric_may_have_the_name_of_a_field_of_the_log(make_loop: MakeLoop):
    loop = make_loop(TWO, rounds=1)
    names = ["adapter", "number", "identity", "event", "self", "level", "timestamp"]
    node(loop, "bob").change_envelope = changing(
        "evaluate", lambda r: r["metrics"].update(dict.fromkeys(names, 0.5))
    )
    loop.run()
    assert loop.head() == 1
    measured = {m.name for m in loop.registry.metrics("line@1")}
    assert measured >= set(names)
    assert len(events(loop, "version_evaluated")) == 4


CARDS: dict[str, Change] = {
    "a name with a NUL": lambda r: r["card"].update(name="bob\0"),
    "a module with one axis": lambda r: r["card"]["modules"].update({"layers.0": [8]}),
    "another module with one axis": lambda r: r["card"]["modules"].update({"odd": [8]}),
    "a module's name with a line break": lambda r: r["card"]["modules"].update({"a\nb": [8, 8]}),
    "a module larger than anything": lambda r: r["card"]["modules"].update({"odd": [2**62, 2**62]}),
    "a module as long as no model": lambda r: r["card"]["modules"].update({"odd": [2**25, 2]}),
    "a dense tensor larger than anything": lambda r: r["card"]["dense"].update(odd=[2**62, 2**62]),
    "too many dense tensors": lambda r: r["card"]["dense"].update(
        {f"d{i}": [1] for i in range(1100)}
    ),
    "a tensor without a name": lambda r: r["card"]["dense"].update({" ": [1]}),
}


@pytest.mark.parametrize("what", CARDS)
def test_a_node_with_garbage_on_its_card_stops_nobody(make_loop: MakeLoop, what: str):
    nodes = {"eve": {}, **TWO}  # so that eve introduces herself first
    loop = make_loop(nodes, rounds=1, min_nodes=2)
    node(loop, "eve").change_envelope = changing("describe", CARDS[what])
    loop.run()
    assert loop.head() == 1
    assert {n.name: n.status for n in loop.registry.nodes()}.keys() >= {"ann", "bob"}
    reasons = [e.payload["reason"] for e in loop.registry.events(limit=1000)
               if e.kind in ("node_refused", "node_misfit")]  # fmt: skip
    assert len(reasons) == 1
    assert reasons[0].isprintable()


@pytest.mark.parametrize(
    ("b", "a", "dense"), [(1e30, 1e30, 1.0), (3e38, 1e-30, 1.0), (1.0, 1.0, 1e20)]
)
def test_an_update_whose_aggregate_would_overflow_does_not_stop_the_line(
    make_loop: MakeLoop, b: float, a: float, dense: float
):
    def huge(data: bytes) -> bytes:
        real = decode(data)
        factors = {
            name: Factors(torch.full_like(f.b, b), torch.full_like(f.a, a))
            for name, f in real.factors.items()
        }
        heads = {name: torch.full_like(value, dense) for name, value in real.dense.items()}
        return encode(Adapter(factors, heads))

    loop = make_loop(TWO, rounds=2, quorum=1)
    node(loop, "bob").tamper = with_blob(huge)
    loop.run()
    assert loop.head() == 2
    rejected = [c for c in loop.registry.contributions("line") if c.status == "rejected"]
    assert {c.identity for c in rejected} == {node(loop, "bob").identity}
    assert "learning rate" in rejected[0].reason
