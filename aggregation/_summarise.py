"""From rows to sums: the one place where a node's data become a summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

import torch
from torch import Tensor

from ._errors import ArgumentError, NotFiniteError, ShapeError
from ._linalg import is_finite, numbers
from ._summary import Summary
from ._summary_check import MAX_COUNT, MAX_WIDTH
from ._summary_maps import fourier_features, project, unit_rows
from ._summary_spec import SummarySpec
from ._summary_spread import Spread, spread

_Rows: TypeAlias = Sequence[float] | Tensor


def summarise(
    spec: SummarySpec,
    losses: _Rows,
    *,
    labels: _Rows | None = None,
    correct: _Rows | None = None,
    features: Tensor | None = None,
    base_losses: _Rows | None = None,
) -> Summary:
    """Sum up a window of n rows: losses, and where there are any, labels and features.

    Losses are clipped to +-spec.max_loss; one that is NaN counts as max_loss, since an adapter that
    yields it serves nobody. Features are scaled to length 1 per row (a zero row stays zero), then
    projected, and mapped to Fourier features if the spec has a bandwidth. What each sum reveals is
    said at `Summary`.

    Args:
        spec: what the federation asks for.
        losses: (n,), n >= 1, in nats per row; for language models the mean over the row's tokens.
        labels: (n,), class index in [0, spec.classes); required if the spec has classes, and
            ignored if it has none.
        correct: (n,), whether each row was predicted rightly; used with labels only.
        features: (n, width), any floating dtype and device, of the frozen base model.
        base_losses: (n,), as `losses`, of the base model without any adapter.

    Returns:
        Sums over the rows, taken in float64 on the CPU; vectors rounded to float32 once.

    Raises:
        ArgumentError: no rows, a label outside the classes, no labels where the spec has classes,
            or values that are not numbers.
        ShapeError: not one loss, base loss, label, correctness or feature vector per row.
        NotFiniteError: NaN or infinity in the features.

    Example:
        >>> spec = SummarySpec(7, classes=2)
        >>> one = summarise(spec, [0.5, 20.0], labels=[0, 1], correct=[True, False])
        >>> one.loss_sum, one.class_counts, one.correct_counts
        (10.5, (1, 1), (1, 0))
    """
    clipped = _clipped(losses, spec.max_loss)
    count = clipped.numel()
    class_counts, correct_counts = _classes(spec, count, labels, correct)
    rows = torch.empty(count, 0) if features is None else _checked(features, count)
    width = rows.shape[1]
    projected = project(spec, rows) if width else torch.empty(count, 0)
    phases = (
        fourier_features(spec, spec.bandwidth, rows)
        if width and spec.bandwidth is not None
        else torch.empty(count, 0)
    )
    sums = spread(phases) if phases.numel() else Spread(0.0, 0.0, 0)
    return Summary(
        spec=spec.digest,
        count=count,
        width=width,
        loss_sum=float(clipped.sum()),
        loss_square_sum=float((clipped * clipped).sum()),
        class_counts=class_counts,
        correct_counts=correct_counts,
        projected_sum=projected.sum(dim=0).to(torch.float32),
        projected_products=(projected.T @ projected).to(torch.float32),
        fourier_sum=phases.sum(dim=0).to(torch.float32),
        spread_sum=sums.square_sum,
        spread_cube_sum=sums.cube_sum,
        spread_count=sums.count,
        base_loss_sum=None
        if base_losses is None
        else float(_clipped(base_losses, spec.max_loss, count).sum()),
    )


def _clipped(losses: _Rows, max_loss: float, count: int | None = None) -> Tensor:
    values = _vector("losses", losses, count, dtype=torch.float64)
    if not 1 <= values.numel() <= MAX_COUNT:
        raise ArgumentError("a window has 1 to 10^9 rows", got=values.numel())
    return values.nan_to_num(nan=max_loss).clamp(-max_loss, max_loss)


def _classes(
    spec: SummarySpec, count: int, labels: _Rows | None, correct: _Rows | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return rows per class, and of these the rows predicted rightly."""
    if not spec.classes:
        return (), ()
    if labels is None:
        raise ArgumentError("the spec counts classes, so labels are required")
    classes = _vector("labels", labels, count)
    if classes.is_floating_point() or not 0 <= int(classes.min()) <= int(classes.max()):
        raise ArgumentError("labels are class indices >= 0")
    if int(classes.max()) >= spec.classes:
        raise ArgumentError("a label beyond the classes", expected=spec.classes, got=classes.max())
    counts = _counts(classes, spec.classes)
    if correct is None:
        return counts, ()
    is_right = _vector("correct", correct, count).to(torch.bool)
    return counts, _counts(classes[is_right], spec.classes)


def _counts(classes: Tensor, size: int) -> tuple[int, ...]:
    counts = torch.bincount(classes.to(torch.int64), minlength=size)
    return tuple(int(count) for count in numbers(counts))


def _vector(
    name: str, values: _Rows, count: int | None = None, *, dtype: torch.dtype | None = None
) -> Tensor:
    try:
        vector = torch.as_tensor(values, dtype=dtype).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentError(f"{name} are one number per row", got=type(values).__name__) from None
    if vector.dim() != 1 or (count is not None and vector.numel() != count):
        raise ShapeError(f"{name} are one number per row", expected=count, got=tuple(vector.shape))
    return vector


def _checked(features: Tensor, count: int) -> Tensor:
    """Return features as unit rows in float64."""
    if not isinstance(cast("object", features), Tensor) or not features.is_floating_point():
        raise ArgumentError("features are a floating tensor", got=type(features).__name__)
    if features.dim() != 2 or features.shape[0] != count:
        raise ShapeError("one feature vector per row", expected=count, got=tuple(features.shape))
    if not 1 <= features.shape[1] <= MAX_WIDTH:
        raise ShapeError("features have 1 to 2^20 numbers", got=features.shape[1])
    if not is_finite(features):
        raise NotFiniteError("the features hold NaN or infinity")
    return unit_rows(features)
