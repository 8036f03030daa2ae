"""The special functions that are needed, typed: torch.special ships no types."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

_special = cast("Any", torch.special)


def normal_quantile(p: Tensor) -> Tensor:
    """Return the standard normal quantile of each p in [0, 1]; infinite at both ends."""
    return cast("Tensor", _special.ndtri(p))


def upper_gamma(shape: Tensor, x: Tensor) -> Tensor:
    """Return the regularised upper incomplete gamma function Q(shape, x), x >= 0."""
    return cast("Tensor", _special.gammaincc(shape, x))
