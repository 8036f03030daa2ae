"""What a node says of its window is refused where it cannot be, and bounded where it is a lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from polyrank.aggregation import SummarySpec, summarise
from polyrank.aggregation._summary_codec import pack, pack_symmetric
from polyrank.coordinator._read_all import read_all
from polyrank.store import Ledger, open_ledger

from .family_world import NAMES, WARM_UP
from .liars import CLIP, Lie, LyingWorld, both, delighted, dreadful

OTHERS = NAMES[2:]
STRUCTURAL = ("expand_adapter", "merge", "archive")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


def setting(**fields: Any) -> Lie:
    return lambda values: values["summary"].update(fields)


def other_seed(values: dict[str, Any]) -> None:
    values["summary"] = summarise(SummarySpec(99, classes=2), [0.1, 0.2], labels=[0, 1]).to_json()


def negated(values: dict[str, Any]) -> None:
    """Turn the sum of products into what no rows could give."""
    values["summary"]["projected_products"] = "/w//fw==" * 352


def without(values: dict[str, Any]) -> None:
    del values["summary"]["count"]


REFUSED: dict[str, tuple[Lie, str]] = {
    "another federation's projection seed": (other_seed, "spec: of another spec"),
    "no rows": (setting(count=0), "count"),
    "more rows than there can be": (setting(count=2**40), "count"),
    "classes that do not sum to the rows": (setting(class_counts=[900, 1]), "class_counts"),
    "more right than there are": (setting(correct_counts=[80, 81]), "correct_counts"),
    "a negative variance of losses": (setting(loss_square_sum=0.0), "a negative variance"),
    "losses beyond the clip": (setting(loss_sum=1e9, loss_square_sum=1e18), "loss_sum"),
    "losses that are no number": (setting(loss_sum=float("nan")), "loss_sum"),
    "products that no rows could give": (negated, "projected_products"),
    "a summary with a field missing": (without, "count"),
    "no summary at all": (lambda values: values.clear(), "cannot be used"),
}


def test_what_no_rows_could_give_is_refused_with_its_reason_and_the_review_goes_on_without(
    ledger: Ledger,
) -> None:
    world = LyingWorld(ledger)
    world.review(2)
    for what, (lie, said) in REFUSED.items():
        world.let_lie(lie, "ann")
        seen = len(refusals(ledger))
        world.review()
        (refused,) = refusals(ledger)[seen:]
        assert refused["identity"] == world.nodes["ann"].identity, what
        assert said in refused["reason"], what
    assert world.reviews == 2 + len(REFUSED)
    assert not world.decisions(*STRUCTURAL, "reroute")
    assert watch(world, "ann")["reviewed"] == 2, "nothing of it was taken in"
    world.let_lie(None, "ann")
    world.review()
    assert watch(world, "ann")["reviewed"] == world.reviews, "it may always come back"


def refusals(ledger: Ledger) -> list[Mapping[str, Any]]:
    found = read_all(lambda since: ledger.registry.events(since=since, limit=1000))
    return [event.payload for event in found if event.kind == "task_rejected"]


def watch(world: LyingWorld, name: str) -> dict[str, Any]:
    identity = world.nodes[name].identity
    (found,) = [a for a in world.ledger.registry.assignments("line") if a.identity == identity]
    return dict(found.payload)


def test_a_node_that_lies_about_its_loss_changes_nothing_for_anybody(ledger: Ledger) -> None:
    world = LyingWorld(ledger)
    world.review(WARM_UP)
    world.let_lie(both, "ann")
    world.review(5)
    assert not world.decisions(*STRUCTURAL, "reroute", "pin")
    mine = [d for d in world.decisions("keep") if world.nodes["ann"].identity in d.payload["nodes"]]
    held = [d for d in world.decisions("hold") if world.nodes["ann"].identity[:12] in d.reason]
    assert len(mine) + len(held) >= 5, (
        "it is on record at each review, with the reason why nothing follows"
    )
    assert all("a new one takes 2 nodes" in d.reason for d in mine)
    assert {world.member(name) for name in NAMES} == {"line"}


@pytest.mark.soak
def test_a_node_that_lies_among_several_members_moves_itself_alone_and_seldom(
    ledger: Ledger,
) -> None:
    world = LyingWorld(ledger, refractory=3, provisional_age=50, merge_every=50)
    world.split()
    world.review(2)
    world.let_lie(both, "cid")
    began = world.reviews
    world.review(8)
    moves = [d for d in world.decisions("reroute") if review_of(world, d) > began]
    assert {i for d in moves for i in d.payload["nodes"]} == {world.nodes["cid"].identity}
    assert at_most_twice_in_four([review_of(world, d) for d in moves])
    assert 2 <= len(moves) <= 5
    assert [d.number for d in world.decisions(*STRUCTURAL)] == [1]
    assert world.member("ann") == world.member("bob") == "line/2"
    assert {world.member(name) for name in ("dan", "eve", "fay")} == {"line"}


def review_of(world: LyingWorld, decision: Any) -> int:
    by_number = {e.number: e for e in world.ledger.registry.evidence(limit=1000)}
    return int(by_number[decision.evidence[0]].subject.removeprefix("review "))


def at_most_twice_in_four(reviews: list[int]) -> bool:
    return all(sum(at <= other < at + 4 for other in reviews) <= 2 for at in reviews)


def test_a_node_that_flaps_between_two_conventions_moves_at_most_twice_in_refractory_reviews(
    ledger: Ledger,
) -> None:
    """It is right where it is at every second window, and never where it has been moved."""
    world = LyingWorld(ledger, refractory=3, provisional_age=50, merge_every=50)
    world.split()
    world.review(2)
    began = world.reviews
    for turn in range(8):
        world.flip("cid", back=bool(turn % 2))
        world.review()
    moves = [d for d in world.decisions("reroute") if review_of(world, d) > began]
    assert moves, "it is moved where its rows are served"
    assert {i for d in moves for i in d.payload["nodes"]} == {world.nodes["cid"].identity}
    assert at_most_twice_in_four([review_of(world, d) for d in moves])
    assert not [d for d in world.decisions(*STRUCTURAL) if review_of(world, d) > began]
    assert {world.member(name) for name in ("dan", "eve", "fay")} == {"line"}


@pytest.mark.soak
def test_a_node_whose_features_flap_pins_seldom_and_moves_nobody(ledger: Ledger) -> None:
    world = LyingWorld(ledger, refractory=3)
    world.review(WARM_UP)
    began = world.reviews
    for turn in range(8):
        world.streams["cid"].drift(shift=0.0 if turn % 2 else 1.5)
        world.review()
    assert not world.decisions(*STRUCTURAL, "reroute")
    pins = [review_of(world, d) for d in world.decisions("pin") if review_of(world, d) > began]
    assert pins
    assert all(later - at > 3 for at, later in pairwise(pins))


def test_one_node_cannot_merge_two_members_over_the_heads_of_the_others(ledger: Ledger) -> None:
    """The other node of its side loses more than the tolerance; the lie would hide it in a mean."""
    world = LyingWorld(ledger, merge_tolerance=1.0, provisional_age=2, merge_every=2)
    world.split()
    world.let_lie(delighted, "ann")
    world.review(5)
    tried = [d for d in world.decisions("keep") if "trial merge" in d.reason]
    assert tried
    honest = min(d.payload["numbers"]["absorb_loss_change"] for d in tried)
    assert honest > -CLIP, "the liar's answer was left out"
    assert not world.decisions("merge")


def test_a_claim_of_very_many_rows_does_not_settle_what_all_nodes_are_asked(
    ledger: Ledger,
) -> None:
    plain = LyingWorld(ledger)
    plain.review()
    expected = ledger.registry.family("line").payload["spec"]["bandwidth"]

    def many(values: dict[str, Any]) -> None:
        """A million rows that are all alike: alone they would give the least bandwidth."""
        found = values["summary"]
        scale = 1_000_000 // found["count"]
        for name in ("count", "loss_sum", "loss_square_sum"):
            found[name] *= scale
        for name in ("class_counts", "correct_counts"):
            found[name] = [n * scale for n in found[name]]
        mean = torch.ones(32) / 32**0.5
        found["projected_sum"] = pack(found["count"] * mean)
        found["projected_products"] = pack_symmetric(found["count"] * torch.outer(mean, mean))

    with open_ledger("memory://") as other:
        world = LyingWorld(other)
        world.let_lie(many, "ann")
        world.review()
        found = other.registry.family("line").payload["spec"]["bandwidth"]
    assert abs(found - expected) < 0.2 * expected


def test_two_identities_that_collude_get_one_adapter_of_their_own_and_nothing_of_the_others(
    ledger: Ledger,
) -> None:
    """The stated limit: who holds two identities can make lines, until the budget is used up."""
    world = LyingWorld(ledger, max_adapters=3)
    world.review(WARM_UP)
    world.let_lie(dreadful, "ann", "bob")
    world.review(8)
    colluding = {world.nodes[name].identity for name in ("ann", "bob")}
    made = world.decisions("expand_adapter")
    assert made
    assert all(set(d.payload["nodes"]) == colluding for d in made)
    moved = {i for d in world.decisions("reroute") for i in d.payload["nodes"]}
    assert moved <= colluding
    assert {world.member(name) for name in OTHERS} == {"line"}
    active = [m for m in ledger.registry.members("line") if m.state == "active"]
    assert len(active) <= 3
