"""Drawing the drift statistics: a grid of nodes by reviews. Pure.

Many cells are drawn as one path for each strength, which keeps the page small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from ._report_axis import Axis
from ._report_drift import Cell, Drift, Row
from ._report_labels import figure, fit, named
from ._report_markup import Markup, join, tag

MAX_TITLED: Final = 1200
_LETTERS: Final = {"harm": "H", "novelty": "N", "prior": "P", "none": ""}


def draw_drift(axis: Axis, drift: Drift, names: Mapping[str, str]) -> tuple[Markup, Markup, float]:
    """Return labels, plot and height."""
    rows = [*drift.rows, *([drift.others] if drift.others else [])]
    size = 18 if len(rows) <= 30 else 13
    labels: list[Markup] = []
    plots: list[Markup] = []
    is_titled = sum(len(row.cells) for row in rows) <= MAX_TITLED
    for at, row in enumerate(rows):
        name = _name(row, names)
        y = at * size
        labels.append(tag("text", fit(name, 16), tag("title", name), x=0, y=y + size - 4))
        plots.append(tag("path", d=f"M0 {y + size - 0.5}H{axis.width:.1f}", class_="grid"))
        if is_titled:
            plots += [_cell(axis, cell, name, y, size) for cell in row.cells]
    if not is_titled:
        plots += _paths(axis, rows, size)
    return join(labels), join(plots), len(rows) * size + 4


def words(cell: Cell, name: str) -> str:
    """Say what a cell is about."""
    node = cell.node
    tests = [("harm", node.harm_z), ("novelty", node.novelty_z), ("prior", node.prior_z)]
    values = ", ".join(f"{test} z {figure(z)}" for test, z in tests if z is not None)
    loss = f"loss {figure(node.loss)} nats over {node.rows} rows on {node.adapter}"
    more = ", above knowing nothing" if cell.is_uninformed else ""
    return f"{name}, review {cell.review}: {values or 'nothing tested yet'}; {loss}{more}"


def _name(row: Row, names: Mapping[str, str]) -> str:
    return f"{row.count} more nodes" if row.count > 1 else named(row.identity, names)


def _cell(axis: Axis, cell: Cell, name: str, y: float, size: float) -> Markup:
    x, width = axis.x(cell.review - 1), axis.step
    box = {"x": x + 0.5, "y": y + 0.5, "width": max(width - 1, 1), "height": size - 2}
    inside = [tag("title", words(cell, name)), tag("rect", class_="fill", **box)]
    letter = _LETTERS[cell.test] if cell.level else ""
    if cell.is_uninformed:
        letter += "!"
    if letter and width >= 7 * len(letter) + 4:
        middle = round(axis.centre(cell.review), 1)
        inside.append(
            tag("text", letter, x=middle, y=y + size - 4.5, text_anchor="middle", class_="on")
        )
    return tag("g", *inside, class_=f"cell l{cell.level}")


def _paths(axis: Axis, rows: list[Row], size: float) -> list[Markup]:
    """Draw all cells of one strength at once, without words."""
    found: dict[int, list[str]] = defaultdict(list)
    width = f"{max(axis.step - 0.6, 1):.1f}"
    for at, row in enumerate(rows):
        for cell in row.cells:
            x = axis.x(cell.review - 1) + 0.3
            found[cell.level].append(f"M{x:.1f} {at * size + 0.5:g}h{width}v{size - 2}h-{width}z")
    return [
        tag("path", d="".join(parts), class_=f"fill cell l{level}")
        for level, parts in sorted(found.items())
    ]
