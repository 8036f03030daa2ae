"""Summaries: additive, small, and from outside only what rows could have given."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import (
    NothingToAggregateError,
    Summary,
    SummaryError,
    SummarySpec,
    add,
    summarise,
)
from polyrank.aggregation._summary_codec import pack, pack_symmetric

from .windows import source
from .worlds import QUICK, seeds

SPEC = SummarySpec(7, classes=3, bandwidth=1.2)
PLAIN = SummarySpec(7)


def summary_of(count: int, seed: int = 0, spec: SummarySpec = SPEC) -> Summary:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    return summarise(
        spec,
        5 * torch.rand(count, generator=generator),
        labels=labels,
        correct=labels > 0,
        features=source(1).rows(count, generator),
    )


def assert_same(one: Summary, two: Summary, tolerance: float = 0.0) -> None:
    for name in Summary.__slots__:
        x, y = getattr(one, name), getattr(two, name)
        if isinstance(x, torch.Tensor):
            assert x.dtype == y.dtype == torch.float32
            assert torch.allclose(x, y, rtol=tolerance, atol=tolerance * one.count), name
        else:
            assert x == (pytest.approx(y, rel=tolerance) if isinstance(x, float) else y), name


@QUICK
@given(seeds, st.integers(1, 60))
def test_a_summary_survives_json_to_the_last_bit(seed: int, count: int):
    summary = summary_of(count, seed)
    again = Summary.from_json(json.loads(json.dumps(summary.to_json(), allow_nan=False)), SPEC)
    assert_same(summary, again)
    total = add([summary, again])
    assert_same(total, Summary.from_json(total.to_json(), SPEC))


def test_a_summary_without_features_or_classes_survives_json():
    summary = summarise(PLAIN, [0.5, 1.5])
    text = json.dumps(summary.to_json())
    assert_same(summary, Summary.from_json(json.loads(text), PLAIN))
    assert len(text) < 500


def test_a_summary_is_small_on_the_wire_and_in_memory():
    text = json.dumps(summary_of(64).to_json())
    assert len(text) < 5200
    values = json.loads(text)
    before = psutil.Process(os.getpid()).memory_info().rss
    kept = [Summary.from_json(values, SPEC) for _ in range(1000)]
    grown = psutil.Process(os.getpid()).memory_info().rss - before
    assert grown < 100e6 * len(kept) / 10_000


def test_sums_do_not_depend_on_grouping_or_order_but_for_rounding():
    parts = [summary_of(count, count) for count in (1, 3, 40, 64, 7)]
    whole = add(parts)
    assert whole.count == 115
    assert whole.spread_count == 111  # windows of fewer than 4 rows say nothing of spread
    assert_same(whole, add([add(parts[3:]), add(parts[:3])]), 1e-6)
    assert_same(whole, add(iter(parts[::-1])), 1e-6)
    assert_same(parts[2], add([parts[2]]))


def test_adding_many_small_numbers_loses_none_of_them():
    one = replace(summary_of(1), projected_sum=torch.full((32,), 1.0 + 2.0**-20))
    total = add(one for _ in range(4096))
    assert total.projected_sum[0].item() == 4096 * (1 + 2.0**-20)


def test_a_sum_knows_correctness_only_if_all_its_parts_do():
    one = summary_of(9)
    unknown = replace(one, correct_counts=())
    assert add([one, unknown]).correct_counts == ()
    assert add([one, one]).correct_counts == tuple(2 * count for count in one.correct_counts)


def test_the_base_models_loss_adds_up_if_all_parts_have_it_and_is_not_sent_where_none_has():
    one = summarise(PLAIN, [0.5, 1.5], base_losses=[2.0, 12.0])
    assert one.base_loss_sum == 2.0 + 10.0  # clipped
    again = Summary.from_json(json.loads(json.dumps(one.to_json())), PLAIN)
    assert_same(one, again)
    assert add([one, again]).base_loss_sum == 24.0
    without = summarise(PLAIN, [0.5, 1.5])
    assert add([one, without]).base_loss_sum is add([without, one]).base_loss_sum is None
    assert "base_loss_sum" not in without.to_json()


@pytest.mark.parametrize("bad", [20.1, -20.1, math.nan, None, "1"])
def test_a_loss_of_the_base_model_that_no_rows_can_give_is_refused(bad: object):
    values = summarise(PLAIN, [0.5, 1.5], base_losses=[2.0, 3.0]).to_json()
    with pytest.raises(SummaryError, match=r"^base_loss_sum: "):
        Summary.from_json(values | {"base_loss_sum": bad}, PLAIN)


def test_summaries_that_do_not_belong_together_are_not_added():
    one = summary_of(9)
    others = [
        summary_of(9, spec=SummarySpec(8, classes=3, bandwidth=1.2)),
        summary_of(9, spec=SummarySpec(7, classes=3)),
        replace(one, width=47),
        replace(one, fourier_sum=torch.zeros(2)),
        replace(one, class_counts=(1, 2)),
        replace(one, count=10**9),
    ]
    for other in others:
        with pytest.raises(SummaryError):
            add([one, other])
    with pytest.raises(NothingToAggregateError):
        add([])


def test_inputs_are_left_as_they_were():
    one, two = summary_of(9), summary_of(9)
    add([one, one, one])
    one.to_json()
    assert_same(one, two)


def test_a_summary_of_another_federation_is_refused_by_name():
    values = summary_of(9).to_json()
    for spec in (
        SummarySpec(8, classes=3, bandwidth=1.2),
        SummarySpec(7, classes=3, bandwidth=1.3),
    ):
        with pytest.raises(SummaryError, match=r"^spec: of another spec") as raised:
            Summary.from_json(values, spec)
        assert raised.value.expected == spec.digest


def with_vector(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
    tensor = change(getattr(summary_of(40), name).clone())
    return {name: pack_symmetric(tensor) if tensor.dim() > 1 else pack(tensor)}


def one_at(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.reshape(-1)[0] = value
        return tensor

    return change


GOOD = summary_of(40).to_json()
BAD: list[tuple[str, dict[str, Any]]] = [
    ("format", {"format": 2}),
    ("count", {"count": 0}),
    ("count", {"count": -40}),
    ("count", {"count": 10**9 + 1}),
    ("count", {"count": 40.0}),
    ("count", {"count": True}),
    ("class_counts", {"count": 41}),
    ("width", {"width": -1}),
    ("width", {"width": 2**40}),
    ("loss_sum", {"loss_sum": 401.0}),
    ("loss_sum", {"loss_sum": -401.0}),
    ("loss_sum", {"loss_sum": math.nan}),
    ("loss_sum", {"loss_sum": math.inf}),
    ("loss_sum", {"loss_sum": "1"}),
    ("loss_sum", {"loss_sum": None}),
    ("loss_sum", {"loss_sum": 10**400}),
    ("loss_square_sum", {"loss_square_sum": 0.0}),
    ("loss_square_sum", {"loss_square_sum": -1.0}),
    ("loss_square_sum", {"loss_square_sum": 4001.0}),
    ("loss_square_sum", {"loss_sum": 400.0, "loss_square_sum": 3999.0}),
    ("class_counts", {"class_counts": [40, 0]}),
    ("class_counts", {"class_counts": [40, 0, 0, 0]}),
    ("class_counts", {"class_counts": [20, 10, 9]}),
    ("class_counts", {"class_counts": [41, -1, 0]}),
    ("class_counts", {"class_counts": [40.0, 0, 0]}),
    ("class_counts", {"class_counts": "400"}),
    ("class_counts", {"class_counts": 40}),
    ("correct_counts", {"correct_counts": [41, 0, 0]}),
    ("correct_counts", {"correct_counts": [0, 0]}),
    ("correct_counts", {"correct_counts": [0, 0, -1]}),
    ("projected_sum", {"projected_sum": ""}),
    ("projected_sum", {"projected_sum": GOOD["projected_sum"][:-4]}),
    ("projected_sum", {"projected_sum": "é" + GOOD["projected_sum"][1:]}),
    ("projected_sum", {"projected_sum": "=" + GOOD["projected_sum"][1:]}),
    ("projected_sum", {"projected_sum": [0.0] * 32}),
    ("projected_sum", with_vector("projected_sum", one_at(math.nan))),
    ("projected_products", with_vector("projected_sum", one_at(90.0))),
    ("projected_products", with_vector("projected_products", one_at(math.inf))),
    ("projected_products", with_vector("projected_products", one_at(-1.0))),
    ("projected_products", with_vector("projected_products", one_at(1e6))),
    ("projected_products", with_vector("projected_products", torch.zeros_like)),
    ("projected_products", with_vector("projected_products", torch.neg)),
    ("fourier_sum", with_vector("fourier_sum", one_at(40 / 128**0.5 * 1.01))),
    ("fourier_sum", with_vector("fourier_sum", one_at(-math.inf))),
    ("spread_count", {"spread_count": 41}),
    ("spread_count", {"spread_count": -1}),
    ("spread_sum", {"spread_sum": -0.1}),
    ("spread_sum", {"spread_sum": 160.1}),
    ("spread_sum", {"spread_count": 0}),
    ("spread_cube_sum", {"spread_cube_sum": 1e4}),
    ("spread_cube_sum", {"spread_cube_sum": -1e4}),
]


@pytest.mark.parametrize(("field", "change"), BAD)
def test_sums_that_no_rows_can_give_are_refused_by_name(field: str, change: dict[str, Any]):
    Summary.from_json(GOOD, SPEC)
    with pytest.raises(SummaryError, match=f"^{field}: "):
        Summary.from_json(GOOD | change, SPEC)


def test_a_sender_cannot_claim_more_rows_than_it_can_have():
    assert Summary.from_json(GOOD, SPEC, max_count=40).count == 40
    with pytest.raises(SummaryError, match=r"^count: .*1 to 39"):
        Summary.from_json(GOOD, SPEC, max_count=39)


def test_json_of_another_form_is_refused():
    for wrong in (None, [], "summary", 3, {}, [GOOD], GOOD | {"more": 1}, GOOD | {3: 1}):
        with pytest.raises(SummaryError):
            Summary.from_json(wrong, SPEC)
    for name in GOOD:
        with pytest.raises(SummaryError, match=f"^{name}: missing"):
            Summary.from_json({key: value for key, value in GOOD.items() if key != name}, SPEC)


def test_features_need_a_width_and_spread_needs_fourier_sums():
    values = summary_of(40).to_json()
    with pytest.raises(SummaryError, match="projected_sum"):
        Summary.from_json(values | {"width": 0}, SPEC)
    unasked = summarise(PLAIN, [1.0] * 5).to_json()
    with pytest.raises(SummaryError, match="spread_count"):
        Summary.from_json(unasked | {"spread_count": 5}, PLAIN)
