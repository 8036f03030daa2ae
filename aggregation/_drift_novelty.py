"""Have the features moved? The kernel two-sample test on Fourier sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ._drift_tail import gamma_tail, z_of
from ._linalg import frobenius
from ._summary import Summary, check_comparable

_LEAST_TRACE = 1e-6
"""Float32 sums know the trace to about 1e-7: below this all rows are one row."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """How unlike the reference's features a window's features are.

    Attributes:
        statistic: T, >= 0; its mean without drift is tr C, at most 1.
        z: normal quantile of 1 - p_value, within [-40, 40].
        p_value: in [0, 1].
    """

    statistic: float
    z: float
    p_value: float


def novelty(window: Summary, reference: Summary) -> Novelty:
    """Test whether the window's features come from the reference's distribution.

        T = |m - m_ref|^2 / (1/n + 1/n_ref)

    with m the mean Fourier features: the squared maximum mean discrepancy of a Gaussian kernel
    (Gretton et al., JMLR 13, 2012) through random features (Rahimi and Recht, NIPS 2007). Without
    drift T is about sum_i l_i X_i, the X_i chi-square with one degree of freedom and l_i the
    eigenvalues of the features' covariance C: mean tr C, variance 2 tr C^2, third central moment
    8 tr C^3. p is the tail of the shifted gamma distribution of these three moments (Pearson's
    approximation: Imhof, Biometrika 48, 1961). The gamma distribution of two (Satterthwaite,
    Biometrics Bulletin 2, 1946) is too light in the tail: with slowly falling l_i it passes 1 % in
    2 % of quiet windows and 0.1 % in 0.7 %. Below the mean it serves, scaled to meet the other,
    which ends before zero.

    tr C is pooled within window and reference, (n - n |m|^2 + n_ref - n_ref |m_ref|^2) /
    (n + n_ref - 2), so that a shift between them does not hide itself; the others are pooled
    from the `spread` sums, and kept within what a covariance of this trace can have. No threshold
    is learnt from the reference's rows: a bootstrap of them has the reference's own error in it.

    The reference must be of the same source as the window: one node's window against other nodes'
    rows tests whether the nodes differ. Without Fourier sums the answer is (0, 0, 1).

    Raises:
        SummaryError: summaries of two specs, widths or lengths.

    Example:
        >>> spec = SummarySpec(7, bandwidth=1.0)
        >>> rows = torch.eye(40, 8)
        >>> one, two = summarise(spec, [0.0] * 40, features=rows), summarise(
        ...     spec, [0.0] * 40, features=rows.flip(1) + 1.0)
        >>> novelty(one, one).p_value, novelty(one, two).z > 5
        (1.0, True)
    """
    check_comparable(window, reference, with_features=True)
    if window.fourier_sum.numel() == 0 or window.count + reference.count < 3:
        return Novelty(0.0, 0.0, 1.0)
    one, two = _mean(window), _mean(reference)
    statistic = frobenius(one - two) ** 2 / (1 / window.count + 1 / reference.count)
    p_value = mixture_tail(statistic, _traces(window, reference, one, two))
    return Novelty(statistic, z_of(p_value), p_value)


class Traces(NamedTuple):
    """tr C, tr C^2 and tr C^3."""

    first: float
    second: float
    third: float


def _mean(summary: Summary) -> Tensor:
    return summary.fourier_sum.to(torch.float64) / summary.count


def _traces(window: Summary, reference: Summary, one: Tensor, two: Tensor) -> Traces:
    """Pool the three traces, within tr(C)^2 / d <= tr C^2 <= tr(C)^2 and Cauchy and Schwarz."""
    rows = window.count * (1 - frobenius(one) ** 2) + reference.count * (1 - frobenius(two) ** 2)
    first = max(_LEAST_TRACE, rows / (window.count + reference.count - 2))
    count = window.spread_count + reference.spread_count
    if count == 0:  # too few rows: one eigenvalue has the heaviest tail
        return Traces(first, first**2, first**3)
    second = (window.spread_sum + reference.spread_sum) / count
    second = min(first**2, max(first**2 / one.numel(), second))
    third = (window.spread_cube_sum + reference.spread_cube_sum) / count
    return Traces(first, second, min(second**1.5, max(second**2 / first, third)))


def mixture_tail(statistic: float, traces: Traces) -> float:
    """Return P(T > statistic) of T = sum_i l_i X_i, X_i chi-square, given the traces of the l_i.

    Example:
        >>> round(mixture_tail(6.635, Traces(1.0, 1.0, 1.0)), 4)  # one l_i: exact
        0.01
    """
    if statistic >= traces.first:
        return _shifted_tail(statistic, traces)
    shape = traces.first**2 / (2 * traces.second)
    below = 1 - gamma_tail(shape, shape * statistic / traces.first)
    share = below / (1 - gamma_tail(shape, shape))
    return 1 - share * (1 - _shifted_tail(traces.first, traces))


def _shifted_tail(statistic: float, traces: Traces) -> float:
    """Return the tail of a shifted gamma distribution with T's mean, variance and skewness."""
    shape = traces.second**3 / (2 * traces.third**2)  # 4 / skewness^2
    standard = (statistic - traces.first) / math.sqrt(2 * traces.second)
    return gamma_tail(shape, shape + standard * math.sqrt(shape))
