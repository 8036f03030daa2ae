"""Profiles are plain numbers; sketches estimate inner products without the blobs."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import (
    Adapter,
    Factors,
    NotFiniteError,
    digest,
    encode,
    inner,
    profile,
    similarity,
    spectral,
    stack,
)
from polyrank.aggregation._profile import sketch
from polyrank.aggregation._seeds import sign_matrix

from .oracle import deltas
from .worlds import QUICK, adapter_of, adapters, module_shapes, random_factors


@QUICK
@given(st.data())
def test_a_profile_says_what_the_dense_deltas_say(data: st.DataObject):
    adapter = data.draw(adapters(data.draw(module_shapes())))
    described = profile(adapter)
    dense = deltas(adapter)
    for name, factors in adapter.factors.items():
        module = described.modules[name]
        whole = dense[f"module {name}"]
        assert (module.rank, module.shape) == (factors.rank, factors.shape)
        assert module.norm == pytest.approx(float(whole.norm()), rel=1e-9)
        values = torch.linalg.svdvals(whole)[: factors.rank].tolist()
        assert list(module.spectrum) == pytest.approx(values, abs=1e-7 * module.norm + 1e-30)
        assert module.digest == digest(encode(Adapter({name: factors})))
    for name, value in adapter.dense.items():
        assert described.dense[name].digest == digest(encode(Adapter({}, {name: value})))
        assert described.dense[name].shape == tuple(value.shape)
    total = math.hypot(*(float(value.norm()) for value in dense.values()))
    assert described.norm == pytest.approx(total, rel=1e-9)


def test_a_profile_is_json_all_the_way_down():
    adapter = Adapter({"q": random_factors((6, 5), 2)}, {"h": torch.ones(3)})
    document = profile(adapter).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document.keys() == {"format", "norm", "modules", "dense", "sketch"}
    assert document["modules"]["q"].keys() == {"rank", "shape", "norm", "spectrum", "digest"}
    assert document["modules"]["q"]["shape"] == [6, 5]


def test_a_sketch_is_linear_and_blind_to_the_gauge():
    x, y = adapter_of({"q": 3, "v": 2}, (20, 15)), adapter_of({"q": 2}, (20, 15), seed=8)
    both = stack([(x, 2.0), (y, -0.5)])
    for one, two, together in zip(sketch(x), sketch(y), sketch(both), strict=True):
        assert together == pytest.approx(2 * one - 0.5 * two, abs=1e-4)
    assert sketch(spectral(x).adapter) == pytest.approx(sketch(x), abs=1e-4)


def test_the_dot_product_of_sketches_estimates_the_inner_product():
    errors: list[float] = []
    for seed in range(60):
        x = adapter_of({"q": 3, "v": 4}, (40, 30), 10 * seed)
        y = stack([(x, 1.0), (adapter_of({"q": 3, "v": 4}, (40, 30), 10 * seed + 5), 0.7)])
        dot = sum(a * b for a, b in zip(sketch(x), sketch(y), strict=True))
        scale = math.sqrt(inner(x, x) * inner(y, y))
        errors.append((dot - inner(x, y)) / scale)
        assert similarity(x, y) > 0.5
    spread = math.sqrt(sum(error**2 for error in errors) / len(errors))
    assert spread < 0.35
    assert abs(sum(errors) / len(errors)) < 0.15


def test_sketches_are_fixed_for_ever():
    adapter = Adapter({"q": Factors(torch.arange(4.0)[:, None], torch.ones(1, 3))})
    assert [round(8 * value) for value in sketch(adapter)[:6]] == [2, 4, 4, -2, 0, -4]
    assert set(sign_matrix(64, 30, "x").unique().tolist()) == {-1.0, 1.0}
    assert abs(float(sign_matrix(64, 64, "x").mean())) < 0.05


def test_what_is_not_finite_has_no_profile():
    with pytest.raises(NotFiniteError):
        profile(Adapter({"q": Factors(torch.full((2, 1), torch.nan), torch.ones(1, 2))}))
