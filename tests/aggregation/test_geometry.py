"""Inner products, norms and cosines live in delta space."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import (
    Adapter,
    ArgumentError,
    Factors,
    NotFiniteError,
    ShapeError,
    empty,
    inner,
    norm,
    similarity,
    stack,
)

from .oracle import deltas
from .worlds import QUICK, adapter_of, adapters, module_shapes, random_factors


@QUICK
@given(st.data())
def test_inner_products_and_norms_are_those_of_the_dense_deltas(data: st.DataObject):
    shapes = data.draw(module_shapes())
    x, y = data.draw(adapters(shapes)), data.draw(adapters(shapes))
    dense_x, dense_y = deltas(x), deltas(y)
    for part, prefix in (("all", ""), ("factors", "module"), ("dense", "dense")):
        both = [k for k in dense_x if k in dense_y and k.startswith(prefix)]
        expected = sum(float((dense_x[k] * dense_y[k]).sum()) for k in both)
        size = math.hypot(*(float(v.norm()) for k, v in dense_x.items() if k.startswith(prefix)))
        other = math.hypot(*(float(v.norm()) for k, v in dense_y.items() if k.startswith(prefix)))
        assert norm(x, part=part) == pytest.approx(size, rel=1e-10)
        assert inner(x, y, part=part) == pytest.approx(expected, abs=1e-10 * size * other + 1e-30)
        if size and other:
            cosine = expected / (size * other)
            assert similarity(x, y, part=part) == pytest.approx(cosine, abs=1e-9)


def test_the_gauge_does_not_matter():
    x = random_factors((9, 7), 3)
    gauge = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.5, 0.0], [3.0, 0.0, 4.0]])
    turned = Factors(x.b @ gauge, torch.linalg.inv(gauge) @ x.a)
    one, two = Adapter({"q": x}), Adapter({"q": turned})
    assert similarity(one, two) == pytest.approx(1.0, abs=1e-6)
    assert norm(two) == pytest.approx(norm(one), rel=1e-6)


@pytest.mark.parametrize("step", [1e-2, 1e-4, 1e-6])
def test_the_norm_of_a_small_change_survives_the_subtraction_of_its_start(step: float):
    start = random_factors((40, 30), 6, scale=100.0)
    change = random_factors((40, 30), 1, seed=3)
    exact = step * float((change.b.double() @ change.a.double()).norm())
    moved = stack([(Adapter({"q": start}), 1.0), (Adapter({"q": change}), step)])
    difference = stack([(moved, 1.0), (Adapter({"q": start}), -1.0)])
    assert norm(difference) == pytest.approx(exact, rel=1e-6)


def test_an_adapter_without_direction_is_similar_to_nothing():
    zero, x = empty({"q": (4, 4)}), adapter_of({"q": 2}, (4, 4))
    assert similarity(zero, x) == 0.0
    assert norm(zero) == 0.0
    cancelled = stack([(x, 1.0), (x, -1.0)])
    assert norm(cancelled) <= 1e-12 * norm(x)


def test_modules_that_one_lacks_contribute_nothing():
    x, y = adapter_of({"q": 2, "v": 2}, (4, 4)), adapter_of({"v": 2}, (4, 4), seed=1)
    assert inner(x, y) == pytest.approx(inner(Adapter({"v": x.factors["v"]}), y))


def test_two_shapes_of_one_name_are_refused():
    with pytest.raises(ShapeError):
        inner(adapter_of({"q": 2}, (4, 4)), adapter_of({"q": 2}, (4, 5)))
    with pytest.raises(ShapeError):
        inner(Adapter({}, {"h": torch.ones(3)}), Adapter({}, {"h": torch.ones(1)}))


def test_what_is_not_finite_and_unknown_parts_are_refused():
    bad = Adapter({"q": Factors(torch.full((2, 1), torch.nan), torch.ones(1, 2))})
    with pytest.raises(NotFiniteError):
        norm(bad)
    with pytest.raises(NotFiniteError):
        inner(bad, bad)
    with pytest.raises(NotFiniteError):
        norm(Adapter({}, {"h": torch.full((2,), torch.inf)}))
    with pytest.raises(ArgumentError):
        norm(bad, part="head")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        inner(bad, bad, part="head")  # type: ignore[arg-type]
