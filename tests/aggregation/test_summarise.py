"""From rows to sums: held against plain loops; bounded in every row; refused when malformed."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import (
    ArgumentError,
    NotFiniteError,
    ShapeError,
    Summary,
    SummarySpec,
    add,
    summarise,
)
from polyrank.aggregation._summary_maps import normal_matrix
from torch import Tensor

from .windows import WIDTH, source
from .worlds import QUICK, seeds

SPEC = SummarySpec(7, classes=3, projected=6, fourier=8, bandwidth=0.8, max_loss=4.0)


def rows_of(count: int, seed: int = 0, width: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=torch.float64)


def sums_of(summary: Summary) -> Tensor:
    """All sums but those of the spread, as one vector."""
    plain = [summary.loss_sum, summary.loss_square_sum]
    counts = [*summary.class_counts, *summary.correct_counts]
    return torch.cat(
        [
            torch.tensor([*plain, *counts], dtype=torch.float64),
            summary.projected_sum,
            summary.projected_products.reshape(-1),
            summary.fourier_sum,
        ]
    )


def test_sums_are_those_of_plain_loops():
    features, losses = rows_of(4), [0.5, 9.0, -1.0, 2.0]
    right = [True, False, True, True]
    got = summarise(SPEC, losses, labels=[0, 2, 2, 0], correct=right, features=features)
    projection = (normal_matrix(5, 6, "7", "projection") / math.sqrt(6)).T.tolist()
    frequencies = normal_matrix(5, 4, "7", "fourier").T.tolist()
    total, products, fourier = [0.0] * 6, [[0.0] * 6 for _ in range(6)], [0.0] * 8
    for row in features.tolist():
        length = math.sqrt(math.fsum(value**2 for value in row))
        unit = [value / length for value in row]
        image = [math.fsum(p * x for p, x in zip(line, unit, strict=True)) for line in projection]
        for i in range(6):
            total[i] += image[i]
            for j in range(6):
                products[i][j] += image[i] * image[j]
        for i, line in enumerate(frequencies):
            phase = math.fsum(w * x for w, x in zip(line, unit, strict=True)) / 0.8
            fourier[i] += math.cos(phase) / 2
            fourier[4 + i] += math.sin(phase) / 2
    assert got.projected_sum.tolist() == pytest.approx(total, abs=1e-6)
    assert torch.allclose(got.projected_products, torch.tensor(products), atol=1e-6)
    assert got.fourier_sum.tolist() == pytest.approx(fourier, abs=1e-6)
    assert (got.loss_sum, got.loss_square_sum) == (5.5, 0.25 + 16 + 1 + 4)
    assert (got.class_counts, got.correct_counts) == ((2, 0, 2), (2, 0, 1))
    assert (got.spec, got.count, got.width) == (SPEC.digest, 4, 5)


@QUICK
@given(seeds, st.integers(1, 12), st.integers(1, 12))
def test_sums_of_parts_add_up_to_the_sums_of_the_whole(seed: int, first: int, second: int):
    features = rows_of(first + second, seed)
    losses = features[:, 0] * 3
    labels = (features[:, 1] > 0).long()
    right = features[:, 2] > 0

    def part(rows: slice) -> Summary:
        return summarise(
            SPEC, losses[rows], labels=labels[rows], correct=right[rows], features=features[rows]
        )

    whole, parts = part(slice(None)), add([part(slice(first)), part(slice(first, None))])
    assert torch.allclose(sums_of(whole), sums_of(parts), atol=1e-4)


def test_a_row_counts_by_its_direction_not_by_its_length():
    features = rows_of(6)
    scaled = features * torch.tensor([1e-20, 1e20, 3.0, 1.0, 0.2, 50.0]).double()[:, None]
    one, two = (
        summarise(SummarySpec(7, bandwidth=1), [0.0] * 6, features=x) for x in (features, scaled)
    )
    assert torch.allclose(sums_of(one), sums_of(two), atol=1e-5)
    assert one.spread_sum == pytest.approx(two.spread_sum, rel=1e-9)


def test_a_zero_row_stays_zero():
    got = summarise(SummarySpec(7, fourier=4, bandwidth=1), [0.0], features=torch.zeros(1, 3))
    assert not got.projected_sum.any()
    assert not got.projected_products.any()
    assert got.fourier_sum.tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])


@pytest.mark.parametrize("loss", [1e9, -1e9, math.inf, -math.inf, math.nan])
def test_no_loss_moves_the_sums_by_more_than_the_clip(loss: float):
    got = summarise(SummarySpec(7, max_loss=4.0), [1.0, loss])
    assert got.loss_sum in (5.0, -3.0)
    assert got.loss_square_sum == 17.0


def test_a_loss_that_is_not_a_number_counts_as_the_worst():
    assert summarise(SummarySpec(7, max_loss=4.0), [math.nan]).loss_sum == 4.0


def test_what_the_spec_does_not_ask_for_is_not_in_the_summary():
    got = summarise(SummarySpec(7), [1.0, 2.0], labels=[0, 1], correct=[True, True])
    assert (got.class_counts, got.correct_counts, got.width) == ((), (), 0)
    sizes = [x.numel() for x in (got.projected_sum, got.projected_products, got.fourier_sum)]
    assert sizes == [0, 0, 0]
    without = summarise(SummarySpec(7), [1.0] * 5, features=rows_of(5))
    assert (without.fourier_sum.numel(), without.spread_count) == (0, 0)
    assert without.projected_sum.numel() == 32


def test_correctness_may_be_unknown():
    got = summarise(SPEC, [1.0, 2.0], labels=[0, 2])
    assert (got.class_counts, got.correct_counts) == ((1, 0, 1), ())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_features_of_any_floating_dtype_give_float32_sums(dtype: torch.dtype):
    rows = source(1).rows(20, torch.Generator().manual_seed(1))
    spec = SummarySpec(7, bandwidth=1.0)
    exact = summarise(spec, [0.0] * 20, features=rows)
    got = summarise(spec, torch.zeros(20, dtype=dtype), features=rows.to(dtype).requires_grad_())
    assert got.projected_sum.dtype == got.fourier_sum.dtype == torch.float32
    assert not got.projected_products.requires_grad
    assert torch.allclose(sums_of(got), sums_of(exact), atol=0.2)
    assert got.width == WIDTH


def test_inputs_are_left_as_they_were():
    features, losses = rows_of(5), torch.tensor([1.0, 50.0, math.nan, 0.0, 0.0])
    before = features.clone(), losses.clone()
    summarise(SummarySpec(7), losses, features=features)
    assert torch.equal(features, before[0])
    assert torch.equal(losses, before[1]) or torch.equal(losses.isnan(), before[1].isnan())
    assert losses[1] == 50.0


BAD: list[tuple[type[Exception], dict[str, Any]]] = [
    (ArgumentError, {"losses": []}),
    (ArgumentError, {"losses": "ab"}),
    (ArgumentError, {"losses": None}),
    (ArgumentError, {"losses": [1.0, "x"]}),
    (ShapeError, {"losses": [[1.0, 2.0]]}),
    (ArgumentError, {"labels": None}),
    (ArgumentError, {"labels": [0, 3]}),
    (ArgumentError, {"labels": [-1, 0]}),
    (ArgumentError, {"labels": [0.0, 1.0]}),
    (ShapeError, {"labels": [0]}),
    (ShapeError, {"correct": [True]}),
    (ShapeError, {"features": torch.ones(3, 4)}),
    (ShapeError, {"features": torch.ones(2)}),
    (ShapeError, {"features": torch.ones(2, 0)}),
    (ArgumentError, {"features": torch.ones(2, 4, dtype=torch.int64)}),
    (ArgumentError, {"features": [[1.0], [2.0]]}),
    (NotFiniteError, {"features": torch.tensor([[1.0], [math.nan]])}),
    (NotFiniteError, {"features": torch.tensor([[1.0], [math.inf]])}),
]


@pytest.mark.parametrize(("error", "change"), BAD)
def test_malformed_rows_are_refused(error: type[Exception], change: dict[str, Any]):
    good: dict[str, Any] = {
        "losses": [1.0, 2.0],
        "labels": [0, 1],
        "correct": [True, False],
        "features": torch.ones(2, 4),
    }
    values = good | change
    losses = values.pop("losses")
    with pytest.raises(error):
        summarise(SPEC, losses, **values)
