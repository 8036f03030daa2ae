"""What class counts tell: a shift of the label frequencies, and what a score is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ._drift_tail import gamma_tail, z_of
from ._summary import Summary, check_comparable

MIN_EXPECTED = 5.0
"""Cochran's rule: below this expected count the chi-square tail is not to be trusted."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Whether the label frequencies moved.

    Attributes:
        statistic: Pearson's chi-square, >= 0.
        z: normal quantile of 1 - p_value, within [-40, 40].
        p_value: in [0, 1].
    """

    statistic: float
    z: float
    p_value: float


def prior_shift(window: Summary, reference: Summary) -> Prior:
    """Test whether window and reference have the same label frequencies.

    The chi-square test of homogeneity (Pearson, 1900): statistic = sum (n_sc - e_sc)^2 / e_sc over
    samples s and classes c, e_sc = n_s n_c / n, with one degree of freedom less than classes.
    Classes whose expected count is below 5 in one of the samples are counted as one (Cochran,
    Ann. Math. Stat. 23, 1952). With fewer than two classes left, or without any: (0, 0, 1).

    Raises:
        SummaryError: summaries of two specs.

    Example:
        >>> spec = SummarySpec(7, classes=2)
        >>> one = summarise(spec, [0.0] * 40, labels=[0] * 30 + [1] * 10)
        >>> two = summarise(spec, [0.0] * 40, labels=[0] * 20 + [1] * 20)
        >>> shift = prior_shift(one, two)
        >>> round(shift.statistic, 4), round(shift.p_value, 4), round(shift.z, 4)
        (5.3333, 0.0209, 2.0351)
    """
    check_comparable(window, reference)
    cells = _cells(window, reference)
    if len(cells) < 2:
        return Prior(0.0, 0.0, 1.0)
    total = window.count + reference.count
    statistic = 0.0
    for one, two in cells:
        for count, rows in ((one, window.count), (two, reference.count)):
            expected = rows * (one + two) / total
            statistic += (count - expected) ** 2 / expected
    p_value = gamma_tail((len(cells) - 1) / 2, statistic / 2)
    return Prior(statistic, z_of(p_value), p_value)


def uninformed_loss(summary: Summary) -> float | None:
    """Return the loss of one who has learned nothing from the federation, in nats per row.

    With classes that is one who knows the window's label frequencies and nothing else: the entropy
    -sum_c (n_c / n) ln(n_c / n). Without, as for language models, it is the base model itself, if
    the summary says how it did. An adapter whose loss is above it contradicts the rows rather than
    finding them hard. None where it is not known.

    Raises:
        Nothing.

    Example:
        >>> spec = SummarySpec(7, classes=2)
        >>> round(uninformed_loss(summarise(spec, [0.0, 0.0], labels=[0, 1])), 4)
        0.6931
    """
    if not summary.class_counts:
        base = summary.base_loss_sum
        return None if base is None else base / summary.count
    shares = [count / summary.count for count in summary.class_counts if count]
    return -math.fsum(share * math.log(share) for share in shares)


def balanced_accuracy(summary: Summary) -> float | None:
    """Return the mean over the classes present of the share of their rows predicted rightly.

    In [0, 1]; guessing gives 1 / classes present, whatever the frequencies. None where it is not
    known: without classes, or without `correct_counts`.

    Raises:
        Nothing.

    Example:
        >>> spec = SummarySpec(7, classes=2)
        >>> right = [True, False, True]
        >>> balanced_accuracy(summarise(spec, [0.1] * 3, labels=[0, 0, 1], correct=right))
        0.75
    """
    if not summary.correct_counts:
        return None
    pairs = zip(summary.correct_counts, summary.class_counts, strict=True)
    shares = [correct / count for correct, count in pairs if count]
    return math.fsum(shares) / len(shares)


def _cells(window: Summary, reference: Summary) -> list[tuple[int, int]]:
    """Return (count in window, count in reference) by class, rare classes as one; none empty."""
    least = min(window.count, reference.count) / (window.count + reference.count)
    cells: list[tuple[int, int]] = []
    rare = (0, 0)
    for one, two in zip(window.class_counts, reference.class_counts, strict=True):
        if (one + two) * least < MIN_EXPECTED:
            rare = (rare[0] + one, rare[1] + two)
        else:
            cells.append((one, two))
    return [*cells, rare] if sum(rare) else cells
