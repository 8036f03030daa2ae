"""A summary: the additive sums over a window of rows that a node sends, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ._errors import NothingToAggregateError, SummaryError
from ._summary_check import (
    MAX_COUNT,
    MAX_WIDTH,
    check_classes,
    check_fourier,
    check_losses,
    check_products,
    check_spread,
    check_total,
)
from ._summary_codec import pack, pack_symmetric, unpack, unpack_symmetric
from ._summary_fields import Fields, refuse
from ._summary_maps import energy_bound
from ._summary_spec import SummarySpec
from ._summary_spread import Spread

FORMAT = 1

_NUMBERS = ("loss_sum", "loss_square_sum", "spread_sum", "spread_cube_sum")
_COUNTS = ("class_counts", "correct_counts")
_VECTORS = ("projected_sum", "projected_products", "fourier_sum")
_NAMES = ("format", "spec", "count", "width", "spread_count", *_NUMBERS, *_COUNTS, *_VECTORS)
_OPTIONAL = "base_loss_sum"


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Sums over `count` rows; sums of summaries are summaries.

    Every row adds a bounded amount to every sum, so a row, or a node that lies about its rows,
    moves a mean by at most its share. A sum over one row is that row: the smaller the window, the
    more each field reveals, and what it reveals is said below for a window of any size.

    Attributes:
        spec: digest of the `SummarySpec` it was made with.
        count: number of rows n, >= 1. Reveals how much data there is.
        width: of the features, 0 without. Reveals nothing about rows.
        loss_sum, loss_square_sum: of the clipped losses, in nats. Reveal how well the adapter does
            on the rows, mean and variance; a high loss that falls later tells what was trained on.
        class_counts: rows per class, () without classes. Reveal the label frequencies exactly.
        correct_counts: of these, rows predicted rightly; () if not known. Reveal the accuracy by
            class, and with `class_counts` that of a class of one row.
        projected_sum: float32 (projected,), of the projected unit-length features. Reveals the
            mean embedding up to what the projection loses, thus the topic of a small window.
        projected_products: float32 (projected, projected), symmetric, sum of y y^T of the same.
            Reveals the directions in which rows differ: with few rows, the rows' span.
        fourier_sum: float32 (fourier,), of the Fourier features; empty without bandwidth.
            Reveals the density of the features, smoothed at the bandwidth: whether a known text
            may be among few rows can be tested against it. Of one row, as many linear measurements
            of its features as there are frequencies.
        spread_sum, spread_cube_sum, spread_count: sums that estimate tr(C^2) and tr(C^3) of the
            Fourier features' covariance C, for `novelty`. Reveal how clustered the rows are.
        base_loss_sum: of the clipped losses of the base model alone, in nats; None where nobody
            asked (for classes) or where it is not known. Reveals how usual the texts are to a model
            that everybody has.
    """

    spec: str
    count: int
    width: int
    loss_sum: float
    loss_square_sum: float
    class_counts: tuple[int, ...]
    correct_counts: tuple[int, ...]
    projected_sum: Tensor
    projected_products: Tensor
    fourier_sum: Tensor
    spread_sum: float
    spread_cube_sum: float
    spread_count: int
    base_loss_sum: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the summary as what JSON can say: about 5 KB with features.

        Vectors are base64 of little-endian float32; of the products, the upper triangle by rows.
        """
        values: dict[str, Any] = {"format": FORMAT}
        for name in _NAMES[1:]:
            value: Any = getattr(self, name)
            if isinstance(value, Tensor):
                value = pack_symmetric(value) if value.dim() > 1 else pack(value)
            values[name] = list(value) if name in _COUNTS else value
        if self.base_loss_sum is not None:
            values[_OPTIONAL] = self.base_loss_sum
        return values

    @classmethod
    def from_json(cls, values: object, spec: SummarySpec, *, max_count: int = MAX_COUNT) -> Summary:
        """Turn JSON values from outside into a summary that rows could have given, or say why not.

        Checked: names, types, lengths, finite numbers; the spec's digest; counts within 1 to 10^9;
        class counts that sum to `count`, and correct counts within them; losses within the clip,
        without negative variance; products that leave a covariance, with a trace that unit rows
        can have; Fourier sums no longer than `count` unit rows.

        Args:
            values: what `to_json` gave, after its way through JSON.
            spec: the spec that was asked for.
            max_count: most rows that the sender can have: a sum weighs by the rows it claims.

        Raises:
            SummaryError: otherwise; the message names the field.
        """
        fields = Fields(values, _NAMES, [_OPTIONAL])
        fields.integer("format", low=FORMAT, high=FORMAT)
        if fields.text("spec") != spec.digest:
            raise refuse("spec", "of another spec", expected=spec.digest, got=fields.text("spec"))
        summary = _read(fields, spec, min(max_count, MAX_COUNT))
        _check(summary, spec)
        return summary


def add(summaries: Iterable[Summary]) -> Summary:
    """Return the sum: the summary of all rows together.

    Sums are accumulated in float64, one summary in memory at a time; the vectors of the result are
    rounded to float32 once.

    Args:
        summaries: of one spec and width, at least one, consumed once. If one has no
            `correct_counts`, or no `base_loss_sum`, neither has the sum.

    Raises:
        NothingToAggregateError: no summaries.
        SummaryError: another spec, width or length; more than 10^9 rows.

    Example:
        >>> one = summarise(SummarySpec(7), [0.5, 1.5])
        >>> two = add([one, one])
        >>> two.count, two.loss_sum
        (4, 4.0)
    """
    total: Summary | None = None
    for summary in summaries:
        total = _converted(summary, torch.float64) if total is None else _plus(total, summary)
    if total is None:
        raise NothingToAggregateError("a sum of no summaries has no meaning")
    return _converted(total, torch.float32)


def check_comparable(x: Summary, y: Summary, *, with_features: bool = False) -> None:
    """Refuse two summaries that do not speak of the same numbers.

    Raises:
        SummaryError: another spec; with features, another width or length.
    """
    if x.spec != y.spec:
        raise refuse("spec", "summaries of two specs", expected=x.spec, got=y.spec)
    if not with_features:
        return
    if x.width != y.width:
        raise refuse("width", "features of two widths", expected=x.width, got=y.width)
    for one, two in ((x.projected_sum, y.projected_sum), (x.fourier_sum, y.fourier_sum)):
        if one.shape != two.shape:
            raise SummaryError("two lengths", expected=one.numel(), got=two.numel())


def _read(fields: Fields, spec: SummarySpec, max_count: int) -> Summary:
    width = fields.integer("width", low=0, high=MAX_WIDTH)
    size = spec.projected if width else 0
    return Summary(
        spec=fields.text("spec"),
        count=fields.integer("count", low=1, high=max_count),
        width=width,
        loss_sum=fields.number("loss_sum"),
        loss_square_sum=fields.number("loss_square_sum"),
        class_counts=fields.integers("class_counts", high=MAX_COUNT, max_length=spec.classes),
        correct_counts=fields.integers("correct_counts", high=MAX_COUNT, max_length=spec.classes),
        projected_sum=unpack(fields, "projected_sum", size),
        projected_products=unpack_symmetric(fields, "projected_products", size),
        fourier_sum=unpack(fields, "fourier_sum", spec.fourier if size and spec.bandwidth else 0),
        spread_sum=fields.number("spread_sum"),
        spread_cube_sum=fields.number("spread_cube_sum"),
        spread_count=fields.integer("spread_count", low=0, high=MAX_COUNT),
        base_loss_sum=fields.number(_OPTIONAL) if _OPTIONAL in fields else None,
    )


def _check(summary: Summary, spec: SummarySpec) -> None:
    count = summary.count
    check_losses(count, summary.loss_sum, summary.loss_square_sum, spec.max_loss)
    if summary.base_loss_sum is not None:
        check_total(_OPTIONAL, count, summary.base_loss_sum, spec.max_loss)
    check_classes(spec.classes, count, summary.class_counts, summary.correct_counts)
    if summary.width:
        bound = energy_bound(spec, summary.width)
        check_products(count, summary.projected_sum, summary.projected_products, bound)
    has_fourier = summary.fourier_sum.numel() > 0
    if has_fourier:
        check_fourier(count, summary.fourier_sum)
    sums = Spread(summary.spread_sum, summary.spread_cube_sum, summary.spread_count)
    check_spread(count, sums, is_expected=has_fourier)


def _plus(total: Summary, summary: Summary) -> Summary:
    check_comparable(total, summary, with_features=True)
    if len(total.class_counts) != len(summary.class_counts):
        raise SummaryError("class_counts: two lengths")
    if total.count + summary.count > MAX_COUNT:
        raise refuse("count", "too many rows", expected=MAX_COUNT, got=total.count + summary.count)
    has_correct = len(total.correct_counts) == len(summary.correct_counts)
    bases = (total.base_loss_sum, summary.base_loss_sum)
    return Summary(
        spec=total.spec,
        count=total.count + summary.count,
        width=total.width,
        loss_sum=total.loss_sum + summary.loss_sum,
        loss_square_sum=total.loss_square_sum + summary.loss_square_sum,
        class_counts=_pairwise(total.class_counts, summary.class_counts),
        correct_counts=_pairwise(total.correct_counts, summary.correct_counts)
        if has_correct
        else (),
        projected_sum=total.projected_sum + summary.projected_sum,
        projected_products=total.projected_products + summary.projected_products,
        fourier_sum=total.fourier_sum + summary.fourier_sum,
        spread_sum=total.spread_sum + summary.spread_sum,
        spread_cube_sum=total.spread_cube_sum + summary.spread_cube_sum,
        spread_count=total.spread_count + summary.spread_count,
        base_loss_sum=None if None in bases else sum(b for b in bases if b is not None),
    )


def _pairwise(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(one, two, strict=True))


def _converted(summary: Summary, dtype: torch.dtype) -> Summary:
    return replace(
        summary,
        projected_sum=summary.projected_sum.to(dtype),
        projected_products=summary.projected_products.to(dtype),
        fourier_sum=summary.fourier_sum.to(dtype),
    )
