"""Two adapters on the same rows: the paired test, which re-routing and trials use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ._drift_loss import UNKNOWN_VARIANCE, VARIANCE_FLOOR, unbiased_variance
from ._drift_tail import bounded
from ._errors import ArgumentError
from ._summary_check import MAX_COUNT, check_losses
from ._summary_fields import checked_integer, checked_number, refuse
from ._summary_spec import MAX_MAX_LOSS


@dataclass(frozen=True, slots=True)
class Paired:
    """Sums of loss differences over rows; additive, so nodes' results pool.

    Of one row it reveals the difference of two losses, and nothing else of the row.

    Attributes:
        count: number of rows n, >= 0.
        sum: of the differences, in nats.
        square_sum: of their squares.

    Raises:
        SummaryError: sums that no n differences can have.
    """

    count: int
    sum: float
    square_sum: float

    def __post_init__(self) -> None:
        count = checked_integer("count", self.count, low=0, high=MAX_COUNT)
        total = checked_number("sum", self.sum)
        squares = checked_number("square_sum", self.square_sum)
        if count:
            check_losses(count, total, squares, 2 * MAX_MAX_LOSS)
        elif total or squares:
            raise refuse("sum", "a sum over no rows", got=(total, squares))

    @property
    def mean(self) -> float:
        """Mean difference, in nats per row; 0.0 without rows."""
        return self.sum / self.count if self.count else 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean: sqrt(var / n), with a variance of at least 1e-4 nats squared."""
        variance = unbiased_variance(self.count, self.sum, self.square_sum)
        known = UNKNOWN_VARIANCE if variance is None else max(VARIANCE_FLOOR, variance)
        return math.sqrt(known / max(1, self.count))

    @property
    def z(self) -> float:
        """Return mean / standard_error, within [-40, 40]; 0.0 with fewer than two rows."""
        return bounded(self.mean / self.standard_error) if self.count > 1 else 0.0


def paired(differences: Sequence[float], *, limit: float = 10.0) -> Paired:
    """Sum up differences of two losses, row by row: own loss - other loss is the other's gain.

    Pairing removes what makes rows easy or hard, so far fewer rows tell two adapters apart than
    two means would need.

    Args:
        differences: one per row, in nats; may be none.
        limit: each is clipped to +-limit, so that one row cannot decide; NaN counts as 0.

    Raises:
        ArgumentError: a limit that is not positive, or differences that are not numbers.

    Example:
        >>> gain = paired([0.5, 0.25, 0.75, 0.5])
        >>> gain.mean, round(gain.standard_error, 4), round(gain.z, 2)
        (0.5, 0.1021, 4.9)
    """
    if not 0 < limit <= MAX_MAX_LOSS:
        raise ArgumentError("a limit is positive, at most 10^6 nats", got=limit)
    try:
        values = [float(value) for value in differences]
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError("differences are numbers") from None
    clipped = [0.0 if value != value else max(-limit, min(limit, value)) for value in values]
    return Paired(len(clipped), math.fsum(clipped), math.fsum(value**2 for value in clipped))


def pool(results: Iterable[Paired]) -> Paired:
    """Return the sums over all rows together; of no results, sums over no rows.

    Raises:
        SummaryError: more than 10^9 rows.

    Example:
        >>> pool([paired([1.0]), paired([0.0, 0.5])])
        Paired(count=3, sum=1.5, square_sum=1.25)
    """
    every = list(results)
    return Paired(
        sum(one.count for one in every),
        math.fsum(one.sum for one in every),
        math.fsum(one.square_sum for one in every),
    )
