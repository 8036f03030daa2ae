"""Drawing the family tree: a lane for each member, curves where one came from another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._report_axis import Axis, member_box
from ._report_colours import member_class
from ._report_labels import fit
from ._report_markup import Markup, join, tag
from ._report_tree import Knot, Lane

_LANE = 46


def draw_tree(
    axis: Axis, lanes: Sequence[Lane], knots: Sequence[Knot], users: Mapping[str, int]
) -> tuple[Markup, Markup, float]:
    """Return labels, plot and height; the lanes that are drawn are those given."""
    ys = {lane.place: at * _LANE + 26 for at, lane in enumerate(lanes)}
    labels = [_label(lane, ys[lane.place], users.get(lane.adapter, 0)) for lane in lanes]
    plots = [line for lane in lanes for line in _lane(axis, lane, ys[lane.place])]
    shown = [knot for knot in knots if knot.place in ys]
    plots += [_curve(axis, knot, ys) for knot in shown if knot.source in ys]
    taken: dict[tuple[int, bool], float] = {}
    plots += [_knot(axis, knot, ys[knot.place], taken) for knot in shown]
    return join(labels), join(plots), len(lanes) * _LANE + 6


def _label(lane: Lane, y: float, users: int) -> Markup:
    css = member_class(lane.place)
    is_active = lane.stretches[-1].is_active
    nodes = "1 node" if users == 1 else f"{users} nodes"
    return join(
        [
            member_box(lane.place, css, 0, y - 9, 10, 10),
            tag("text", fit(lane.adapter, 14), tag("title", lane.adapter), x=15, y=y,
                class_="name"),
            tag("text", nodes if is_active else "archived", x=15, y=y + 15, class_="mute"),
        ]
    )  # fmt: skip


def _lane(axis: Axis, lane: Lane, y: float) -> list[Markup]:
    found: list[Markup] = []
    for stretch in lane.stretches:
        x = (axis.x(stretch.start), axis.x(stretch.end))
        words = "active" if stretch.is_active else "stored"
        if x[1] > x[0]:
            path = tag("path", d=f"M{x[0]:.1f} {y}H{x[1]:.1f}", class_=f"lane {words}")
            found.append(tag("g", path, class_=member_class(lane.place)))
    return found


def _curve(axis: Axis, knot: Knot, ys: Mapping[int, float]) -> Markup:
    x, end = axis.x(knot.edge), ys[knot.place]
    assert knot.source is not None, "only knots that come from another lane have a curve"
    start, back = ys[knot.source], 16
    path = f"M{x - back:.1f} {start}C{x:.1f} {start} {x - back:.1f} {end} {x:.1f} {end}"
    css = member_class(knot.place if knot.kind == "expand" else knot.source)
    return tag("g", tag("path", d=path, class_="branch"), class_=css)


def _knot(axis: Axis, knot: Knot, y: float, taken: dict[tuple[int, bool], float]) -> Markup:
    """Draw a knot; its label goes above the lane, or below it where another is in the way."""
    x = axis.x(knot.edge)
    parts = [tag("title", knot.title), tag("path", d=_SHAPES.get(knot.kind, _VERSION),
             class_="knot", transform=f"translate({x:.1f} {y})")]  # fmt: skip
    word = f"pin {knot.label}" if knot.kind == "pin" else knot.label
    width = 7.0 * len(word) + 4
    for is_above in (True, False):
        if taken.get((knot.place, is_above), -9.0) <= x - 6:
            taken[knot.place, is_above] = x - 6 + width
            at = y - 9 if is_above else y + 19
            parts.append(tag("text", word, x=round(x - 6, 1), y=at))
            break
    return tag("g", *parts, class_=f"{member_class(knot.place)} version {knot.kind}")


_VERSION = "M-5 0A5 5 0 1 1 5 0 5 5 0 1 1-5 0Z"
_SHAPES = {
    "pin": "M0-6 6 0 0 6-6 0Z",
    "undo": "M-5-5H5V5H-5Z",
}
