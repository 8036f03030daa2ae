"""Drift has a name on record: what the tests of a node's last windows show together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from polyrank.coordinator._watch import Moments, Watch
from polyrank.store import Ledger, NodeEvidence, Review, open_ledger

from .family_world import WARM_UP, World


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


def shown(world: World, name: str) -> list[NodeEvidence]:
    """Return what reviews have on record of a node."""
    reviews = [e.payload["review"] for e in world.ledger.registry.evidence() if e.kind == "review"]
    identity = world.nodes[name].identity
    return [n for r in reviews for n in Review.from_json(r).nodes if n.identity == identity]


def test_contradicting_labels_are_a_concept_drift_and_their_return_is_recurring(
    ledger: Ledger,
) -> None:
    world = World.warmed_up(ledger, refractory=1, provisional_age=50, merge_every=50)
    assert "; concept drift)" in world.split().reason
    world.review(4)
    world.flip("ann", "bob", back=True)
    world.review()
    assert world.member("ann") == "line"
    assert shown(world, "ann")[-1].drift == "recurring", "a stored adapter knows it"


def test_new_features_are_sudden_and_known_ones_recur(ledger: Ledger) -> None:
    world = World(ledger, refractory=0)
    world.review(WARM_UP)
    world.streams["cid"].drift(shift=1.5)
    world.review()
    assert "; sudden drift)" in world.decisions("pin")[-1].reason
    world.review(3)  # a new reference
    world.streams["cid"].drift(shift=0.0)
    world.review()
    assert shown(world, "cid")[-1].drift == "recurring"


def test_a_watch_comes_back_from_its_record_and_from_one_of_before_drift_had_a_name() -> None:
    watch = Watch().after(
        "a", Moments(8, 1.0, 2.0), is_harmful=False, is_reference=True, windows=1, review=3,
        shown=(None, 1.5, -2.0),
    )  # fmt: skip
    put_aside = watch.pinned().moved()
    assert put_aside.earlier == (("a",),)
    assert put_aside.moves == (3,)
    assert put_aside.moved() == put_aside, "a move that is made again is one move"
    for one in (watch, put_aside):
        assert Watch.from_json(one.to_json()) == one
    old = {k: v for k, v in watch.to_json().items() if k not in ("shown", "earlier", "moves")}
    assert Watch.from_json(old).base == watch.base
    assert Watch.from_json(old).shown == ()
