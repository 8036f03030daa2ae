"""How a round starts: slices of the stored state, seeded slots, and nothing lost between them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import (
    Adapter,
    ArgumentError,
    Factors,
    UnknownModuleError,
    decode,
    empty,
    encode,
    fresh_start,
    leading,
    spectral,
    stack,
    warm_start,
)
from polyrank.aggregation._start import ROW_NORM

from .oracle import assert_same_deltas, deltas
from .worlds import QUICK, adapter_of, adapters, module_shapes, random_factors, seeds

MODES = ("random", "spectral")


def state_of(rank: int, shape: tuple[int, int] = (14, 12), seed: int = 0) -> Adapter:
    return spectral(adapter_of({"q": rank}, shape, seed)).adapter


@QUICK
@given(st.data(), st.integers(0, 9), seeds)
def test_trainable_and_frozen_parts_add_up_to_the_state(data: st.DataObject, rank: int, seed: int):
    state = spectral(data.draw(adapters(data.draw(module_shapes()), is_complete=True))).adapter
    whole = {key: value for key, value in deltas(state).items() if key.startswith("module")}
    for start in (
        warm_start(state, rank, seed=seed),
        *(fresh_start(state, rank, seed=seed, directions=mode) for mode in MODES),
    ):
        both = stack([(Adapter(start.trainable.factors), 1.0), (start.frozen, 1.0)])
        assert_same_deltas(both, whole, tolerance=1e-9)
        assert start.trainable.dense.keys() == state.dense.keys()
        assert all(torch.equal(v, state.dense[n]) for n, v in start.trainable.dense.items())
        assert not start.frozen.dense
        for factors in start.trainable.factors.values():
            assert factors.rank == min(rank, *factors.shape)
            assert factors.b.is_contiguous()


def test_the_warm_part_is_a_slice_of_the_stored_values_bit_for_bit():
    state = decode(encode(state_of(8)))
    start = warm_start(state, 5, seed=0)
    stored, mine = state.factors["q"], start.trainable.factors["q"]
    assert torch.equal(mine.b, stored.b[:, :5])
    assert torch.equal(mine.a, stored.a[:5])
    assert torch.equal(start.frozen.factors["q"].b, stored.b[:, 5:])
    same = leading(state, 5).factors["q"]
    assert torch.equal(same.b, mine.b)
    assert same.b.data_ptr() == stored.b.data_ptr()


def test_starting_from_the_empty_adapter_gives_every_slot_a_gradient():
    start = warm_start(empty({"q": (14, 12)}), 6, seed=3)
    factors = start.trainable.factors["q"]
    assert torch.equal(factors.b, torch.zeros(14, 6))
    gram = factors.a.double() @ factors.a.double().T
    assert torch.allclose(gram, ROW_NORM**2 * torch.eye(6, dtype=torch.float64), atol=1e-6)
    b, a = factors.b.clone().requires_grad_(), factors.a.clone().requires_grad_()
    ((b @ a) @ torch.randn(12) - 1).square().sum().backward()
    assert b.grad is not None
    assert bool((b.grad.norm(dim=0) > 0).all())


def test_rows_of_empty_slots_are_orthogonal_to_the_filled_ones():
    start = warm_start(state_of(4), 9, seed=1)
    a = start.trainable.factors["q"].a.double()
    units = a / a.norm(dim=1, keepdim=True)
    assert torch.allclose(units @ units.T, torch.eye(9, dtype=torch.float64), atol=1e-5)
    assert torch.equal(start.trainable.factors["q"].b[:, 4:], torch.zeros(14, 5))


@pytest.mark.parametrize("state_rank", [0, 3])
def test_a_small_node_gets_the_first_of_the_rows_that_a_large_node_gets(state_rank: int):
    state = state_of(state_rank) if state_rank else empty({"q": (14, 12)})
    for make in (
        lambda rank: warm_start(state, rank, seed=5),
        lambda rank: fresh_start(state, rank, seed=5, directions="random"),
        lambda rank: fresh_start(state, rank, seed=5, directions="spectral"),
    ):
        small, large = make(4).trainable.factors["q"], make(8).trainable.factors["q"]
        assert torch.equal(small.a, large.a[:4])
        assert torch.equal(small.b, large.b[:, :4])


def test_rows_depend_on_seed_and_module_name_only():
    state = empty({"q": (9, 8), "v": (9, 8)})
    rows = {s: warm_start(state, 3, seed=s).trainable.factors for s in (0, 1)}
    alone = warm_start(empty({"v": (9, 8)}), 3, seed=0).trainable.factors
    assert torch.equal(rows[0]["v"].a, alone["v"].a)
    assert not torch.allclose(rows[0]["v"].a, rows[0]["q"].a)
    assert not torch.allclose(rows[0]["v"].a, rows[1]["v"].a)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (4, 4), (3, 40)])
def test_ranks_are_capped_where_a_matrix_has_no_room_for_more(shape: tuple[int, int]):
    state = spectral(Adapter({"q": random_factors(shape, 1)})).adapter
    for rank in (1, 4, 64):
        start = warm_start(state, rank, seed=0).trainable.factors["q"]
        assert start.rank == min(rank, *shape)
        a = start.a.double()
        units = a / a.norm(dim=1, keepdim=True)
        assert torch.allclose(units @ units.T, torch.eye(start.rank).double(), atol=1e-4)


def test_slots_end_at_the_first_that_is_all_zero():
    b, a = torch.ones(5, 4), torch.ones(4, 6)
    b[:, 2] = 0
    state = Adapter({"q": Factors(b, a)})
    assert leading(state, 4).ranks == {"q": 2}
    start = warm_start(state, 4, seed=0)
    assert torch.equal(start.trainable.factors["q"].b[:, 2:], torch.zeros(5, 2))
    both = stack([(start.trainable, 1.0), (start.frozen, 1.0)])
    assert_same_deltas(both, deltas(state))


def test_a_fresh_start_freezes_all_and_begins_at_zero():
    state = state_of(5)
    for mode in MODES:
        start = fresh_start(state, 3, seed=0, directions=mode)
        assert torch.equal(start.trainable.factors["q"].b, torch.zeros(14, 3))
        assert start.frozen.factors["q"].b is state.factors["q"].b


def test_spectral_directions_are_those_of_the_state():
    state = state_of(5)
    a = fresh_start(state, 7, seed=0, directions="spectral").trainable.factors["q"].a
    stored = state.factors["q"].a
    cosines = (a[:5] * stored).sum(dim=1) / a[:5].norm(dim=1) / stored.norm(dim=1)
    assert torch.allclose(cosines, torch.ones(5))
    assert torch.allclose(a.norm(dim=1), torch.full((7,), ROW_NORM))


def test_ranks_by_module_leave_the_others_frozen():
    state = spectral(adapter_of({"q": 4, "v": 4}, (9, 8))).adapter
    start = warm_start(state, {"v": 2}, seed=0)
    assert start.trainable.ranks == {"v": 2}
    assert start.frozen.ranks == {"q": 4, "v": 2}
    assert leading(state, {"v": 2}).ranks == {"v": 2}
    with pytest.raises(UnknownModuleError):
        warm_start(state, {"x": 2}, seed=0)


def test_words_and_seeds_without_a_meaning_are_refused():
    with pytest.raises(ArgumentError):
        fresh_start(state_of(2), 2, seed=0, directions="best")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        warm_start(state_of(2), 4, seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        warm_start(state_of(2), -4, seed=0)


def test_the_state_is_not_changed_by_what_starts_from_it():
    state = state_of(4)
    before = encode(state)
    warm_start(state, 9, seed=0)
    fresh_start(state, 9, seed=0, directions="spectral")
    assert encode(state) == before
