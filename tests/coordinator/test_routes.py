"""References of a family's members, and the routing table that nodes get, over the driver."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from polyrank.aggregation import Reference, RouteTable, SummarySpec, route, summarise
from polyrank.client._route import answer
from polyrank.coordinator._families import Family
from polyrank.coordinator._observe import Window
from polyrank.coordinator._references import (
    by_member,
    joined,
    refreshed,
    routes,
    table_of,
    usual_place,
)
from polyrank.coordinator._watch import Membership
from polyrank.store import Ledger, open_ledger

from .family_world import WARM_UP, World

SPEC = SummarySpec(7, bandwidth=1.0)


def window(seed: int, *, width: int = 6, spec: SummarySpec = SPEC, shift: float = 0.0) -> Any:
    rows = torch.randn(80, width, generator=torch.Generator().manual_seed(seed)) + shift
    return summarise(spec, [0.0] * 80, features=rows)


def test_batches_find_the_member_with_such_inputs_until_it_is_merged_away() -> None:
    with open_ledger("memory://") as ledger:
        world = World(ledger, merge_tolerance=40.0, refractory=1, merge_every=2)
        world.review(WARM_UP)
        assert _routes(world) == {"family": "line"}, "one member: nothing to choose, no traffic"
        for name in ("ann", "bob"):
            world.streams[name].drift(is_flipped=True, shift=4.0)
        while not world.decisions("expand_adapter"):
            world.review()
        world.simulation.run(until=lambda: not world.open_decisions())
        assert world.member("ann") == "line/2"
        assert set(_routes(world)["table"]["entries"]) == {"line", "line/2"}
        _finds(world)
        world.review()  # nodes have been asked, and so have got the table
        desk: Any = world.nodes["ann"]._desk
        known = desk._worker._windows._routes.find("line")
        assert (known.family, known.own) == ("line", "line/2")
        assert answer(known, world.streams["cid"].features()).adapter == "line"
        if not world.decisions("merge"):
            _finds(world)
        while not world.decisions("merge"):
            world.review()
        world.simulation.run(until=lambda: not world.open_decisions())
        assert _routes(world) == {"family": "line"}
        _is_known_to_the_root_alone(ledger)


def _routes(world: World) -> dict[str, Any]:
    """The table is on record: a family that is read anew says the same."""
    family = Family("line", world.config.adapters["line"], world.ledger)
    found = family.window()["routes"]
    assert json.loads(json.dumps(found)) == found
    return found


def _finds(world: World) -> None:
    table = RouteTable.from_json(_routes(world)["table"])
    for name, member in (("ann", "line/2"), ("bob", "line/2"), ("cid", "line"), ("fay", "line")):
        found = route(world.streams[name].features(), table)
        assert (found.adapter, found.is_clear) == (member, True)
    both = torch.cat([world.streams[name].features() for name in ("ann", "cid")])
    assert route(both, table).shares["line"] == pytest.approx(0.5, abs=0.1)


def _is_known_to_the_root_alone(ledger: Ledger) -> None:
    """The merged member keeps its reference, and the one that goes on has taken it in."""
    memory = {m.adapter: Membership.from_json(m.payload) for m in ledger.registry.members("line")}
    spec = SummarySpec.from_json(ledger.registry.family("line").payload["spec"])
    ended = Reference.from_json(memory["line/2"].reference, spec)
    whole = Reference.from_json(memory["line"].reference, spec)
    assert memory["line"].took is not None
    assert whole.count > ended.count > 0


def found(identity: str, adapter: str, *harm: bool) -> Any:
    seen = Window(key="k", identity=identity, adapter=adapter, summary=window(len(harm)))
    return SimpleNamespace(window=seen, finding=SimpleNamespace(watch=SimpleNamespace(harm=harm)))


def test_harmful_windows_are_no_part_of_what_a_member_serves() -> None:
    review = [found("i", "a", True, False), found("j", "a", False, True), found("k", "b", False)]
    windows = by_member(review, {}, "")
    assert {name: len(of) for name, of in windows.items()} == {"a": 1, "b": 1}


def test_features_from_another_place_of_the_model_are_left_out() -> None:
    places = {"i": "into layer 5", "j": "into layer 5", "k": "end"}
    review = [found(identity, "a", False) for identity in ("i", "j", "k", "l")]
    usual = usual_place(review, places)
    assert usual == "into layer 5"
    assert len(by_member(review, places, usual)["a"]) == 3, "k is elsewhere; l says nothing"
    assert usual_place(review, {}) == ""


def test_a_reference_forgets_and_leaves_out_what_does_not_fit() -> None:
    first = refreshed(None, [window(1), window(2)], SPEC, share=0.75)
    assert first is not None
    assert first["count"] == 160
    later = refreshed(first, [window(3)], SPEC, share=0.75)
    assert later is not None
    assert later["count"] == 200
    assert refreshed(later, [], SPEC, share=0.75) == later, "no window: as it was"
    assert refreshed(later, [window(4, width=5)], SPEC, share=0.75) is not None
    odd = refreshed(later, [window(4, width=5), window(3)], SPEC, share=0.75)
    assert odd is not None
    assert (odd["width"], odd["count"]) == (6, 230)
    usual = refreshed(None, [window(1, width=5), window(2), window(3)], SPEC, share=0.75)
    assert usual is not None
    assert (usual["width"], usual["count"]) == (6, 160)
    plain = SummarySpec(7)
    assert refreshed(None, [window(1, spec=plain)], SPEC, share=0.75) is None
    anew = refreshed(first | {"fourier": "?"}, [window(3)], SPEC, share=0.75)
    assert anew is not None
    assert anew["count"] == 80


def test_two_members_that_become_one_have_all_their_rows() -> None:
    one, two = (refreshed(None, [window(i)], SPEC, share=1.0) for i in (1, 2))
    both = joined(one, two, SPEC.to_json())
    assert both is not None
    assert both["count"] == 160
    assert joined(one, None, SPEC.to_json()) == one
    assert joined(None, two, SPEC.to_json()) == two
    assert joined(None, None, SPEC.to_json()) is None
    narrow = refreshed(None, [window(3, width=5)], SPEC, share=1.0)
    assert joined(one, narrow, SPEC.to_json()) == one


class Members:
    """A family of members with references, as `routes` asks for them."""

    root = "line"
    spec = SPEC.to_json()
    place = "end"

    def __init__(self, references: dict[str, Any]) -> None:
        self._references = references
        self.active = list(references)

    def users(self, member: str) -> int:
        return int(member.rpartition("/")[2])

    def reference(self, member: str) -> Any:
        return self._references[member]


def test_a_table_has_the_members_with_most_users_that_have_a_reference() -> None:
    known = refreshed(None, [window(1)], SPEC, share=1.0)
    many = routes(Members({f"line/{i}": known for i in range(20)}))
    assert sorted(many["table"]["entries"]) == sorted(f"line/{i}" for i in range(4, 20))
    some = routes(Members({"line/1": known, "line/2": None, "line/3": known}))
    assert sorted(some["table"]["entries"]) == ["line/1", "line/3"]
    assert routes(Members({"line/1": known, "line/2": None})) == {"family": "line", "table": None}
    assert routes(Members({"line/1": None})) == {"family": "line"}
    narrow = refreshed(None, [window(3, width=5)], SPEC, share=1.0)
    table = table_of(SPEC.to_json(), {"a": known, "b": known, "c": narrow})
    assert sorted(table.entries) == ["a", "b"]


def test_memberships_from_before_references_are_read() -> None:
    old = {"age": 3, "parent": None, "provisional": False, "idle": 0, "trials": {}, "pinned": None,
           "absorbed": [], "merged_into": None}  # fmt: skip
    found = Membership.from_json(old)
    assert (found.age, found.reference, found.took) == (3, None, None)
