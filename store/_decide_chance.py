"""How likely false alarms alone look like what was seen. Probabilities, float64.

Notation: `rate`, chance of one false alarm; K, windows that could have given one; m, alarms seen.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from ._policy import AdaptationPolicy

_NORMAL = NormalDist()
_STEPS = 400
_REACH = 8.0


def at_least(alarms: int, windows: int, rate: float) -> float:
    """Return P(Bin(K, rate) >= m), the chance of m or more false alarms among K windows.

    Terms are summed relative to the largest, so that nothing underflows however many windows
    there are.
    """
    if alarms <= 0:
        return 1.0
    if alarms > windows or rate <= 0.0:
        return 0.0
    if rate >= 1.0:
        return 1.0
    odds, mode = rate / (1.0 - rate), min(int((windows + 1) * rate), windows)
    terms = {mode: 1.0}
    for k in range(mode, windows):
        terms[k + 1] = terms[k] * (windows - k) / (k + 1) * odds
    for k in range(mode, 0, -1):
        terms[k - 1] = terms[k] * k / (windows - k + 1) / odds
    above = math.fsum(term for k, term in terms.items() if k >= alarms)
    return min(above / math.fsum(terms.values()), 1.0)


def beyond(z: float) -> float:
    """Return the chance that a standard normal number is above z."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def confirmation_rate(policy: AdaptationPolicy, least: int) -> float:
    """Return the chance that a quiet node has `least` harmful ones of `confirm_of` windows."""
    return _confirmation_rate(
        policy.false_positive_rate, least, policy.confirm_of, policy.base_windows
    )


@lru_cache(maxsize=64)
def _confirmation_rate(rate: float, least: int, of: int, base_windows: int) -> float:
    """Integrate over what the windows share: the error of their base.

    A window's z has variance 1/n of its own and 1/(n base_windows) of the base, so two windows
    correlate by 1/(1 + base_windows): with 2 of 3 and a base of 4 this is three times as likely
    as for independent windows.
    """
    shared = 1.0 / (1.0 + base_windows)
    limit = _NORMAL.inv_cdf(1.0 - rate)
    step = 2.0 * _REACH / _STEPS
    total: list[float] = []
    for i in range(_STEPS + 1):
        at = -_REACH + i * step
        each = beyond((limit - math.sqrt(shared) * at) / math.sqrt(1.0 - shared))
        total.append(_NORMAL.pdf(at) * at_least(least, of, each) * step)
    return min(math.fsum(total), 1.0)
