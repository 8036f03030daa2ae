"""Weights: the share of each update in an aggregate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from ._errors import NothingToAggregateError, WeightError

Weight: TypeAlias = float | Mapping[str, float]
"""One weight for everything, or one per target module and dense tensor name."""


def normalise(num_examples: Sequence[float]) -> list[float]:
    """Turn numbers of examples into weights that add up to one.

    w_k = n_k / sum_j n_j, the weights of federated averaging (McMahan et al., arXiv 1602.05629,
    algorithm 1). This is the only place of the package that divides by a sum: everything else uses
    weights as given. Discounts for staleness multiply afterwards and are not renormalised.

    Args:
        num_examples: one number per update, finite and >= 0, not all zero.

    Returns:
        One float64 weight per update, in the same order, each in [0, 1].

    Raises:
        NothingToAggregateError: no numbers.
        WeightError: a negative or non-finite number, or a total of zero, which other systems turn
            silently into an aggregate of nothing.

    Example:
        >>> normalise([30, 10])
        [0.75, 0.25]
    """
    if not num_examples:
        raise NothingToAggregateError("cannot normalise an empty list of example counts")
    counts = [finite_number(count) for count in num_examples]
    if min(counts) < 0:
        raise WeightError("numbers of examples are not negative", got=min(counts))
    largest = max(counts)
    if largest == 0:
        raise WeightError("all numbers of examples are zero, so no update has a share")
    shares = [count / largest for count in counts]
    total = math.fsum(shares)
    return [share / total for share in shares]


def weight_for(weight: Weight, name: str) -> float:
    """Return the weight that `weight` gives to the module or dense tensor `name`.

    Raises:
        WeightError: a mapping without `name` (a forgotten module must not vanish silently), or a
            value that is not a finite number.

    Example:
        >>> weight_for({"q": 0.5, "v": 0.25}, "v")
        0.25
    """
    if isinstance(weight, Mapping):
        if name not in weight:
            raise WeightError("the per-module weights do not name this module", module=name)
        return finite_number(weight[name], module=name)
    return finite_number(weight, module=name)


def finite_number(value: object, *, module: str | None = None) -> float:
    """Return `value` as a finite Python float.

    Raises:
        WeightError: NaN, infinity, or not a number.
    """
    try:
        number = float(cast("float", value))
    except (TypeError, ValueError, OverflowError):
        raise WeightError("a weight is a number", module=module, got=repr(value)) from None
    if isinstance(value, (str, bytes, bool)) or not math.isfinite(number):
        raise WeightError("a weight is a finite number", module=module, got=repr(value))
    return number
