"""Factors and adapters: what is accepted, what is refused, what is kept."""

import dataclasses

import pytest
import torch
from polyrank.aggregation import (
    Adapter,
    ArgumentError,
    BadNameError,
    DeviceError,
    DtypeError,
    Factors,
    ShapeError,
    empty,
)

from .worlds import random_factors


def test_factors_know_their_rank_shape_and_delta():
    factors = Factors(torch.full((3, 2), 2.0), torch.ones(2, 5))
    assert (factors.rank, factors.shape) == (2, (3, 5))
    assert torch.equal(factors.delta(), torch.full((3, 5), 4.0))


def test_a_rank_above_both_sides_is_accepted():
    assert random_factors((2, 3), 9).rank == 9


def test_a_value_is_shown_by_its_sizes_not_its_numbers():
    adapter = Adapter({"q": random_factors((2, 3), 4)}, {"h": torch.ones(5)})
    assert repr(adapter) == "Adapter(ranks={'q': 4}, dense={'h': (5,)})"
    assert repr(adapter.factors["q"]) == "Factors(d_out=2, rank=4, d_in=3, torch.float32)"


def test_factors_on_two_devices_are_refused():
    with pytest.raises(DeviceError):
        Factors(torch.ones(2, 1), torch.ones(1, 2, device="meta"))


def test_rank_zero_is_a_zero_delta():
    assert torch.equal(random_factors((2, 3), 0).delta(), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("b", "a"),
    [
        ((3, 2), (3, 5)),
        ((3, 2, 1), (2, 5)),
        ((3,), (3, 5)),
        ((0, 2), (2, 5)),
        ((3, 2), (2, 0)),
    ],
)
def test_shapes_that_make_no_delta_are_refused(b: tuple[int, ...], a: tuple[int, ...]):
    with pytest.raises(ShapeError):
        Factors(torch.zeros(b), torch.zeros(a))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_numbers_that_are_not_real_floats_are_refused(dtype: torch.dtype):
    with pytest.raises(DtypeError):
        Factors(torch.zeros(2, 1, dtype=dtype), torch.zeros(1, 2, dtype=dtype))


def test_two_dtypes_in_one_pair_are_refused():
    with pytest.raises(DtypeError):
        Factors(torch.zeros(2, 1), torch.zeros(1, 2, dtype=torch.float64))


def test_sparse_tensors_are_refused():
    with pytest.raises(DtypeError):
        Adapter({}, {"head": torch.zeros(2, 2).to_sparse()})


def test_a_value_that_is_no_tensor_is_refused():
    with pytest.raises(ArgumentError):
        Factors([[1.0]], torch.zeros(1, 2))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        Adapter({"q": torch.zeros(2, 2)})  # type: ignore[dict-item]
    with pytest.raises(ArgumentError):
        Adapter([1])  # type: ignore[arg-type]


def test_values_are_frozen_and_detached_but_not_copied():
    b = torch.nn.Parameter(torch.ones(2, 1))
    factors = Factors(b, torch.ones(1, 2))
    assert not factors.b.requires_grad
    assert factors.b.data_ptr() == b.data_ptr()
    with pytest.raises(dataclasses.FrozenInstanceError):
        factors.b = torch.zeros(2, 1)  # type: ignore[misc]


def test_the_mappings_of_an_adapter_are_read_only_sorted_copies():
    source = {"z": random_factors((2, 2), 1), "a": random_factors((2, 2), 1)}
    adapter = Adapter(source)
    source.clear()
    assert list(adapter.factors) == ["a", "z"]
    with pytest.raises(TypeError):
        adapter.factors["b"] = random_factors((2, 2), 1)  # type: ignore[index]


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "x" * 513, "tab\t", 7, None])
def test_malformed_names_are_refused(name: object):
    with pytest.raises(BadNameError):
        Adapter({name: random_factors((2, 2), 1)})  # type: ignore[dict-item]
    with pytest.raises(BadNameError):
        Adapter({}, {name: torch.zeros(2)})  # type: ignore[dict-item]


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,) * 9])
def test_dense_tensors_have_one_to_eight_full_axes(shape: tuple[int, ...]):
    with pytest.raises(ShapeError):
        Adapter({}, {"head": torch.zeros(shape)})


def test_the_empty_adapter_has_rank_zero_everywhere_and_keeps_its_heads():
    head = torch.ones(3)
    adapter = empty({"q": (4, 3), "v": (2, 5)}, {"head": head})
    assert adapter.ranks == {"q": 0, "v": 0}
    assert adapter.shapes == {"q": (4, 3), "v": (2, 5)}
    assert torch.equal(adapter.dense["head"], head)


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 3, 4), (2.0, 3), "ab", None])
def test_the_empty_adapter_refuses_shapes_that_are_none(shape: object):
    with pytest.raises(ShapeError) as caught:
        empty({"q": shape})  # type: ignore[dict-item]
    assert caught.value.module == "q"
