"""The report: one HTML page on families of adapters, complete in itself, from registry queries.

Nothing is loaded from anywhere and nothing runs: the page forbids it to itself, so that not even
a text that got through as markup could. Its pictures are SVG, its colours follow the reader's
theme, and each picture has its numbers as a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..store import Registry
from ._report_markup import EMPTY, Markup, join, raw_style, tag
from ._report_records import Recorded, read_family
from ._report_sections import (
    Scene,
    Section,
    bands_section,
    decisions_section,
    drift_section,
    losses_section,
    ranks_section,
    scene,
    tree_section,
    trials_section,
)
from ._report_style import style
from ._report_summary import summary

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SECTIONS = (
    losses_section,
    drift_section,
    tree_section,
    bands_section,
    ranks_section,
    trials_section,
    decisions_section,
)


@dataclass(frozen=True)
class FamilyOutline:
    """What a report says of one family, in numbers; `left_out` says what its charts do not show."""

    family: str
    reviews: int
    members: int
    nodes: int
    decisions: int
    state: str
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A page, and its outline."""

    html: str
    families: tuple[FamilyOutline, ...]


def report(registry: Registry, family: str | None = None, *, now: datetime | None = None) -> Report:
    """Write the report of one family, or of all.

    Raises NotFound for a family that is not there, and what else a registry raises.
    """
    roots = [family] if family is not None else [found.root for found in registry.families()]
    return written((read_family(registry, root) for root in roots), now or datetime.now(UTC))


def written(families: Iterable[Recorded], now: datetime) -> Report:
    """Write the report of what was read; of one family at a time, since its records are large."""
    pages = [_family(recorded, f"f{at}") for at, recorded in enumerate(families, start=1)]
    outlines = tuple(outline for _, outline in pages)
    roots = [outline.family for outline in outlines]
    content = [_nav(roots)] if len(roots) > 1 else []
    content += [page for page, _ in pages]
    if not pages:
        content.append(
            tag("p", "No family of adapters yet: a line gets one with [adapters.NAME.continual] "
                "mode in the daemon's configuration.", class_="lead")
        )  # fmt: skip
    return Report(_page(roots, content, now), outlines)


def _page(roots: Sequence[str], content: Sequence[Markup], now: datetime) -> str:
    title = f"polyrank: {roots[0]}" if len(roots) == 1 else "polyrank: families of adapters"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        raw_style(style()),
    )
    written = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    footer = tag("footer", f"Written by polyrank report on {written}.")
    heading = tag("h1", "Continual adaptation")
    body = tag("body", _stripes(), tag("main", heading, *content, footer))
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _stripes() -> Markup:
    """Return the pattern that tells the ninth member from the first."""
    line = tag("path", d="M-1 7 7-1M-1 13 13-1M5 13 13 5", stroke="var(--page)", stroke_width=1.6)
    pattern = tag("pattern", line, id="stripes", width=12, height=12, patternUnits="userSpaceOnUse")
    return tag("svg", tag("defs", pattern), class_="hidden", aria_hidden="true")


def _nav(roots: Sequence[str]) -> Markup:
    links = [tag("li", tag("a", root, href=f"#f{at}")) for at, root in enumerate(roots, start=1)]
    return tag("nav", tag("ul", *links), aria_label="families")


def _family(recorded: Recorded, ident: str) -> tuple[Markup, FamilyOutline]:
    shared: Scene = scene(recorded, ident)
    sections: list[Section] = [make(shared) for make in _SECTIONS] if recorded.reviews else []
    head = summary(recorded)
    left_out = (*head.left_out, *(s.left_out for s in sections if s.left_out))
    root = recorded.family.root
    outline = FamilyOutline(
        family=root,
        reviews=recorded.family.reviews,
        members=len(recorded.members),
        nodes=len(recorded.assignments),
        decisions=len(recorded.decisions),
        state=head.sentence,
        left_out=left_out,
    )
    facts = [tag("div", tag("dt", name), tag("dd", value)) for name, value in head.facts]
    notes = [tag("p", words, class_="left-out") for words in head.left_out]
    return (
        tag(
            "article",
            tag("h2", f"Family {root}"),
            tag("p", head.sentence, class_="lead"),
            tag("dl", *facts),
            join(notes) if notes else EMPTY,
            *(section.markup() for section in sections),
            class_="family",
            id=ident,
        ),
        outline,
    )
