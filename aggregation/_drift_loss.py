"""Does the loss rise? The test of harm: a window against earlier windows of the same adapter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ._drift_tail import bounded
from ._summary import Summary, check_comparable

VARIANCE_FLOOR = 1e-4
"""Nats squared: losses that agree to 0.01 nats are not evidence of a difference of 0.01 nats."""

UNKNOWN_VARIANCE = 1.0
"""Nats squared, of losses of which there is one row only: the size of a loss itself."""


@dataclass(frozen=True, slots=True)
class Rise:
    """By how much a window's mean loss is above another's.

    Attributes:
        difference: in nats per row; positive is worse.
        standard_error: of the difference, in nats per row, > 0.
        z: their ratio, within [-40, 40]; about standard normal without drift.
    """

    difference: float
    standard_error: float
    z: float


class LossSums(Protocol):
    """Rows, nats and nats squared of a window: a `Summary`, or what is remembered of one."""

    @property
    def count(self) -> int: ...

    @property
    def loss_sum(self) -> float: ...

    @property
    def loss_square_sum(self) -> float: ...


def loss_rise(window: LossSums, base: LossSums) -> Rise:
    """Compare the mean loss of a window with that of the base windows before it.

        z = (mean - mean_base) / sqrt(var / n + var_base / n_base)

    with unbiased variances of the clipped losses (Welch, Biometrika 34, 1947): no equal variances
    are assumed, since a shift changes both. A variance is at least 1e-4 nats squared, so equal
    losses cannot give an infinite z; that of a single row is taken from the other side. Skewed
    losses (right tails) make the test cautious: a high mean comes with a high variance.

    Raises:
        SummaryError: summaries of two specs.

    Example:
        >>> spec = SummarySpec(7)
        >>> rise = loss_rise(summarise(spec, [1.0, 2.0]), summarise(spec, [0.0, 1.0]))
        >>> rise.difference, round(rise.standard_error, 4), round(rise.z, 4)
        (1.0, 0.7071, 1.4142)
    """
    if isinstance(window, Summary) and isinstance(base, Summary):
        check_comparable(window, base)
    one, two = _variance(window), _variance(base)
    known = [value for value in (one, two) if value is not None] or [UNKNOWN_VARIANCE]
    square = max(VARIANCE_FLOOR, known[0] if one is None else one) / window.count
    square += max(VARIANCE_FLOOR, known[-1] if two is None else two) / base.count
    difference = window.loss_sum / window.count - base.loss_sum / base.count
    error = math.sqrt(square)
    return Rise(difference, error, bounded(difference / error))


def _variance(summary: LossSums) -> float | None:
    """Return the unbiased variance of the losses; None of a single row."""
    return unbiased_variance(summary.count, summary.loss_sum, summary.loss_square_sum)


def unbiased_variance(count: int, total: float, squares: float) -> float | None:
    """Return (squares - total^2 / n) / (n - 1), never negative; None if n < 2."""
    if count < 2:
        return None
    return max(0.0, squares - total * total / count) / (count - 1)
