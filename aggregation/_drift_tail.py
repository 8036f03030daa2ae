"""Tails of the null distributions, and z: how far out in a normal distribution that is.

All tests report z, so that one threshold means one false-positive rate whatever the test.
"""

from __future__ import annotations

import torch

from ._special import normal_quantile, upper_gamma

MAX_Z = 40.0
"""Bound of every z: a tail of 1e-300 and one of 1e-3000 mean the same to a policy."""


def bounded(z: float) -> float:
    """Return z within [-40, 40]."""
    return max(-MAX_Z, min(MAX_Z, z))


def gamma_tail(shape: float, x: float) -> float:
    """Return P(X > x) of a gamma distribution with this shape and scale 1.

    Example:
        >>> round(gamma_tail(1.0, 2.0), 6)  # exp(-2)
        0.135335
    """
    if x <= 0:
        return 1.0
    return float(upper_gamma(_scalar(shape), _scalar(x)))


def z_of(p_value: float) -> float:
    """Return the normal quantile of 1 - p, exact far into either tail, within [-40, 40].

    Example:
        >>> round(z_of(0.01), 3), z_of(0.0)
        (2.326, 40.0)
    """
    return bounded(-float(normal_quantile(_scalar(p_value))))


def _scalar(x: float) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64)
