"""Drawing the ranks: one panel for each member, all on one scale, with each change. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from ._report_axis import GUTTER, Axis, member_box
from ._report_colours import member_class
from ._report_labels import fit
from ._report_markup import Markup, join, tag
from ._report_ranks import Change, Level, Ranks

_PANEL, _GAP = 64, 34
_WIDTH: Final = 7.0  # of a letter of a change's words


def draw_ranks(
    axis: Axis, ranks: Ranks, shown: Sequence[str], places: Mapping[str, int]
) -> tuple[Markup, Markup, float]:
    """Return labels, plot and height."""
    seen = [max(one.rank, one.needed or 0) for name in shown for one in ranks.levels[name]]
    top = max([*seen, *ranks.now.values()], default=0)
    top = max(2 * ((top + 1) // 2), 2)  # even: the tick in the middle is a whole number
    labels: list[Markup] = []
    plots: list[Markup] = []
    for at, name in enumerate(shown):
        move = f"translate(0 {at * (_PANEL + _GAP) + 24})"
        levels, css = ranks.levels[name], member_class(places[name])
        changes = [one for one in ranks.changes if one.adapter == name and one.decision]
        now = ranks.now.get(name)
        words = f"last {levels[-1].rank}" if now is None else f"now {now}"
        labels.append(tag("g", _label(name, words, top, css, places), transform=move))
        drawn = _panel(axis, levels, changes, top, now)
        plots.append(tag("g", drawn, class_=css, transform=move))
    return join(labels), join(plots), len(shown) * (_PANEL + _GAP)


def _y(rank: float, top: int) -> float:
    return _PANEL * (1 - rank / top)


def _label(name: str, words: str, top: int, css: str, places: Mapping[str, int]) -> Markup:
    parts = [
        member_box(places[name], css, 0, 15, 10, 10),
        tag("text", fit(name, 10), tag("title", name), x=15, y=24, class_="name"),
        tag("text", words, x=15, y=40, class_="mute"),
    ]
    for value in (0, top // 2, top):
        y = _y(value, top) + 4
        parts.append(tag("text", value, x=GUTTER - 6, y=y, text_anchor="end", class_="mute"))
    return join(parts)


def _panel(
    axis: Axis, levels: Sequence[Level], changes: Sequence[Change], top: int, now: int | None
) -> Markup:
    rules = [
        tag("path", d=f"M0 {_y(value, top):.1f}H{axis.width:.1f}", class_="grid")
        for value in (0, top // 2, top)
    ]
    steps = tag("path", d=_steps(axis, levels, top, now), class_="line")
    dots = [_dot(axis, one, top) for one in levels if one.needed is not None]
    return join([*rules, steps, *dots, *_changes(axis, changes)])


def _steps(axis: Axis, levels: Sequence[Level], top: int, now: int | None) -> str:
    """Return the line of steps, broken where a member was not in service."""
    first = levels[0]
    path = [f"M{axis.x(first.review - 1):.1f} {_y(first.rank, top):.1f}"]
    for before, after in pairwise(levels):
        path.append(f"H{axis.x(before.review):.1f}")
        if after.review != before.review + 1:
            path.append(f"M{axis.x(after.review - 1):.1f} {_y(after.rank, top):.1f}")
        elif after.rank != before.rank:
            path.append(f"V{_y(after.rank, top):.1f}")
    path.append(f"H{axis.x(levels[-1].review):.1f}")
    if now is not None:
        path.append(f"V{_y(now, top):.1f}H{axis.width:.1f}")
    return "".join(path)


def _dot(axis: Axis, level: Level, top: int) -> Markup:
    words = f"review {level.review}: rank {level.rank}, of which it needs {level.needed}"
    x, y = round(axis.centre(level.review), 1), round(_y(level.needed or 0, top), 1)
    return tag("circle", tag("title", words), cx=x, cy=y, r=3, class_="need")


def _changes(axis: Axis, changes: Sequence[Change]) -> list[Markup]:
    """Write each change's figures above the panel; where there is no room, only when touched."""
    found: list[Markup] = []
    end = -9.0
    for one in changes:
        x, words = axis.x(one.edge), one.words.replace(" to ", "\u2192")
        width = _WIDTH * len(words)
        is_left = x + width > axis.width
        start = x - width if is_left else x
        parts = [
            tag("title", f"rank {one.words} ({one.state.replace('_', ' ')}): {one.reason}"),
            tag("path", d=f"M{x:.1f} -4V{_PANEL}", class_="change"),
        ]
        if start > end:
            end = start + width + 6
            anchor = "end" if is_left else "start"
            parts.append(tag("text", words, x=round(x, 1), y=-8, text_anchor=anchor))
        found.append(tag("g", *parts, class_="changed" if one.is_made else "changed open"))
    return found
