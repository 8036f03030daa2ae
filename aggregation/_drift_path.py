"""The path of one node's windows: one jump, a slow way, or back to where they were before?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._drift_novelty import novelty
from ._drift_tail import bounded
from ._summary import Summary, add, check_comparable

LAST_WINDOWS = 4
"""Windows that the newest one is compared with: as many as make a base."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class DriftPath:
    """How a node's newest window stands to those before it.

    z of five tests, within [-40, 40]; None where there are too few windows to tell.

    Attributes:
        moved: of `novelty` against the last 4 windows before it.
        known: the smallest of `novelty` against what the node had earlier.
        jump: more than half of the change came between the last two windows.
        rise: no single step explains the windows: they went on in the same direction.
        ahead: the newest window is further in that direction than the two before.
    """

    moved: float | None = None
    known: float | None = None
    jump: float | None = None
    rise: float | None = None
    ahead: float | None = None


def drift_path(
    windows: Sequence[Summary],
    earlier: Iterable[Summary] = (),
    *,
    before: Sequence[Summary] = (),
) -> DriftPath:
    """Test the shape of the path that a node's windows take, by their projected mean features.

    With m_i the mean of window i of n_i rows, and C the covariance within windows, pooled, take
    two courses: f, which explains the windows, and g, which may be better. Let

        b = sum_i n_i f_i m_i / sum_i n_i f_i^2         (f centred: the change, if f is right),
        c = g - f (sum_i n_i f_i g_i / sum_i n_i f_i^2)      (g centred: what f cannot explain),
        z = (sum_i n_i c_i m_i) . b / sqrt(b^T C b sum_i n_i c_i^2).

    b and sum_i n_i c_i m_i are orthogonal contrasts: if m_i = a + f_i b for some a and b they are
    independent (near enough normal for some tens of rows), so z is standard normal given b,
    however large the change is, none included. So quiet windows tell the rate of false alarms for
    changes of any size. All power lies in the change's own direction. The courses are steps (0,
    then 1 from some window on) and ramps (0, a straight rise, then 1):

    - jump: f rises over the last two windows, g is a step at the newest;
    - rise: f is a step, g a ramp from some window to the newest; for each step the largest z over
      ramps, and of these the smallest: all steps have to fail. If one is right, 1 % pass 2.8 at
      the worst place among 12 windows;
    - ahead: f is a step at the last window but two, g a step at the newest.

    Args:
        windows: of one node, newest last, at least one; since its last sudden change, if any.
        earlier: what it had before that: sums of windows. Consumed once.
        before: the windows just before that change, for `rise` and `ahead` alone: what seemed
            sudden at first may turn out to be the beginning of a slow change.

    Returns:
        jump from 3 windows on, rise and ahead from 4 on; `moved` from 2 on, `known` with any
        earlier; None without features.

    Raises:
        SummaryError: summaries of two specs, widths or lengths.

    Example:
        >>> spec = SummarySpec(7, bandwidth=1.0)
        >>> rows = torch.eye(16).repeat(20, 1)
        >>> before, after = (summarise(spec, [0.0] * 320, features=rows + shift * torch.eye(16)[0])
        ...                  for shift in (0.0, 1.0))
        >>> path = drift_path([before] * 4 + [after])
        >>> path.moved > 10, path.jump > 10, path.rise < 1e-6
        (True, True, True)
        >>> drift_path([after, after, before], [add([before] * 4)]).known < 0
        True
    """
    newest = windows[-1]
    for window in (*before, *windows):
        check_comparable(newest, window, with_features=True)
    if newest.projected_sum.numel() == 0:
        return DriftPath()
    last = windows[-1 - LAST_WINDOWS : -1]
    path = _Path([*before, *windows])
    return DriftPath(
        moved=novelty(newest, add(last)).z if last else None,
        known=min((novelty(newest, known).z for known in earlier), default=None),
        jump=_Path(windows).jump(),
        rise=path.rise(),
        ahead=path.ahead(),
    )


Course = list[float]


class _Path:
    """What the tests need of windows: inner products of their means, plain and under C."""

    def __init__(self, windows: Sequence[Summary]) -> None:
        self._last = len(windows) - 1
        self._counts = [float(window.count) for window in windows]
        weights = torch.tensor(self._counts, dtype=torch.float64)[:, None]
        sums = torch.stack([window.projected_sum.to(torch.float64) for window in windows])
        means = sums / weights
        products = torch.zeros_like(windows[0].projected_products, dtype=torch.float64)
        for window in windows:
            products += window.projected_products
        degrees = max(1.0, sum(self._counts) - len(windows))
        within = (products - means.T @ sums) / degrees
        about = means - sums.sum(0) / sum(self._counts)
        self._inner = _rows(about @ about.T)
        self._within = _rows(about @ within @ about.T)

    def jump(self) -> float | None:
        end = self._last
        return self._against(_ramp(end, end - 2, end), [_step(end, end)]) if end >= 2 else None

    def ahead(self) -> float | None:
        end = self._last
        return self._against(_step(end, end - 2), [_step(end, end)]) if end >= 3 else None

    def rise(self) -> float | None:
        end = self._last
        if end < 3:
            return None
        ramps = [_ramp(end, at, end) for at in range(end - 1)]
        return min(self._against(_step(end, at), ramps) for at in range(1, end + 1))

    def _against(self, explained: Course, others: Sequence[Course]) -> float:
        """Return the largest z of the others against the course that explains the windows."""
        course = self._centred(explained)
        square = self._product(course, course)
        change = [n * f / square for n, f in zip(self._counts, course, strict=True)]
        error = math.sqrt(max(0.0, _dot(change, [_dot(row, change) for row in self._within])))
        places = [_dot(row, change) for row in self._inner]
        found = [-math.inf]
        for other in others:
            centred = self._centred(other)
            share = self._product(course, centred) / square
            rest = [g - share * f for f, g in zip(course, centred, strict=True)]
            size = self._product(rest, rest)
            if size > _ROUNDING * self._product(centred, centred):
                found.append(_ratio(self._product(rest, places), error * math.sqrt(size)))
        return bounded(max(found))

    def _centred(self, course: Course) -> Course:
        mean = _dot(self._counts, course) / sum(self._counts)
        return [value - mean for value in course]

    def _product(self, one: Course, two: Course) -> float:
        return sum(n * x * y for n, x, y in zip(self._counts, one, two, strict=True))


def _rows(matrix: Tensor) -> list[Course]:
    return [[float(value) for value in row] for row in matrix]


def _dot(one: Course, two: Course) -> float:
    return sum(x * y for x, y in zip(one, two, strict=True))


def _ratio(value: float, error: float) -> float:
    """Return value / error; without a change, or without spread, there is nothing to tell."""
    return value / error if error > 0 else 0.0


def _step(end: int, at: int) -> Course:
    return [float(i >= at) for i in range(end + 1)]


def _ramp(end: int, start: int, stop: int) -> Course:
    return [min(max((i - start) / (stop - start), 0.0), 1.0) for i in range(end + 1)]
