"""Routing tables, routes and what fits a node, as every registry tells of them."""

import pytest
from polyrank.store import (
    InvalidValue,
    NotFound,
    RouteEntry,
    RouteShare,
    Routing,
    RoutingTable,
    Unsupported,
)
from store_blobs import adapter_blob
from store_worlds import NAME

SECOND = f"{NAME}/2"
REFERENCE = {"count": 80.5, "fourier": "AAAA"}


@pytest.fixture
def epoch(pair, begin_family):
    """A family of two members with stable versions, three nodes, and an archived member."""
    ledger = pair.ledger
    epoch = begin_family(ledger)
    ledger.put_member(NAME, SECOND, state="active", payload={"reference": REFERENCE}, epoch=epoch)
    ledger.create_adapter(f"{NAME}/3", base_model="base", epoch=epoch)
    ledger.put_member(NAME, f"{NAME}/3", state="archived", payload={}, epoch=epoch)
    ledger.assign(NAME, {"n1": (SECOND, {}), "n2": (SECOND, {}), "n3": (NAME, {})}, epoch=epoch)
    ledger.publish(SECOND, adapter_blob({"fc": (4, 3, 3)}, {"head": (2, 4)}), epoch=epoch,
                   aliases=("stable",), origin="expand", metrics={"x": 1.0})  # fmt: skip
    ledger.publish(SECOND, adapter_blob({"fc": (4, 2, 3)}, fill=2), epoch=epoch)
    return epoch


def test_a_routing_table_has_every_member_and_what_is_known_of_it(registry, epoch):
    found = registry.routes(NAME)
    assert found == RoutingTable(
        family=NAME,
        spec={"seed": 7},
        entries=(
            RouteEntry(adapter=NAME, state="active", stable=None, users=1, reference={}),
            RouteEntry(adapter=SECOND, state="active", stable=0, users=2, reference=REFERENCE),
            RouteEntry(adapter=f"{NAME}/3", state="archived", stable=None, users=0, reference={}),
        ),
    )
    for call in (registry.routes, lambda name: registry.route(name, {})):
        with pytest.raises(NotFound, match="nobody"):
            call("nobody")


def test_routing_is_the_routers_and_its_answer_arrives_whole(pair, registry, epoch):
    with pytest.raises(Unsupported, match="router"):
        registry.route(NAME, {"count": 3})
    asked = []
    answer = Routing(
        family=NAME, adapter=SECOND, stable=0, is_clear=False, ties=(NAME,),
        shares=(RouteShare(adapter=SECOND, share=1.0, distance=-0.25),
                RouteShare(adapter=NAME, share=0.0, distance=None)),
    )  # fmt: skip

    def router(table, summary, own):
        asked.append((table, summary, own))
        if summary.get("count") == 0:
            raise InvalidValue("summary", "no rows")
        return answer

    pair.local._router = router
    summary = {"count": 3, "loss_sum": 0.5, "class_counts": [1, 2]}
    assert registry.route(NAME, summary, own=SECOND) == answer
    assert registry.route(NAME, summary) == answer
    assert asked == [(registry.routes(NAME), summary, own) for own in (SECOND, None)]
    with pytest.raises(InvalidValue, match="no rows"):
        registry.route(NAME, {"count": 0})
    for bad in ([1], "text", None, 3):
        with pytest.raises(InvalidValue, match="summary"):
            registry.route(NAME, bad)


def test_what_fits_is_the_stable_version_or_a_part_of_it(registry, epoch):
    first, second = registry.fitting({"max_rank": 8}, family=NAME)
    assert [fit.version.ref for fit in (first, second)] == [f"{NAME}@0", f"{SECOND}@0"]
    assert (second.rank_served, second.size_bytes) == (3, second.version.size_bytes)
    assert (second.users, second.quality, second.quality_name) == (2, None, "")
    (_, part) = registry.fitting({"max_rank": 2}, family=NAME)
    assert (part.rank_served, part.version.rank) == (2, 3)
    assert part.size_bytes == 4 * (2 * (4 + 3) + 2 * 4), "two columns of each factor and the head"
    least = 4 * (1 * (4 + 3) + 2 * 4)
    (small,) = registry.fitting({"max_rank": 8, "memory_bytes": least}, family=NAME)
    assert (small.version.ref, small.rank_served, small.size_bytes) == (f"{SECOND}@0", 1, least)
    assert registry.fitting({"max_rank": 8, "memory_bytes": least - 1}, family=NAME) == []


def test_what_fits_is_on_the_same_base_and_no_trial(pair, registry, epoch):
    ledger = pair.ledger
    ledger.register_base_model("other", fingerprint="e" * 64, epoch=epoch)
    ledger.create_adapter("a", base_model="other", epoch=epoch)
    ledger.create_adapter("t", base_model="base", tags={"role": "trials"}, epoch=epoch)
    ledger.create_adapter("gone", base_model="base", epoch=epoch)
    for name in ("a", "t", "gone"):
        ledger.publish(name, adapter_blob({"fc": (4, 1, 3)}), epoch=epoch)
    pair.local.retire_adapter("gone")

    def lines(**card):
        return [f.version.adapter for f in registry.fitting({"max_rank": 4, **card})]

    assert sorted(lines()) == ["a", NAME, SECOND]
    assert lines(fingerprint="e" * 64) == ["a"]
    assert sorted(lines(fingerprint="f" * 64)) == [NAME, SECOND]
    assert lines(fingerprint="0" * 64) == []
    assert len(registry.fitting({"max_rank": 4}, limit=1)) == 1


def test_a_line_that_was_merged_away_is_left_out(pair, registry, epoch):
    ended = {"merged_into": f"{NAME}@0"}
    pair.ledger.put_member(NAME, SECOND, state="archived", payload=ended, epoch=epoch)
    fits = registry.fitting({"max_rank": 8}, family=NAME)
    assert [fit.version.adapter for fit in fits] == [NAME]


def test_tags_of_the_line_and_of_its_users_come_first_then_quality(pair, registry, epoch):
    ledger = pair.ledger
    cards = {"n1": {"domain": "movies"}, "n2": {"domain": "tweets"}, "n3": {"domain": "nyt"}}
    for identity, tags in cards.items():
        ledger.put_node(identity, name=identity, card={"tags": tags}, address=None,
                        status="gone", epoch=epoch)  # fmt: skip
    ledger.create_adapter("z", base_model="base", tags={"domain": "movies"}, epoch=epoch)
    ledger.publish("z", adapter_blob({"fc": (4, 1, 3)}), epoch=epoch)

    def found(**tags):
        fits = registry.fitting({"max_rank": 4, "tags": tags})
        return [(fit.version.adapter, fit.tag_score) for fit in fits]

    assert found(domain="movies") == [("z", 1.0), (SECOND, 0.5), (NAME, 0.0)]
    assert found(domain="nyt")[0] == (NAME, 1.0)
    assert [score for _, score in found()] == [0.0] * 3
    for who, value in (("n1", 0.5), ("n2", 0.9)):
        measured = {"balanced_accuracy": value, "loss": 9.0}
        ledger.record_metrics(f"{SECOND}@0", measured, identity=who, epoch=epoch)
    ledger.record_metrics(f"{NAME}@0", {"balanced_accuracy": 0.8}, identity="n3", epoch=epoch)
    ledger.record_metrics("z@0", {"loss": 0.1}, identity="n3", epoch=epoch)
    fits = registry.fitting({"max_rank": 4})
    order = [(fit.version.adapter, fit.quality_name, fit.quality) for fit in fits]
    assert order == [
        (NAME, "balanced_accuracy", 0.8),
        (SECOND, "balanced_accuracy", pytest.approx(0.7)),
        ("z", "loss", -0.1),
    ]


@pytest.mark.parametrize(
    ("card", "field"),
    [({}, "max_rank"), ({"max_rank": 0}, "max_rank"), ({"max_rank": "4"}, "max_rank"),
     ({"max_rank": 4, "memory_bytes": -1}, "memory_bytes"),
     ({"max_rank": 4, "tags": [1]}, "tags"), ({"max_rank": 4, "tags": {"a": 1}}, "tags"),
     ({"max_rank": 4, "fingerprint": 7}, "fingerprint"), ([4], "card")],
)  # fmt: skip
def test_a_card_that_cannot_be_read_is_refused_by_its_field(registry, card, field):
    with pytest.raises(InvalidValue, match=field):
        registry.fitting(card)


def test_limits_and_unknown_families_are_refused(registry, epoch):
    for limit in (0, 1001):
        with pytest.raises(InvalidValue, match="limit"):
            registry.fitting({"max_rank": 4}, limit=limit)
    with pytest.raises(NotFound, match="nobody"):
        registry.fitting({"max_rank": 4}, family="nobody")
