"""Which kind of drift is it? A name for what the tests of a node's last windows show together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

Kind = Literal["", "label_prior", "concept", "sudden", "gradual", "recurring"]

MIN_WINDOWS = 4
"""A slow rise and a step of the same height differ from here on."""

RAMP_MARGIN = 2.0
"""By how much the squared error of a step must exceed that of a rise; z has a variance of 1."""


@dataclass(frozen=True, slots=True)
class DriftSigns:
    """z of the three tests of one window; None where there was nothing to test with.

    Attributes:
        loss: of `loss_rise`.
        novelty: of `novelty`.
        prior: of `prior_shift`.
    """

    loss: float | None = None
    novelty: float | None = None
    prior: float | None = None


def drift_kind(
    windows: Sequence[DriftSigns], limits: DriftSigns, *, is_known: bool = False
) -> Kind:
    """Name the drift of the newest window, or return "" if no test is above its limit.

    - `recurring`: the features are new to the present reference, and fit an earlier one;
    - `label_prior`: the label frequencies moved, surer than the features did, and the loss did not
      rise: the features of a class may be what they were;
    - `gradual`: the features are new, and novelty rose over several windows;
    - `sudden`: they are new, and were not before. The first windows of a slow change look alike:
      what begins as `sudden` may turn out `gradual`;
    - `concept`: the loss rose and the features are as they were: the answers changed. A window
      without features is never called so.

    These are descriptions, not tests with a level of their own: the level is that of `limits`.

    Args:
        windows: of one node under one adapter and reference, newest last.
        limits: thresholds; None turns a test off.
        is_known: whether the newest window fits an earlier reference.

    Raises:
        Nothing.

    Example:
        >>> limits = DriftSigns(2.33, 2.33, 2.33)
        >>> quiet = DriftSigns(0.1, -0.4, 0.3)
        >>> drift_kind([quiet, quiet, DriftSigns(9.0, 0.5, 0.1)], limits)
        'concept'
        >>> drift_kind([quiet, quiet, DriftSigns(1.0, 12.0, 0.1)], limits)
        'sudden'
    """
    if not windows:
        return ""
    newest = windows[-1]
    is_harmful, is_moved = _above(newest.loss, limits.loss), _above(newest.prior, limits.prior)
    if _above(newest.novelty, limits.novelty):
        if is_moved and not is_harmful and (newest.prior or 0.0) >= (newest.novelty or 0.0):
            return "label_prior"
        if is_known:
            return "recurring"
        return "gradual" if _rises([w.novelty for w in windows]) else "sudden"
    if is_harmful:
        return "" if newest.novelty is None else "concept"
    return "label_prior" if is_moved else ""


def _above(z: float | None, limit: float | None) -> bool:
    return z is not None and limit is not None and z > limit


def _rises(history: Sequence[float | None]) -> bool:
    """Say whether a rise from some window on fits clearly better than a step at some window.

    Both have a level, a height and a place, fitted by least squares over all places. A rise has at
    least two windows above its level: with one it is a step.
    """
    known = [z for z in history if z is not None]
    if len(known) < MIN_WINDOWS:
        return False
    steps = [_error(known, [float(i >= at) for i in range(len(known))])
             for at in range(1, len(known))]  # fmt: skip
    rises = [_error(known, [float(max(0, i - at)) for i in range(len(known))])
             for at in range(len(known) - 2)]  # fmt: skip
    return known[-1] == max(known) and min(steps) > min(rises) + RAMP_MARGIN


def _error(values: Sequence[float], shape: Sequence[float]) -> float:
    """Return the squared error of the least squares fit of level + height * shape."""
    mean, middle = fmean(values), fmean(shape)
    square = sum((s - middle) ** 2 for s in shape)
    height = sum((s - middle) * (v - mean) for s, v in zip(shape, values, strict=True)) / square
    return sum((v - mean - height * (s - middle)) ** 2 for s, v in zip(shape, values, strict=True))
