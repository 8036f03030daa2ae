"""Routing: batches whose mixture is known, references that cannot be told apart, bad input."""

import json

import pytest
import torch
from polyrank.aggregation import (
    ArgumentError,
    NotFiniteError,
    NothingToAggregateError,
    Reference,
    RouteTable,
    ShapeError,
    SummaryError,
    SummarySpec,
    add,
    blend,
    encode,
    reference,
    route,
    summarise,
)

WIDTH = 48
SPEC = SummarySpec(7, bandwidth=1.0)
NAMES = ("line", "line/2", "line/3")


def rows(place: int, count: int, seed: int = 0) -> torch.Tensor:
    """Draw features about one of three centres, far enough apart to be told in most rows."""
    generator = torch.Generator().manual_seed(1000 * place + seed)
    found = torch.randn(count, WIDTH, generator=generator)
    found[:, place] += 5.0
    return found


def summed(features: torch.Tensor):
    windows = [features[i : i + 80] for i in range(0, len(features), 80)]
    return add(summarise(SPEC, [0.0] * len(w), features=w) for w in windows)


def made(*places: int, count: int = 400) -> RouteTable:
    found = {
        NAMES[i]: reference(summed(rows(place, count, seed=50 + i)))
        for i, place in enumerate(places)
    }
    return RouteTable.of(SPEC, found)


@pytest.fixture(scope="module")
def table() -> RouteTable:
    return made(0, 1, 2)


@pytest.mark.parametrize("count", [1, 8, 200])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_pure_batch_goes_to_its_own_adapter(table: RouteTable, place: int, count: int):
    found = route(rows(place, count, seed=3), table)
    assert found.adapter == NAMES[place]
    assert found.is_clear
    assert found.shares[NAMES[place]] > 0.95
    assert min(found.distances, key=lambda name: found.distances[name]) == NAMES[place]
    assert abs(sum(found.shares.values()) - 1) < 1e-9
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_mixed_batch_gets_its_shares_and_each_row_its_own(table: RouteTable, share: float):
    first = round(200 * share)
    batch = torch.cat([rows(0, first, seed=5), rows(2, 200 - first, seed=6)])
    found = route(batch, table)
    assert found.shares["line"] == pytest.approx(share, abs=0.05)
    assert found.shares["line/2"] < 0.03
    truth = ["line"] * first + ["line/3"] * (200 - first)
    assert sum(a == b for a, b in zip(found.rows, truth, strict=True)) > 185
    assert found.is_clear == (share != 0.5)
    of_sums = route(summed(batch), table)
    assert of_sums.shares["line"] == pytest.approx(share, abs=0.08)
    assert of_sums.rows == ()
    assert of_sums.distances == pytest.approx(found.distances, abs=1e-2)


def test_the_batch_tells_where_a_row_alone_cannot():
    """Sixty rows of one adapter say where a row between two belongs."""
    table = made(0, 1)
    noise = torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(3))
    alone = [route(row[None], table).shares["line"] for row in noise]
    between = noise[min(range(200), key=lambda i: abs(alone[i] - 0.5))][None]
    assert not route(between, table).is_clear
    for place in (0, 1):
        batch = torch.cat([rows(place, 60, seed=10), between])
        assert route(batch, table).rows[-1] == NAMES[place]


def test_adapters_with_the_same_inputs_are_a_tie_that_goes_to_the_one_in_use():
    table = made(0, 0, 2)
    batch = rows(0, 100, seed=4)
    for own in ("line", "line/2"):
        found = route(batch, table, own=own)
        (other,) = {"line", "line/2"} - {own}
        assert (found.adapter, found.ties, found.is_clear) == (own, (other,), False)
        assert found.shares[own] > 0.99
        assert found.shares[other] == 0
    assert route(rows(2, 100, seed=4), table, own="line").adapter == "line/3", "inputs say so"
    more = RouteTable.of(
        SPEC, {name: reference(summed(rows(0, n, seed=n))) for name, n in (("a", 160), ("b", 320))}
    )
    assert route(batch, more).adapter == "b", "without one in use: the one with most rows"
    assert route(batch, more, own="unknown").adapter == "b"


def test_one_adapter_alone_gets_everything():
    found = route(rows(2, 5), made(0))
    assert (found.adapter, found.shares, found.is_clear) == ("line", {"line": 1.0}, True)


def test_old_rows_weigh_less_in_a_blend():
    old, new = (reference(summed(rows(place, 80))) for place in (0, 1))
    found = blend([(old, 0.25), (new, 1.0)])
    assert found.count == 100
    expected = 0.2 * old.fourier + 0.8 * new.fourier
    assert torch.allclose(found.fourier, expected, atol=1e-6)
    assert torch.allclose(found.products, 0.2 * old.products + 0.8 * new.products, atol=1e-6)
    whole = blend([(reference(summed(rows(0, 80, seed=i))), 1.0) for i in range(3)])
    pooled = reference(add(summed(rows(0, 80, seed=i)) for i in range(3)))
    assert torch.allclose(whole.fourier, pooled.fourier, atol=1e-6)
    assert whole.spread == pytest.approx(pooled.spread)


def test_references_and_tables_survive_json(table: RouteTable):
    one = reference(summed(rows(0, 80)))
    again = Reference.from_json(json.loads(json.dumps(one.to_json())), SPEC)
    assert torch.equal(again.fourier, one.fourier)
    assert (again.count, again.width, again.spread) == (one.count, one.width, one.spread)
    text = json.dumps(table.to_json())
    assert len(text) < 3400 + 1700 * len(NAMES)
    same = RouteTable.from_json(json.loads(text))
    batch = rows(1, 20)
    assert route(batch, same) == route(batch, table)


def test_what_cannot_be_routed_is_refused(table: RouteTable):
    good = rows(0, 4)
    with pytest.raises(ShapeError, match="width"):
        route(good[:, :-1], table)
    with pytest.raises(ShapeError):
        route(good[0], table)
    with pytest.raises(ArgumentError, match="one row"):
        route(good[:0], table)
    with pytest.raises(NotFiniteError):
        route(good.index_fill(1, torch.tensor([3]), torch.nan), table)
    with pytest.raises(ArgumentError, match="floating"):
        route(good.long(), table)
    with pytest.raises(ArgumentError, match="floating"):
        route([[1.0]], table)
    other = SummarySpec(8, bandwidth=1.0)
    with pytest.raises(SummaryError, match="spec"):
        route(summarise(other, [0.0] * 4, features=good), table)
    with pytest.raises(SummaryError, match="width"):
        route(summarise(SPEC, [0.0] * 4, features=good[:, :-1]), table)
    with pytest.raises(SummaryError, match="width"):
        route(summarise(SPEC, [0.0] * 4), table)


def test_references_that_do_not_fit_together_are_refused():
    one = reference(summed(rows(0, 80)))
    narrow = reference(summarise(SPEC, [0.0] * 80, features=rows(0, 80)[:, :-1]))
    for bad in ([(one, 1.0), (narrow, 1.0)], [(one, 0.0)]):
        with pytest.raises(SummaryError):
            blend(bad)
    with pytest.raises(NothingToAggregateError):
        blend([])
    with pytest.raises(SummaryError):
        RouteTable.of(SPEC, {})
    with pytest.raises(SummaryError):
        RouteTable.of(SPEC, {"a": one, "b": narrow})
    with pytest.raises(SummaryError):
        RouteTable.of(SummarySpec(9, bandwidth=1.0), {"a": one})
    with pytest.raises(SummaryError, match="features"):
        reference(summarise(SPEC, [0.0]))
    with pytest.raises(SummaryError, match="Fourier"):
        reference(summarise(SummarySpec(7), [0.0] * 4, features=rows(0, 4)))


CHANGES = {
    "format": 2, "spec": "0" * 64, "count": 0, "width": 0, "spread": 1.5, "fourier": "",
    "projected": "AAAA", "products": 7,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_reference_is_refused_by_the_name_of_its_field(name: str):
    values = reference(summed(rows(0, 80))).to_json() | {name: CHANGES[name]}
    with pytest.raises(SummaryError, match=name):
        Reference.from_json(values, SPEC)


@pytest.mark.parametrize(
    ("name", "value"),
    [("format", 2), ("width", -1), ("trace", 0.0), ("variance", 2.0), ("covariance", "x"),
     ("entries", {}), ("entries", []), ("entries", {"": {}}), ("entries", {"a": {"count": 1}}),
     ("spec", {}), ("more", 1)],
)  # fmt: skip
def test_a_damaged_table_is_refused(table: RouteTable, name: str, value: object):
    with pytest.raises(SummaryError):
        RouteTable.from_json(table.to_json() | {name: value})


def test_a_mixture_of_adapters_is_their_weighted_stack(table: RouteTable):
    """The shares are weights of an exact stack: here of two adapters of one module."""
    from polyrank.aggregation import Adapter, Factors, stack

    batch = torch.cat([rows(0, 30, seed=5), rows(1, 10, seed=6)])
    shares = route(batch, table).shares
    parts = [Adapter({"q": Factors(torch.full((3, 1), v), torch.ones(1, 2))}) for v in (1.0, 2.0)]
    mixed = stack([(parts[0], shares["line"]), (parts[1], shares["line/2"])])
    expected = shares["line"] * 1.0 + shares["line/2"] * 2.0
    delta = mixed.factors["q"].b @ mixed.factors["q"].a
    assert torch.allclose(delta, torch.full((3, 2), expected))
    assert encode(mixed)
