"""Which kind of drift is it? A name for what the tests of a node's windows show together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ._drift_path import DriftPath

Kind = Literal["", "label_prior", "concept", "sudden", "gradual", "recurring"]

JUMP_LIMIT = 2.33
"""Limit of `DriftPath.jump`: 1 % where the change came at a steady pace."""

RISE_LIMIT = 2.8
"""Limit of `DriftPath.rise`: 1 % where the change was one step, at the worst place."""

AHEAD_LIMIT = 1.0
"""Limit of `DriftPath.ahead`: 16 % of windows pass it, two windows after a slow change."""


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


def drift_kind(signs: DriftSigns, limits: DriftSigns, path: DriftPath | None = None) -> Kind:
    """Name the drift of a window, or return "" where there is none, or none can be named yet.

    - `label_prior`: the label frequencies moved, surer than the features did, and the loss did not
      rise: the features of a class may be what they were;
    - `recurring`: the features are new to the last windows, and fit what the node had earlier;
    - `sudden`: they are new to the last windows, and surely most of the change came at once;
    - `gradual`: no single step explains the windows, and the features are new to the reference or
      still on their way;
    - `concept`: the loss rose and the features are as they were: the answers changed. A window
      without features is never called so.

    "New" and "rose" have the level of `limits`; what tells a jump from a slow change has a level
    of its own, 1 % (`JUMP_LIMIT`, `RISE_LIMIT`). Between the two nothing is surely told: a change
    that is small, or that has just begun, has no name until a later window decides.

    Args:
        signs: of the window against base and reference.
        limits: thresholds; None turns a test off.
        path: how the window stands to those before it; None: not looked at, so new features have
            no name.

    Raises:
        Nothing.

    Example:
        >>> limits = DriftSigns(2.33, 2.33, 2.33)
        >>> drift_kind(DriftSigns(9.0, 0.5, 0.1), limits)
        'concept'
        >>> drift_kind(DriftSigns(1.0, 12.0, 0.1), limits, DriftPath(moved=9.0, jump=7.0))
        'sudden'
    """
    is_new, is_harmful = _above(signs.novelty, limits.novelty), _above(signs.loss, limits.loss)
    is_shifted = _above(signs.prior, limits.prior)
    if is_new and is_shifted and not is_harmful and (signs.prior or 0.0) >= (signs.novelty or 0.0):
        return "label_prior"
    shape = "" if path is None else _shape(path, limits.novelty, is_new=is_new)
    if shape or is_new:
        return shape
    if is_harmful:
        return "" if signs.novelty is None else "concept"
    return "label_prior" if is_shifted else ""


def _shape(path: DriftPath, limit: float | None, *, is_new: bool) -> Kind:
    """Name the path; a drift that is over has no name, unless the reference is of before it."""
    if _above(path.moved, limit):
        if path.known is not None and not _above(path.known, limit):
            return "recurring"
        if _above(path.jump, JUMP_LIMIT):
            return "sudden"
    is_rising = _above(path.rise, RISE_LIMIT) and (is_new or _above(path.ahead, AHEAD_LIMIT))
    return "gradual" if is_rising else ""


def _above(z: float | None, limit: float | None) -> bool:
    return z is not None and limit is not None and z > limit
