"""Each method is its paper's, gauge included; what is exact is exact; bad wishes are refused."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from polyrank.aggregation import (
    METHODS,
    STARTS,
    Adapter,
    Aggregated,
    ArgumentError,
    Factors,
    NotFiniteError,
    NothingToAggregateError,
    NumericalError,
    RankError,
    ShapeError,
    UnknownModuleError,
    Update,
    began,
    begin,
    check_method,
    empty,
    encode,
    method,
    normalise,
    truncate,
)
from torch import Tensor

from . import papers
from .oracle import assert_same_deltas, dense_delta, next_state_formula
from .papers import Upload
from .worlds import random_factors, trained

SHAPE = (14, 11)
RANKS, EQUAL = (2, 4, 4, 7), (4, 4, 4, 4)
SHARES = normalise([10, 40, 20, 30])
HEAD = {"head": torch.tensor([1.0, -2.0, 0.5])}


def local_training(start: Adapter, trains: str, seed: int) -> Adapter:
    """Move what the method lets a node move, and the head."""
    moved = trained(start, seed)
    kept = {
        name: Factors(
            start.factors[name].b if trains == "a" else f.b,
            start.factors[name].a if trains == "b" else f.a,
        )
        for name, f in moved.factors.items()
    }
    return Adapter(kept, moved.dense)


def updates_of(
    name: str, state: Adapter, step: int, ranks: Sequence[int] = RANKS, **options: str
) -> list[Update]:
    start = method(name, **options).starting(step)
    updates: list[Update] = []
    for place, (rank, share) in enumerate(zip(ranks, SHARES, strict=True)):
        node = begin(state, rank, seed=step, start=start)
        after = local_training(node.trainable, node.trains, 100 * step + place)
        updates.append((began(state, rank, start), after, share))
    return updates


def close_round(
    name: str, state: Adapter, updates: Sequence[Update], step: int, rank: int | None = None
) -> Aggregated:
    return method(name).next_state(state, updates, step=step, state_rank=rank)


def uploads_of(updates: Sequence[Update]) -> list[Upload]:
    found: list[Upload] = []
    for _, after, share in updates:
        assert not isinstance(share, Mapping)
        found.append(Upload(share, after.factors["q"].b.double(), after.factors["q"].a.double()))
    return found


def paper(name: str, uploads: Sequence[Upload], step: int) -> tuple[Tensor, Tensor]:
    match name:
        case "flexlora":
            return papers.flexlora(uploads, 7)
        case "rolora":
            return papers.rolora(uploads, step)
        case _:
            return getattr(papers, name)(uploads)


@pytest.mark.parametrize("name", ["fedit", "hetlora", "flexlora", "ffa", "rolora"])
def test_three_rounds_are_the_papers_with_its_gauge(name: str):
    state = empty({"q": SHAPE}, HEAD)
    for step in range(3):
        updates = updates_of(name, state, step)
        b, a = paper(name, uploads_of(updates), step)
        result = close_round(name, state, updates, step, rank=7)
        found = result.adapter.factors["q"]
        if name == "flexlora":  # a singular vector's sign is free
            signs = torch.sign((found.b.double() * b).sum(0))
            b, a = b * signs, a * signs[:, None]
        assert torch.allclose(found.b.double(), b, atol=2e-6)
        assert torch.allclose(found.a.double(), a, atol=2e-6)
        head = sum(share * after.dense["head"] for _, after, share in updates)  # type: ignore[operator]
        assert torch.allclose(result.adapter.dense["head"], head, atol=1e-6)
        assert (result.count, result.error.overall < 0.3) == (4, True)
        state = result.adapter


def test_fedex_is_its_paper_the_residual_being_the_base_models():
    state, base = empty({"q": SHAPE}), torch.zeros(SHAPE, dtype=torch.float64)
    for step in range(3):
        updates = updates_of("fedex", state, step, EQUAL)
        b, a, base = papers.fedex(uploads_of(updates), base)
        state = close_round("fedex", state, updates, step).adapter
        found = state.factors["q"]
        assert torch.allclose(found.b[:, :4].double(), b, atol=1e-6)
        assert torch.allclose(found.a[:4].double(), a, atol=1e-6)
        beneath = found.b[:, 4:].double() @ found.a[4:].double()
        assert torch.allclose(beneath, base, atol=1e-5)


def test_fedex_caps_its_residual_and_knows_the_error():
    state = empty({"q": SHAPE})
    updates = updates_of("fedex", state, 0, EQUAL)
    whole = close_round("fedex", state, updates, 0).adapter.factors["q"]
    capped = close_round("fedex", state, updates, 0, rank=6)
    found = capped.adapter.factors["q"]
    assert (found.rank, torch.equal(found.b[:, :4], whole.b[:, :4])) == (6, True)
    lost = float((dense_delta(found) - dense_delta(whole)).norm() / dense_delta(whole).norm())
    assert capped.error.overall == pytest.approx(lost, rel=1e-4)
    assert lost > 0.01


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 1.0])
def test_florist_cuts_each_rounds_stack_by_energy(energy: float):
    state, total = empty({"q": SHAPE}), torch.zeros(SHAPE, dtype=torch.float64)
    florist = method("florist", energy=energy)
    for step in range(2):
        updates = updates_of("florist", state, step)
        b, a = papers.florist(uploads_of(updates), energy)
        total += b @ a
        state = florist.next_state(state, updates, step=step, state_rank=None).adapter
        assert torch.allclose(dense_delta(state.factors["q"]), total, atol=1e-5)
    first = florist.next_state(empty({"q": SHAPE}), updates, step=0, state_rank=None)
    assert first.adapter.ranks["q"] == b.shape[1]
    assert (first.error.overall > 0) == (energy < 1.0)


def weighted(updates: Sequence[Update]) -> Tensor:
    return torch.stack([u.share * u.delta for u in uploads_of(updates)]).sum(0)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_exact_is_exact_and_averages_are_not(name: str):
    options = {"start": "fresh-spectral"} if name == "stacking" else {}
    ranks = EQUAL if name == "fedex" else RANKS
    chosen = method(name, energy=1.0) if name == "florist" else method(name, **options)
    state = empty({"q": SHAPE})
    for step in range(3):
        before, updates = state, updates_of(name, state, step, ranks, **options)
        state = chosen.next_state(state, updates, step=step, state_rank=None).adapter
    added = dense_delta(before.factors["q"]) if chosen.starting(2).startswith("fresh") else 0.0
    if name == "fedex":  # the residual lies beneath what is trained
        added = before.factors["q"].b[:, 4:].double() @ before.factors["q"].a[4:].double()
    expected = weighted(updates) + added
    error = float((dense_delta(state.factors["q"]) - expected).norm() / expected.norm())
    if name in ("fedit", "hetlora"):
        assert error > 0.05
    else:
        assert error < 2e-6


@pytest.mark.parametrize("name", METHODS)
def test_a_discounted_late_update_leaves_the_rest_to_the_state(name: str):
    state = empty({"q": SHAPE}, HEAD)
    ranks = EQUAL if name == "fedex" else RANKS
    for step in range(2):
        state = close_round(name, state, updates_of(name, state, step, ranks), step).adapter
    nothing = [(start, start, 0.2) for start, _, _ in updates_of(name, state, 2, ranks)[:1]]
    if name == "fedex":
        nothing = [(state, state, 0.2)]
        nothing = [(s, Adapter({"q": Factors(f.b[:, :4], f.a[:4])}, s.dense), w)
                   for s, _, w in nothing for f in [s.factors["q"]]]  # fmt: skip
    kept = close_round(name, state, nothing, 2).adapter
    before, after = dense_delta(state.factors["q"]), dense_delta(kept.factors["q"])
    assert torch.equal(kept.dense["head"], state.dense["head"])
    change = float((after - before).norm() / before.norm())
    if name in ("stacking", "florist", "fedex"):
        assert change < 1e-6
    else:  # the update holds two of seven slots: the others lose a fifth of b, of a, or of both
        assert 0.01 < change < 0.4


@pytest.mark.parametrize("name", METHODS)
def test_a_module_that_nobody_sent_keeps_its_bytes(name: str):
    state = empty({"q": SHAPE, "v": SHAPE})
    state = close_round(name, state, updates_of(name, state, 0, EQUAL), 0, 9).adapter
    updates: list[Update] = [
        (start, Adapter({"q": after.factors["q"]}), share)
        for start, after, share in updates_of(name, state, 1, EQUAL)
    ]
    kept = close_round(name, state, updates, 1, 9).adapter
    assert encode(Adapter({"v": kept.factors["v"]})) == encode(Adapter({"v": state.factors["v"]}))
    assert not torch.equal(kept.factors["q"].a, state.factors["q"].a) or name == "ffa"


@pytest.mark.parametrize("name", METHODS)
def test_inputs_stay_as_they_are_and_the_same_inputs_give_the_same_bytes(name: str):
    state = empty({"q": SHAPE})
    for step in range(2):
        updates = updates_of(name, state, step, EQUAL)
        before = [encode(each) for update in updates for each in update[:2]]
        result = encode(close_round(name, state, updates, step, 9).adapter)
        assert before == [encode(each) for update in updates for each in update[:2]]
        assert result == encode(close_round(name, state, updates, step, 9).adapter)
        state = close_round(name, state, updates, step, 9).adapter


@pytest.mark.parametrize("name", METHODS)
def test_bad_rounds_are_refused_by_every_method(name: str):
    state = empty({"q": SHAPE})
    with pytest.raises(NothingToAggregateError):
        close_round(name, state, [], 0)
    with pytest.raises(UnknownModuleError, match="'x'"):
        close_round(name, state, [(state, Adapter({"x": random_factors(SHAPE, 2)}), 1.0)], 0)
    with pytest.raises(ShapeError, match="'q'"):
        close_round(name, state, [(state, Adapter({"q": random_factors((3, 3), 2)}), 1.0)], 0)
    broken = Factors(torch.full((14, 1), float("inf")), torch.ones(1, 11))
    with pytest.raises((NotFiniteError, NumericalError)):
        encode(close_round(name, state, [(state, Adapter({"q": broken}), 1.0)], 0).adapter)


def test_a_frozen_factor_is_the_states_whatever_a_node_sends():
    state = empty({"q": SHAPE})
    for name, step in (("ffa", 0), ("ffa", 1), ("rolora", 0), ("rolora", 1)):
        if step == 0:
            state = empty({"q": SHAPE})
        updates = updates_of(name, state, step)
        honest = close_round(name, state, updates, step).adapter.factors["q"]
        start, liar, share = updates[3]
        lie = trained(liar, 77)
        kept = "b" if name == "rolora" and step else "a"
        updates[3] = (start, lie, share)
        found = close_round(name, state, updates, step).adapter.factors["q"]
        live = state.ranks["q"]
        ours, theirs = (f.b.T if kept == "b" else f.a for f in (found, honest))
        assert torch.equal(ours[:live], theirs[:live])
        state = close_round(name, state, updates_of(name, state, step), step).adapter


def test_a_late_update_of_fedex_is_its_change_whatever_its_rank():
    older = close_round(
        "fedex", empty({"q": SHAPE}), updates_of("fedex", empty({"q": SHAPE}), 0, EQUAL), 0
    )
    state = close_round(
        "fedex", older.adapter, updates_of("fedex", older.adapter, 1, EQUAL), 1
    ).adapter
    (start, late, _), *_ = updates_of("fedex", older.adapter, 2, (3, 4, 4, 4))
    own = [
        (begun, after, share / 2) for begun, after, share in updates_of("fedex", state, 2, EQUAL)
    ]
    for updates in ([*own, (start, late, 0.5)], [(start, late, 0.5)]):
        result = close_round("fedex", state, updates, 2).adapter
        expected = next_state_formula(state, updates)
        assert_same_deltas(result, expected, tolerance=2e-6)
    kept = result.factors["q"]  # nobody averaged: the trained slots are as they were
    assert torch.equal(kept.b[:, :3], state.factors["q"].b[:, :3])


@pytest.mark.parametrize("name", ["fedit", "hetlora", "ffa", "rolora"])
def test_slots_without_a_value_go_so_that_starts_do_not_end_at_them(name: str):
    state = empty({"q": SHAPE})
    updates: list[Update] = []
    for start, after, share in updates_of(name, state, 0):
        b = after.factors["q"].b.clone()
        b[:, 0] = 0.0
        updates.append((start, Adapter({"q": Factors(b, after.factors["q"].a)}), share))
    made = close_round(name, state, updates, 0).adapter
    whole = dense_delta(made.factors["q"])
    assert made.ranks == {"q": 6}
    assert torch.equal(dense_delta(began(made, 7, "leading").factors["q"]), whole)


def test_fedex_refuses_unequal_ranks_and_says_which():
    state = empty({"q": SHAPE})
    with pytest.raises(RankError, match="equal rank") as caught:
        close_round("fedex", state, updates_of("fedex", state, 0), 0)
    assert (caught.value.module, caught.value.expected, caught.value.got) == ("q", 2, 4)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("ffa", {"start": "warm"}, "keeps its first random values"),
        ("fedex", {"start": "fresh-random"}, "frozen residual"),
        ("stacking", {"start": "leading"}, "fresh-spectral"),
        ("stacking", {"energy": 0.9}, "florist's"),
        ("florist", {"energy": 0.0}, "share in"),
        ("florist", {"energy": float("nan")}, "share in"),
        ("florist", {"energy": "x"}, "share in"),
        ("fedavg", {}, "stacking, fedit"),
    ],
)
def test_wishes_that_mean_nothing_are_refused_with_the_reason(name, options, reason):
    for ask in (check_method, method):
        with pytest.raises(ArgumentError, match=reason):
            ask(name, **options)


def test_every_method_says_how_nodes_start_and_what_is_exact():
    for name in METHODS:
        chosen = method(name)
        assert chosen.name == name
        assert chosen.exact.endswith(".")
        assert {chosen.starting(step) for step in range(4)} <= set(STARTS)
    with pytest.raises(ArgumentError, match="leading-a"):
        begin(empty({"q": SHAPE}), 2, seed=0, start="cold")  # type: ignore[arg-type]


def test_a_capped_average_keeps_its_first_slots_and_knows_the_error():
    state = empty({"q": SHAPE})
    updates = updates_of("fedit", state, 0)
    whole = close_round("fedit", state, updates, 0).adapter.factors["q"]
    capped = close_round("fedit", state, updates, 0, rank=3)
    found = capped.adapter.factors["q"]
    assert torch.equal(found.b, whole.b[:, :3])
    lost = float((dense_delta(whole) - dense_delta(found)).norm() / dense_delta(whole).norm())
    assert capped.error.overall == pytest.approx(lost, rel=1e-5)
    assert lost > truncate(Adapter({"q": whole}), 3).error.overall
