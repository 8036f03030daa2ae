"""Drawing the losses: one panel for each member, all on one scale. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ._report_axis import GUTTER, Axis, member_box
from ._report_colours import member_class
from ._report_labels import figure, fit
from ._report_losses import Losses, Point
from ._report_markup import Markup, join, tag

MAX_PANELS: Final = 12
MAX_NODE_LINES: Final = 12
_PANEL, _GAP = 96, 24


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def y(self, value: float) -> float:
        span = self.high - self.low
        return _PANEL * (1 - (min(max(value, self.low), self.high) - self.low) / span)

    @property
    def ticks(self) -> tuple[float, ...]:
        return (self.low, (self.low + self.high) / 2, self.high)


def panels(losses: Losses, users: Mapping[str, int]) -> list[str]:
    """Return the members that get a panel: those with nodes now, then those seen last."""
    newest = {name: points[-1].review for name, points in losses.points.items()}
    ranked = sorted(newest, key=lambda name: (-users.get(name, 0), -newest[name], name))
    return [name for name in losses.points if name in ranked[:MAX_PANELS]]


def draw_losses(
    axis: Axis, losses: Losses, shown: Sequence[str], places: Mapping[str, int], *, gap: int
) -> tuple[Markup, Markup, float]:
    """Return labels, plot and height; lines are broken where `gap` reviews or more are missing."""
    scale = _scale([point for name in shown for point in losses.points[name]], losses.metric)
    labels: list[Markup] = []
    plots: list[Markup] = []
    for at, name in enumerate(shown):
        move = f"translate(0 {at * (_PANEL + _GAP) + 6})"
        points, css = losses.points[name], member_class(places[name])
        labels.append(tag("g", _label(name, points[-1], scale, css, places), transform=move))
        plots.append(tag("g", _panel(axis, points, scale, css, gap=gap), transform=move))
    return join(labels), join(plots), len(shown) * (_PANEL + _GAP)


def _scale(points: Sequence[Point], metric: str) -> _Scale:
    low = min((point.low for point in points), default=0.0)
    high = max((point.high for point in points), default=1.0)
    if metric != "loss" and low >= 0 and high <= 1:
        return _Scale(0.0, 1.0)
    low = min(low, 0.0)
    size = 10 ** math.floor(math.log10(max(high - low, 1e-6)))
    tick = next(
        size * n for n in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if size * n >= high - low
    )
    return _Scale(math.floor(low / tick) * tick if low else 0.0, math.ceil(high / tick) * tick)


def _label(name: str, last: Point, scale: _Scale, css: str, places: Mapping[str, int]) -> Markup:
    parts = [
        member_box(places[name], css, 0, 31, 10, 10),
        tag("text", fit(name, 10), tag("title", name), x=15, y=40, class_="name"),
        tag("text", f"last {figure(last.mean)}", x=15, y=56, class_="mute"),
    ]
    for value in scale.ticks:
        y = scale.y(value) + 4
        parts.append(
            tag("text", figure(value), x=GUTTER - 6, y=y, text_anchor="end", class_="mute")
        )
    return join(parts)


def _panel(axis: Axis, points: Sequence[Point], scale: _Scale, css: str, *, gap: int) -> Markup:
    rules = [
        tag("path", d=f"M0 {scale.y(value):.1f}H{axis.width:.1f}", class_="grid")
        for value in scale.ticks
    ]
    runs = _runs(points, gap)
    nodes = {identity for point in points for identity in point.by_node}
    spread = _node_lines if len(nodes) <= MAX_NODE_LINES else _ranges
    lines = [_line(axis, [(p.review, p.mean) for p in run], scale, "line") for run in runs]
    return join(
        [
            *rules,
            tag("g", *spread(axis, runs, scale), *lines, *_dots(axis, points, scale), class_=css),
        ]
    )


def _runs(points: Sequence[Point], gap: int) -> list[list[Point]]:
    runs: list[list[Point]] = []
    for point in points:
        if runs and point.review - runs[-1][-1].review <= gap:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _line(axis: Axis, values: Sequence[tuple[int, float]], scale: _Scale, css: str) -> Markup:
    path = "L".join(f"{axis.centre(at):.1f} {scale.y(value):.1f}" for at, value in values)
    return tag("path", d=f"M{path}" if len(values) > 1 else f"M{path}h.01", class_=css)


def _node_lines(axis: Axis, runs: Sequence[Sequence[Point]], scale: _Scale) -> list[Markup]:
    found: list[Markup] = []
    for run in runs:
        for identity in sorted({identity for point in run for identity in point.by_node}):
            values = [(p.review, p.by_node.get(identity)) for p in run]
            for has_value, stretch in groupby(values, key=lambda pair: pair[1] is not None):
                if has_value:
                    known = [(at, value) for at, value in stretch if value is not None]
                    found.append(_line(axis, known, scale, "thin"))
    return found


def _ranges(axis: Axis, runs: Sequence[Sequence[Point]], scale: _Scale) -> list[Markup]:
    found: list[Markup] = []
    for run in runs:
        upper = [f"{axis.centre(p.review):.1f} {scale.y(p.high):.1f}" for p in run]
        lower = [f"{axis.centre(p.review):.1f} {scale.y(p.low):.1f}" for p in reversed(run)]
        found.append(tag("path", d="M" + "L".join([*upper, *lower]) + "Z", class_="range"))
    return found


def _dots(axis: Axis, points: Sequence[Point], scale: _Scale) -> list[Markup]:
    if axis.step < 10:
        return []
    return [
        tag(
            "circle",
            tag("title", f"review {p.review}, version {p.version}: {figure(p.mean)}, "
                         f"{len(p.by_node)} nodes from {figure(p.low)} to {figure(p.high)}"
                         + ("; held by its gate" if p.is_held else "")),
            cx=round(axis.centre(p.review), 1), cy=round(scale.y(p.mean), 1),
            r=3.5 if p.is_held else 3, class_="dot held" if p.is_held else "dot",
        )
        for p in points
    ]  # fmt: skip
