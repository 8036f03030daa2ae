"""The parts of a family's report, each with its words, chart and table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ._report_assignment import bands
from ._report_axis import Axis, chart, glyph
from ._report_draw_bands import draw_bands
from ._report_draw_drift import MAX_TITLED, draw_drift
from ._report_draw_losses import MAX_NODE_LINES, MAX_PANELS, draw_losses, panels
from ._report_draw_ranks import draw_ranks
from ._report_draw_tree import draw_tree
from ._report_drift import Drift, drift
from ._report_labels import figure, node_names
from ._report_losses import losses
from ._report_markup import EMPTY, Markup, join, tag
from ._report_ranks import Ranks, ranks
from ._report_records import Recorded
from ._report_tables import (
    MAX_DECISIONS,
    MAX_TRIALS,
    bands_table,
    decisions_table,
    drift_table,
    losses_table,
    members_table,
    ranks_table,
    trials_table,
    unfolded,
)
from ._report_time import Mark, Timeline, marks
from ._report_tree import knots, lanes
from ._report_trials import tried

MAX_LANES = 24


@dataclass(frozen=True)
class Scene:
    """What all parts of one family's report share; `ident` begins the ids of its elements."""

    recorded: Recorded
    ident: str
    timeline: Timeline
    axis: Axis
    marks: Sequence[Mark]
    names: dict[str, str]
    users: Counter[str]


@dataclass(frozen=True)
class Section:
    """One part: heading, words on how to read it, content, and what it leaves out."""

    title: str
    how: str
    content: Markup
    left_out: str = ""

    def markup(self) -> Markup:
        """Return it as markup."""
        return tag(
            "section",
            tag("h3", self.title),
            tag("p", self.how, class_="how") if self.how else EMPTY,
            self.content,
            tag("p", self.left_out, class_="left-out") if self.left_out else EMPTY,
        )


def scene(recorded: Recorded, ident: str) -> Scene:
    """Return what the parts share."""
    timeline = Timeline.of(recorded.reviews)
    return Scene(
        recorded,
        ident,
        timeline,
        Axis(timeline),
        marks(recorded, timeline),
        node_names(recorded.nodes),
        Counter(record.adapter for record in recorded.assignments),
    )


def losses_section(at: Scene) -> Section:
    """Return the losses of the members over time."""
    found = losses(at.recorded)
    title = f"{found.name.capitalize()} of each member ({found.unit})"
    shown = panels(found, at.users)
    if not shown:
        return Section(title, "No node has evaluated a version yet.", EMPTY)
    gutter, plot, height = draw_losses(
        at.axis, found, shown, at.recorded.places, gap=at.recorded.sampled
    )
    nodes = {i for name in shown for point in found.points[name] for i in point.by_node}
    spread = (
        "thin lines: its nodes"
        if len(nodes) <= MAX_NODE_LINES
        else "shade: from its lowest to its highest node"
    )
    how = (
        f"Thick line: the mean over a member's nodes, weighted by rows; {spread}. Each version is "
        "scored on rows that it was not trained on. Marks above are decisions; they lead to the "
        "table at the end."
    )
    last = ", ".join(f"{name} {figure(found.points[name][-1].mean)}" for name in shown)
    drawing = chart(
        at.axis, at.marks, ident=f"{at.ident}-loss", title=title,
        description=f"Last values: {last}.", height=height, gutter=gutter, plot=plot,
        is_linked=True,
    )  # fmt: skip
    numbers = unfolded("These numbers as a table", losses_table(found, shown))
    is_held = any(point.is_held for name in shown for point in found.points[name])
    content = join([drawing, _key(at, is_held=is_held), numbers])
    return Section(title, how, content, _losses_left_out(at, len(found.points) - len(shown)))


def _losses_left_out(at: Scene, members: int) -> str:
    parts: list[str] = []
    if members:
        parts.append(f"{members} members without a panel: those with the fewest nodes now.")
    if at.recorded.sampled > 1:
        parts.append(f"Measurements were read for one review in {at.recorded.sampled}.")
    return " ".join(parts)


def _key(at: Scene, *, is_held: bool) -> Markup:
    """Return the shapes of the marks that are there."""
    kinds = {mark.kind: mark for mark in at.marks}
    items = [
        tag("li", tag("svg", glyph(mark, 7, 7), width=14, height=14, aria_hidden="true",
            style="display:inline-block"), mark.word)
        for mark in kinds.values()
    ]  # fmt: skip
    if any(mark.state == "undone" and mark.kind != "undo" for mark in at.marks):
        items.append(tag("li", "hollow: undone, or not carried out"))
    if is_held:
        items.append(tag("li", "hollow point: a version that its gate held, which is not served"))
    return tag("ul", *items, class_="key") if items else EMPTY


def drift_section(at: Scene) -> Section:
    """Return the drift statistics against their thresholds."""
    found = drift(at.recorded)
    title = "Drift of each node, against its thresholds"
    if not found.rows:
        return Section(title, "No review listed a node: every window was quiet.", EMPTY)
    policy = at.recorded.reviews[-1].policy
    how = (
        "A cell is one window that a review listed; its colour is the largest z over its "
        f"threshold (now harm {policy.z_loss:g}, novelty {policy.z_novelty:g}, prior shift "
        f"{policy.z_prior:g}), its letter the test: H harm, N novelty, P prior shift; ! means a "
        "loss above that of knowing nothing. Reviews keep no numbers of quiet windows: an empty "
        "cell is a quiet window, or none."
    )
    gutter, plot, height = draw_drift(at.axis, found, at.names)
    loud = sum(cell.level > 0 for row in found.rows for cell in row.cells)
    drawing = chart(
        at.axis, at.marks, ident=f"{at.ident}-drift", title=title, height=height, gutter=gutter,
        description=f"{loud} windows of {len(found.rows)} nodes passed a threshold.", plot=plot,
    )  # fmt: skip
    numbers = unfolded("The strongest windows as a table", drift_table(found, at.names))
    return Section(title, how, join([drawing, _levels(), numbers]), _drift_left_out(found))


def _levels() -> Markup:
    words = ("below every threshold", "up to 2 times", "2 to 4 times", "above 4 times")
    items = [
        tag("li", tag("svg", tag("rect", width=14, height=14, class_="fill"), width=14, height=14,
            class_=f"l{level}", style="display:inline-block", aria_hidden="true"), word)
        for level, word in enumerate(words)
    ]  # fmt: skip
    return tag("ul", *items, class_="key")


def _drift_left_out(found: Drift) -> str:
    parts: list[str] = []
    if found.silent:
        word = "node without a row was" if found.silent == 1 else "nodes without a row were"
        parts.append(f"{found.silent} {word} never listed.")
    if found.others:
        parts.append(
            f"The last row sums up {found.others.count} nodes with weaker windows: the strongest "
            "of them in each review."
        )
    if sum(len(row.cells) for row in found.rows) > MAX_TITLED:
        parts.append("Cells have no words when touched: there are too many.")
    return " ".join(parts)


def tree_section(at: Scene) -> Section:
    """Return the members, where they came from, and the versions that matter."""
    title = "The family: where members came from and went"
    how = (
        "A thick line is a member in service, a dashed one is stored. Versions shown are those "
        "that no ordinary round made: first ones, expansions, changes of rank, merges (a curve "
        "from the member that ended), what was undone (square) and pins (diamond)."
    )
    found = lanes(at.recorded, at.timeline)
    shown = found
    if len(found) > MAX_LANES:
        by_age = sorted(found, key=lambda lane: (-at.users[lane.adapter], -lane.place))
        kept = {lane.place for lane in by_age[:MAX_LANES]} | {0}
        shown = [lane for lane in found if lane.place in kept]
    events = knots(at.recorded, at.timeline)
    gutter, plot, height = draw_tree(at.axis, shown, events, at.users)
    drawing = chart(
        at.axis, at.marks, ident=f"{at.ident}-tree", title=title, height=height, gutter=gutter,
        description="; ".join(knot.title for knot in events[-20:]), plot=plot,
    )  # fmt: skip
    left = len(found) - len(shown)
    words = f"{left} members without nodes have no lane; the table has them all." if left else ""
    return Section(title, how, join([drawing, members_table(at.recorded)]), words)


def bands_section(at: Scene) -> Section:
    """Return which member each node has, over time."""
    title = "Which member each node trains and serves"
    found, left_out = bands(at.recorded)
    if not found:
        return Section(title, "No node is assigned yet.", EMPTY)
    how = (
        "A band is a node (or several with the same history), coloured by its member in each "
        "review. It is told from the decisions that were carried out and undone."
    )
    numbers = at.timeline.numbers
    gutter, plot, height = draw_bands(at.axis, found, numbers, at.recorded.places, at.names)
    moved = sum(len(band.identities) for band in found if len(band.stretches()) > 1)
    drawing = chart(
        at.axis, at.marks, ident=f"{at.ident}-nodes", title=title, height=height, gutter=gutter,
        description=f"{moved} nodes have had more than one member.", plot=plot,
    )  # fmt: skip
    told = unfolded("This as a table", bands_table(found, numbers, at.names))
    words = f"{left_out} nodes with rarer histories have no band." if left_out else ""
    return Section(title, how, join([drawing, told]), words)


def ranks_section(at: Scene) -> Section:
    """Return the rank of each member over time, and what changed it."""
    title = "Rank of each member, and what changed it"
    found = ranks(at.recorded, at.timeline)
    by_use = sorted(found.levels, key=lambda name: -at.users[name])[:MAX_PANELS]
    shown = [name for name in found.levels if name in by_use]
    if found.is_still or not shown:
        return Section(title, "No rank was tried, changed, or near its limit.", EMPTY)
    how = (
        "Line: the rank of the version that each review saw. Circle: what its spectrum needed "
        "where that was measured, since its loss was flat. A rule with figures is a change, dashed "
        "if it was undone or not carried out. A rank grows if it is full, the loss is flat and a "
        "trial at twice the rank is surely better; it is cut if little of it is used."
    )
    gutter, plot, height = draw_ranks(at.axis, found, shown, at.recorded.places)
    now = ", ".join(f"{name} {rank}" for name, rank in found.now.items() if name in shown)
    drawing = chart(
        at.axis, at.marks, ident=f"{at.ident}-rank", title=title, height=height, gutter=gutter,
        description=f"{len(found.changes)} changes and trials; ranks now: {now}.", plot=plot,
        is_linked=True,
    )  # fmt: skip
    parts = [drawing]
    if found.changes:
        parts.append(ranks_table(found.changes, at.recorded.places, at.names))
    return Section(title, how, join(parts), _ranks_left_out(found, len(shown)))


def _ranks_left_out(found: Ranks, shown: int) -> str:
    parts: list[str] = []
    if len(found.levels) > shown:
        more = len(found.levels) - shown
        parts.append(f"{more} members without a panel: those with the fewest nodes now.")
    if len(found.changes) > MAX_TRIALS:
        parts.append(f"{len(found.changes) - MAX_TRIALS} older changes and trials are left out.")
    return " ".join(parts)


def trials_section(at: Scene) -> Section:
    """Return the trial merges."""
    found = tried(at.recorded)
    if not found:
        return Section("Trial merges", "No merge has been tried.", EMPTY)
    how = (
        "Both sides' nodes score a trial merge on fresh rows; a positive change is a loss. A "
        "merge is made if neither side loses more than the tolerance."
    )
    left = len(found) - MAX_TRIALS
    words = f"{left} older trials are left out." if left > 0 else ""
    return Section("Trial merges", how, trials_table(found, at.recorded.places), words)


def decisions_section(at: Scene) -> Section:
    """Return the decisions."""
    if not at.recorded.decisions:
        return Section("Decisions", "None yet.", EMPTY)
    left = len(at.recorded.decisions) - MAX_DECISIONS
    words = (
        f"{left} older decisions are left out: polyrank registry decisions has them."
        if left > 0
        else ""
    )
    return Section("Decisions", "", decisions_table(at.recorded, at.names, at.ident), words)
