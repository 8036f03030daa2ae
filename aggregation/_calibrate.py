"""Thresholds from null windows: an order statistic that does not promise too much."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ._errors import ArgumentError


def calibrate(values: Sequence[float], *, level: float, floor: float) -> float:
    """Return a threshold that a further null value passes with probability at most `level`.

    Of m values the ceil((m + 1) (1 - level))-th smallest, but at least `floor`. If the values and
    the next one are exchangeable, the next is above it with probability at most `level`, whatever
    their distribution (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005,
    proposition 2.3): unlike an interpolated quantile, which is passed too often. Fewer than
    1 / level - 1 values cannot promise that much: then it is the largest of them, passed with
    probability at most 1 / (m + 1), and `floor` has to carry the rest.

    Args:
        values: statistics of windows without drift, finite, in any order; may be none.
        level: false-positive rate, in (0, 0.5].
        floor: smallest threshold, such as the normal quantile 2.33 for z values at 1 %.

    Raises:
        ArgumentError: a level or floor out of range, or a value that is not a finite number.

    Example:
        >>> calibrate([x / 10 for x in range(1, 100)], level=0.1, floor=2.33)
        9.0
        >>> calibrate([0.1, 0.2], level=0.1, floor=2.33)
        2.33
    """
    if not 0 < level <= 0.5:
        raise ArgumentError("a level is a false-positive rate in (0, 0.5]", got=level)
    try:
        least, ordered = float(floor), sorted(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError("values and floor are numbers") from None
    if not all(map(math.isfinite, (least, *ordered))):
        raise ArgumentError("values and floor are finite")
    if not ordered:
        return least
    # Rounded first: (m + 1) (1 - level) = 90 may come out as 90.00000000000001.
    rank = math.ceil(round((len(ordered) + 1) * (1 - level), 9))
    return max(least, ordered[min(rank, len(ordered)) - 1])
