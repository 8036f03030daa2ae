"""Drawing which member each node has: a band for each node, in the members' colours. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._report_assignment import Band
from ._report_axis import Axis, member_box
from ._report_colours import member_class
from ._report_labels import fit, named
from ._report_markup import Markup, join, tag


def draw_bands(
    axis: Axis,
    bands: Sequence[Band],
    reviews: Sequence[int],
    places: Mapping[str, int],
    names: Mapping[str, str],
) -> tuple[Markup, Markup, float]:
    """Return labels, plot and height; `reviews` are the numbers of the bands' places."""
    size = 20 if len(bands) <= 30 else 15
    edges = [axis.x(review - 1) for review in reviews] + [axis.now, axis.width]
    labels: list[Markup] = []
    plots: list[Markup] = []
    for at, band in enumerate(bands):
        name, y = band_name(band, names), at * size
        short = name.partition(":")[0] if len(band.identities) > 1 else fit(name, 16)
        labels.append(tag("text", short, tag("title", name), x=0, y=y + size - 5))
        for start, end, member in band.stretches():
            plots.append(_stretch(member, places, edges[start], edges[end], y, size))
    return join(labels), join(plots), len(bands) * size + 4


def band_name(band: Band, names: Mapping[str, str]) -> str:
    """Return the node's name, or how many nodes share the band."""
    found = [named(identity, names) for identity in band.identities]
    return found[0] if len(found) == 1 else f"{len(found)} nodes: " + ", ".join(found[:20])


def _stretch(
    member: str, places: Mapping[str, int], start: float, end: float, y: float, size: float
) -> Markup:
    css = member_class(places[member]) if member in places else "l0"
    box = member_box(places.get(member, 0), css, start, y + 1.5, end - start - 1, size - 3)
    inside = [tag("title", member), box]
    if end - start > 7.2 * len(member) + 8 and "again" not in css:
        inside.append(tag("text", member, x=round(start + 5, 1), y=y + size - 6, class_="on"))
    return tag("g", *inside, class_=css)
