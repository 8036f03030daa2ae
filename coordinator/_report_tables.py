"""The tables of a report; on a narrow screen each row becomes a card. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ..store import Decision, DecisionStep
from ._cli_output import size
from ._report_assignment import Band
from ._report_axis import member_box
from ._report_colours import member_class
from ._report_draw_bands import band_name
from ._report_drift import Drift
from ._report_labels import figure, named, signed, spoken
from ._report_losses import Losses
from ._report_markup import EMPTY, Markup, Value, join, tag
from ._report_ranks import Change
from ._report_records import Recorded
from ._report_time import MARKED
from ._report_trials import Tried

MAX_DECISIONS: Final = 250
MAX_TRIALS: Final = 60


def table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[Value]],
    *,
    idents: Sequence[str] = (),
    css: str = "",
) -> Markup:
    """Return a table; `idents` are the rows' ids, which links lead to."""
    head = tag("tr", *(tag("th", name, scope="col", role="columnheader") for name in headings))
    body: list[Markup] = []
    for at, row in enumerate(rows):
        cells = [
            tag("td", tag("span", value), data_label=name, role="cell")
            for name, value in zip(headings, row, strict=True)
        ]
        body.append(tag("tr", *cells, id=idents[at] if idents else None, role="row"))
    return tag(
        "table", tag("caption", caption), tag("thead", head), tag("tbody", *body),
        role="table", class_=css or None,
    )  # fmt: skip


def unfolded(words: str, content: Markup) -> Markup:
    """Return something that is shown when a reader asks for it."""
    return tag("details", tag("summary", words), content)


def swatch(member: str, places: Mapping[str, int]) -> Markup:
    """Return a member's name with its colour before it."""
    if member not in places:
        return tag("span", member)
    css = member_class(places[member])
    box = member_box(places[member], css, 0, 0, 10, 10)
    drawing = tag("svg", box, width=10, height=10, class_="swatch", aria_hidden="true")
    return join([drawing, tag("span", member)])


def decisions_table(recorded: Recorded, names: Mapping[str, str], ident: str) -> Markup:
    """Return the decisions, newest first."""
    reviews = {look.evidence: look.review.number for look in recorded.reviews}
    log: dict[int, list[DecisionStep]] = defaultdict(list)
    for step in recorded.steps:
        log[step.decision].append(step)
    shown = list(reversed(recorded.decisions))[:MAX_DECISIONS]
    rows = [_decision(d, log[d.number], reviews, recorded.places, names) for d in shown]
    headings = ("no.", "review", "kind", "adapter", "state", "why")
    idents = [f"{ident}-d{d.number}" for d in shown]
    return table("Decisions, newest first", headings, rows, idents=idents, css="decisions")


def _decision(
    decision: Decision,
    steps: Sequence[DecisionStep],
    reviews: Mapping[int, int],
    places: Mapping[str, int],
    names: Mapping[str, str],
) -> list[Value]:
    review = next((str(reviews[n]) for n in decision.evidence if n in reviews), "")
    nodes = [named(str(i), names) for i in decision.payload.get("nodes", ())]
    who = tag("span", _some(nodes), class_="note") if nodes else EMPTY
    kind = MARKED.get(decision.kind, decision.kind.replace("_", " "))
    state = "held" if decision.kind == "hold" else decision.state.replace("_", " ")
    return [
        decision.number,
        review,
        kind,
        swatch(decision.adapter or "", places),
        tag("span", tag("b", state), _words_of(steps)),
        join([tag("span", spoken(decision.reason, names)), who], " "),
    ]


def _words_of(steps: Sequence[DecisionStep]) -> Markup:
    """Return what operators said, and why something failed."""
    said = [
        f"{step.state.replace('_', ' ')}"
        + (f" by {step.actor}" if step.actor else "")
        + (f": {step.reason}" if step.reason else "")
        for step in steps
        if step.actor or step.reason
    ]
    return tag("span", "; ".join(said), class_="note") if said else EMPTY


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    word = "Node" if len(names) == 1 else "Nodes"
    return f"{word}: " + ", ".join(names[:most]) + more + "."


def trials_table(trials: Sequence[Tried], places: Mapping[str, int]) -> Markup:
    """Return the trial merges with what each would have cost each side."""
    rows: list[list[Value]] = []
    for one in trials[:MAX_TRIALS]:
        sides = [
            tag("li", swatch(side.adapter, places), f" {signed(side.loss_change)} \u00b1 "
                f"{side.standard_error:.2f} nats per row, {side.identities} nodes, "
                f"{side.rows} rows")
            for side in one.sides
        ]  # fmt: skip
        cost = tag("ul", *sides) if sides else tag("span", "not judged")
        tolerance = f"{figure(one.tolerance)} nats"
        rows.append([one.review, one.trial.trial, cost, tolerance, one.outcome])
    headings = ("review", "trial", "loss change of each side", "tolerance", "outcome")
    return table("Trial merges, newest first", headings, rows)


def ranks_table(
    changes: Sequence[Change], places: Mapping[str, int], names: Mapping[str, str]
) -> Markup:
    """Return the changes of rank and the trials that changed nothing, newest first."""
    rows: list[list[Value]] = []
    for one in list(reversed(changes))[:MAX_TRIALS]:
        nodes = "1 node" if one.nodes == 1 else f"{one.nodes} nodes"
        error = "" if one.error is None else f" \u00b1 {one.error:.3f}"
        gain = "\u2013" if one.gain is None else f"{signed(one.gain, 3)}{error} nats, {nodes}"
        rows.append([one.edge, swatch(one.adapter, places), one.words, gain, _outcome(one, names)])
    headings = ("review", "member", "rank", "gain of a trial", "what came of it, and why")
    return table("Changes of rank, and trials, newest first", headings, rows, css="ranks")


def _outcome(change: Change, names: Mapping[str, str]) -> Markup:
    if change.decision is None:
        word = "nobody judged it" if change.gain is None else "not surely better: it stays"
        return tag("span", f"a trial; {word}")
    state = f"{change.state.replace('_', ' ')} (decision {change.decision}): "
    return join([tag("b", state), tag("span", spoken(change.reason, names))])


def members_table(recorded: Recorded) -> Markup:
    """Return the members as they are now."""
    users = Counter(record.adapter for record in recorded.assignments)
    newest = {m.adapter: m for look in recorded.reviews for m in look.review.members}
    rows: list[list[Value]] = []
    for member in recorded.members:
        seen = newest.get(member.adapter)
        state = member.state + (", provisional" if member.payload.get("provisional") else "")
        rows.append(
            [
                swatch(member.adapter, recorded.places),
                state,
                users[member.adapter],
                str(member.payload.get("parent") or "\u2013"),
                str(member.payload.get("merged_into") or "\u2013"),
                f"{seen.version}, rank {seen.rank}, {size(seen.size_bytes)}" if seen else "\u2013",
            ]
        )
    headings = ("member", "state", "nodes", "made from", "merged into", "reviewed version")
    return table("Members now", headings, rows)


def losses_table(losses: Losses, shown: Sequence[str]) -> Markup:
    """Return the same numbers as the chart of losses."""
    rows = [
        [p.review, name, p.version, figure(p.mean), figure(p.low), figure(p.high), len(p.by_node)]
        for name in shown
        for p in losses.points[name]
    ]
    headings = ("review", "member", "version", "mean", "lowest node", "highest node", "nodes")
    return table(f"{losses.name}, {losses.unit}", headings, rows)


def drift_table(drift: Drift, names: Mapping[str, str]) -> Markup:
    """Return each listed node's strongest window."""
    rows: list[list[Value]] = []
    for row in drift.rows:
        worst = max(row.cells, key=lambda cell: cell.ratio)
        loud = sum(cell.level > 0 for cell in row.cells)
        times = f"{worst.test}, {figure(worst.ratio)} times its threshold"
        rows.append([named(row.identity, names), len(row.cells), loud, worst.review, times])
    headings = ("node", "times listed", "over a threshold", "strongest in review", "test")
    return table("The strongest window of each listed node", headings, rows)


def bands_table(bands: Sequence[Band], reviews: Sequence[int], names: Mapping[str, str]) -> Markup:
    """Return each band's history in words."""
    rows: list[list[Value]] = []
    for band in bands:
        parts: list[str] = []
        for start, end, member in band.stretches():
            last = "now" if end > len(reviews) else str(reviews[end - 1])
            first = str(reviews[start]) if start < len(reviews) else "now"
            parts.append(f"{member} ({first} to {last})" if first != last else f"{member} ({last})")
        rows.append([band_name(band, names), ", then ".join(parts)])
    return table("Members by review", ("nodes", "member (from review to review)"), rows)
