"""Comparisons: cosine, principal angles, energy, rank and norm, module by module."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import Adapter, Factors, ShapeError, compare, empty, similarity, stack

from .oracle import deltas
from .worlds import QUICK, adapter_of, adapters, module_shapes


def rotated(angle: float) -> Adapter:
    """A rank-1 delta whose column direction makes `angle` with e_0; row direction e_0."""
    b = torch.zeros(4, 1, dtype=torch.float64)
    b[0, 0], b[1, 0] = math.cos(angle), math.sin(angle)
    return Adapter({"q": Factors(b, torch.eye(5, dtype=torch.float64)[:1])})


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.3, math.pi / 2])
def test_principal_angles_keep_their_digits_small_or_large(angle: float):
    result = compare(rotated(0.0), rotated(angle)).modules["q"]
    assert result.left_angles[0] == pytest.approx(angle, rel=1e-6, abs=1e-15)
    assert result.right_angles[0] == pytest.approx(0.0, abs=1e-15)
    assert result.cosine == pytest.approx(math.cos(angle), abs=1e-12)
    assert result.energy_of_x_in_y == pytest.approx(math.cos(angle) ** 2, abs=1e-12)


@QUICK
@given(st.data())
def test_every_number_is_in_its_range_and_a_comparison_is_symmetric(data: st.DataObject):
    shapes = data.draw(module_shapes())
    x, y = data.draw(adapters(shapes)), data.draw(adapters(shapes))
    one, two = compare(x, y), compare(y, x)
    assert one.cosine == pytest.approx(similarity(x, y), abs=1e-12)
    assert set(one.only_x) == x.factors.keys() - y.factors.keys()
    assert one.only_y == two.only_x
    for name, module in one.modules.items():
        mirrored = two.modules[name]
        assert module.rank_x == mirrored.rank_y
        assert module.norm_x == pytest.approx(float(deltas(x)[f"module {name}"].norm()), rel=1e-9)
        assert len(module.left_angles) == min(module.rank_x, module.rank_y)
        assert list(module.left_angles) == sorted(module.left_angles)
        assert all(0 <= angle <= math.pi / 2 + 1e-12 for angle in module.right_angles)
        assert module.left_angles == pytest.approx(mirrored.left_angles, abs=1e-7)
        assert 0 <= module.energy_of_x_in_y <= 1
        assert module.energy_of_x_in_y == pytest.approx(mirrored.energy_of_y_in_x, abs=1e-9)


def test_energy_within_a_containing_space_is_one():
    x = adapter_of({"q": 2}, (20, 15))
    more = stack([(x, 1.0), (adapter_of({"q": 3}, (20, 15), seed=9), 1.0)])
    result = compare(x, more).modules["q"]
    assert result.energy_of_x_in_y == pytest.approx(1.0, abs=1e-9)
    assert result.energy_of_y_in_x < 0.9
    assert (result.rank_x, result.rank_y) == (2, 5)
    assert result.left_angles == pytest.approx((0.0, 0.0), abs=1e-7)


def test_a_zero_delta_compares_to_nothing():
    result = compare(empty({"q": (20, 15)}), adapter_of({"q": 2}, (20, 15))).modules["q"]
    assert (result.cosine, result.left_angles, result.energy_of_x_in_y) == (0.0, (), 0.0)
    assert result.energy_of_y_in_x == 0.0


def test_the_numbers_are_plain_python():
    result = compare(adapter_of({"q": 2}, (20, 15)), adapter_of({"q": 3}, (20, 15)))
    json.dumps({name: asdict(module) for name, module in result.modules.items()})


def test_two_shapes_of_one_module_are_refused():
    with pytest.raises(ShapeError):
        compare(adapter_of({"q": 2}, (4, 4)), adapter_of({"q": 2}, (4, 5)))
