"""The frame of every chart: one time axis for all of them, labels beside it, decisions on it. Pure.

A chart is two drawings side by side: the labels, which stay in place, and the plot, which scrolls
in its own box when the screen is narrower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ._report_markup import EMPTY, Markup, join, tag
from ._report_time import Mark, Timeline

GUTTER: Final = 124
_PLOT: Final = 854
_PAD: Final = 8  # so that what is drawn at the ends is whole
_WIDEST, _NARROWEST, _NOW = 44, 3.2, 34
_MANY: Final = 24  # marks, from which their lines are fainter
_LANES, _LANE_HEIGHT, _FOOT = 5, 15, 34
_LETTER: Final = 6.9  # width of a letter of 11 px in a wide font
_SHAPES: Final = {
    "expand_adapter": "M0-5 5 4H-5Z",
    "merge": "M0 5-5-4H5Z",
    "reroute": "M0-5.5 5.5 0 0 5.5-5.5 0Z",
    "archive": "M-4-4H4V4H-4Z",
    "undo": "M-4-4 4 4M4-4-4 4",
    "expand_rank": "M-2-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z",
    "shrink_rank": "M-5.5-2.5H5.5V2.5H-5.5Z",
    "rollback": "M4-5-5 0 4 5Z",
    "hold": "M-4.5-5H-1V5H-4.5ZM1-5H4.5V5H1Z",
}
_ROUND: Final = "M-4.5 0A4.5 4.5 0 1 1 4.5 0 4.5 4.5 0 1 1-4.5 0Z"


class Axis:
    """Where reviews are on a chart, in pixels from its left edge; after them comes "now"."""

    def __init__(self, timeline: Timeline) -> None:
        self.first, self.last = timeline.first, timeline.last
        count = max(self.last - self.first, 1)
        self.step = max(_NARROWEST, min(_WIDEST, (_PLOT - _NOW) / count))
        self.now = count * self.step
        self.width = self.now + _NOW

    def x(self, edge: float) -> float:
        """Return where an edge is: review k lies between the edges k - 1 and k."""
        if edge > self.last:
            return self.width
        return max(edge - self.first, 0) * self.step

    def centre(self, review: int) -> float:
        """Return the middle of a review."""
        return self.x(review) - self.step / 2

    def ticks(self) -> list[int]:
        """Return the reviews that get a number."""
        every = next((n for n in (1, 2, 5, 10, 20, 50) if n * self.step >= 30), 100)
        found = [n for n in range(self.first + 1, self.last + 1) if n % every == 0]
        return [n for n in found if self.centre(n) < self.now - 12]  # room for "now"


def chart(
    axis: Axis,
    marks: Sequence[Mark],
    *,
    ident: str,
    title: str,
    description: str,
    height: float,
    gutter: Markup,
    plot: Markup,
    is_linked: bool = False,
) -> Markup:
    """Return one chart; with `is_linked` its marks lead to the table of decisions.

    `gutter` and `plot` are drawn from (0, 0) down to `height`.
    """
    strip, lines, top = _strip(axis, marks, top_to_bottom=height, ident=ident if is_linked else "")
    whole = top + height + _FOOT
    shift = f"translate(0 {round(top)})"
    labels = tag(
        "svg",
        tag("g", gutter, transform=shift),
        tag("text", "review", x=0, y=top + height + 18, class_="mute"),
        class_="gutter", width=GUTTER, height=round(whole), aria_hidden="true",
    )  # fmt: skip
    drawing = tag(
        "svg",
        tag("title", title, id=f"{ident}-title"),
        tag("desc", description, id=f"{ident}-desc"),
        tag("g", plot, transform=shift),
        tag("g", lines, transform=shift, class_="hairs many" if len(marks) > _MANY else "hairs"),
        strip,
        tag("g", _foot(axis), transform=f"translate(0 {round(top + height)})"),
        class_="plot", width=round(axis.width) + 2 * _PAD, height=round(whole),
        viewBox=f"{-_PAD} 0 {round(axis.width) + 2 * _PAD} {round(whole)}",
        role="group" if is_linked else "img", aria_labelledby=f"{ident}-title",
        aria_describedby=f"{ident}-desc",
    )  # fmt: skip
    # the outer box reads from right to left: where it has to scroll it begins at its end, now
    inside = tag("div", labels, drawing)
    return tag("div", inside, class_="chart", tabindex=0, role="region", aria_label=title)


def glyph(mark: Mark, x: float, y: float) -> Markup:
    """Return a mark's shape: filled if it was carried out and holds."""
    is_held = mark.is_done and (mark.state != "undone" or mark.kind == "undo")
    path = _SHAPES.get(mark.kind, _ROUND)
    words = "glyph" if is_held else "glyph open"
    return tag("path", d=path, class_=words, transform=f"translate({x:.1f} {y:.1f})")


def member_box(place: int, css: str, x: float, y: float, width: float, height: float) -> Markup:
    """Return a rectangle in a member's colour; striped if the colour is there already."""
    box = {"x": x, "y": y, "width": max(width, 0.5), "height": height}
    plain = tag("rect", class_=f"fill {css}", **box)
    return join([plain, tag("rect", fill="url(#stripes)", **box)]) if "again" in css else plain


def _strip(
    axis: Axis, marks: Sequence[Mark], *, top_to_bottom: float, ident: str
) -> tuple[Markup, Markup, float]:
    """Return the marks with their words, the lines below them, and how high the strip is."""
    ends = [-1.0] * _LANES
    placed: list[tuple[Mark, float, int, bool]] = []
    for mark in marks:
        x = min(axis.x(mark.edge), axis.width)
        width = _LETTER * len(_words(mark)) + 14
        is_left = x + width > axis.width
        start = x - width if is_left else x - 6
        lane = next((at for at, end in enumerate(ends) if end <= start), -1)
        if lane >= 0:
            ends[lane] = x + 8 if is_left else x + width
        placed.append((mark, x, lane, is_left))
    used = max((lane for _, _, lane, _ in placed), default=-1) + 1
    extra = any(lane < 0 for _, _, lane, _ in placed)
    top = (used + extra) * _LANE_HEIGHT + 8
    drawn: list[Markup] = []
    lines: list[Markup] = []
    for mark, x, lane, is_left in placed:
        y = 9 + (lane if lane >= 0 else used) * _LANE_HEIGHT
        drawn.append(_labelled(mark, x, y, is_left=is_left, is_bare=lane < 0, ident=ident))
        words = "hair" if mark.is_done else "hair open"
        lines.append(tag("path", d=f"M{x:.1f} {y + 6 - top:.0f}V{top_to_bottom:.0f}", class_=words))
    return join(drawn), join(lines), top


def _labelled(
    mark: Mark, x: float, y: float, *, is_left: bool, is_bare: bool, ident: str
) -> Markup:
    inside = [tag("title", f"{_words(mark)} ({mark.state}): {mark.title}"), glyph(mark, x, y)]
    if not is_bare:
        at = x - 9 if is_left else x + 9
        anchor = "end" if is_left else None
        inside.append(tag("text", _words(mark), x=round(at, 1), y=y + 4, text_anchor=anchor))
    words = f"mark {mark.kind.replace('_', '-')}"
    if ident:
        family = ident.partition("-")[0]
        return tag("a", *inside, href=f"#{family}-d{mark.decision}", class_=words)
    return tag("g", *inside, class_=words)


def _words(mark: Mark) -> str:
    return f"{mark.word} {mark.decision}"


def _foot(axis: Axis) -> Markup:
    parts = [tag("path", d=f"M0 .5H{axis.width:.1f}", class_="rule")]
    for review in axis.ticks():
        x = axis.centre(review)
        parts.append(tag("path", d=f"M{x:.1f} 0V5", class_="rule"))
        anchor = "start" if x < 8 else "middle"
        parts.append(tag("text", review, x=round(x, 1), y=18, text_anchor=anchor, class_="mute"))
    middle = round(axis.now + _NOW / 2, 1)
    parts.append(tag("text", "now", x=middle, y=18, text_anchor="middle", class_="mute"))
    return join(parts) if parts else EMPTY
