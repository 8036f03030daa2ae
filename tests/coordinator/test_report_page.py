"""The page: nothing in it comes from elsewhere, hostile names stay text, colours can be told."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from polyrank.coordinator._report import written
from polyrank.coordinator._report_colours import (
    INK,
    LEVELS,
    MEMBERS,
    MUTED,
    PAGE,
    contrast,
    luminance,
    member_class,
    on,
)
from polyrank.coordinator._report_markup import Markup, join, number, tag, text
from polyrank.coordinator._report_tables import MAX_DECISIONS

from .report_world import NOW, World, crowd, identity, story

HOSTILE = (
    "<script>alert(1)</script>",
    "\"' onload=alert(1) x='",
    "]]></text></svg><img src=http://evil.example/x.png onerror=alert(1)>",
    "\x1b[2J\u202eevil\x00\n&amp;",
    "<style>*{display:none}</style></title>",
    "a" * 300,
)


class Tags(HTMLParser):
    """Collects elements and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.words += data


def hostile() -> World:
    """Let nodes, operators and reasons say what a browser must not do."""
    world = story()
    world.names = {identity(n): HOSTILE[n] for n in range(6)}
    world.steps = [
        replace(step, reason=HOSTILE[0], actor=HOSTILE[2]) if step.actor else step
        for step in world.steps
    ]
    world.decisions = [replace(d, reason=HOSTILE[4] + d.reason) for d in world.decisions]
    return world


def page_of(world: World) -> str:
    return written([world.recorded()], NOW).html


def test_what_comes_from_outside_is_text_and_nothing_else() -> None:
    page, plain = page_of(hostile()), Tags(page_of(story()))
    found = Tags(page)
    assert found.names == plain.names
    assert found.attributes == plain.attributes
    assert not {name for name in found.attributes if name.startswith("on")}
    assert "script" not in found.names
    assert "alert(1)" in found.words, "it is there to be read"
    assert not {char for char in page if not char.isprintable()} - {"\n"}


def test_the_page_asks_for_nothing_and_its_links_lead_into_it() -> None:
    found = Tags(page_of(story()))
    assert all(link.startswith("#") for link in found.links)
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    page = page_of(story())
    assert not re.search(r"url\((?!#)|@import|https?://", page)
    assert "default-src &#x27;none&#x27;" in page


def test_every_chart_has_a_title_a_description_and_its_decisions() -> None:
    page = page_of(story())
    for name in ("loss", "drift", "tree", "nodes"):
        assert f'id="f1-{name}-title"' in page
        assert f'id="f1-{name}-desc"' in page
    assert page.count('class="mark merge"') == 4
    assert page.count('class="mark undo"') == 4


def test_several_families_have_a_list_of_them_and_no_id_twice() -> None:
    made = written([story().recorded(), story().recorded()], NOW)
    found = Tags(made.html)
    assert {"#f1", "#f2"} <= set(found.links)
    assert len(found.ids) == len(set(found.ids))
    assert len(made.families) == 2


def test_without_a_family_or_a_review_the_page_says_so() -> None:
    assert "No family of adapters yet" in written([], NOW).html
    assert "has not been reviewed yet" in page_of(World())


@pytest.mark.parametrize("listed", [0.1, 1.0])
def test_300_nodes_and_200_reviews_make_a_page_under_5_MB(listed: float) -> None:
    world = crowd(300, 200, listed=listed)
    recorded = world.recorded()
    began = time.perf_counter()
    made = written([recorded], NOW)
    assert time.perf_counter() - began < 20
    assert len(made.html.encode()) < 5_000_000
    (outline,) = made.families
    assert (outline.nodes, outline.reviews) == (300, 200)
    assert any("240 nodes with weaker windows" in words for words in outline.left_out)


def test_of_too_many_decisions_the_newest_are_listed_and_the_others_counted() -> None:
    world = World(2)
    for _ in range(MAX_DECISIONS + 7):
        world.review()
        world.decide(None, kind="keep", adapter="line")
    page = page_of(world)
    assert "7 older decisions are left out" in page
    assert f'id="f1-d{MAX_DECISIONS + 7}"' in page
    assert 'id="f1-d7"' not in page


def test_the_ninth_member_has_stripes() -> None:
    world = World(20)
    for node in list(world.names)[:9]:
        world.review()
        world.expand(node)
    world.review()
    assert member_class(8) == "m0 again"
    page = page_of(world)
    assert 'fill="url(#stripes)"' in page
    assert 'class="m1 again' in page


def test_only_markup_of_ours_is_not_escaped() -> None:
    assert tag("b", "<i>", title='"&') == '<b title="&quot;&amp;">&lt;i&gt;</b>'
    assert tag("p", tag("b", 1.5), class_="x") == '<p class="x"><b>1.5</b></p>'
    assert join([Markup("<br>"), text("<")], "&") == "<br>&amp;&lt;"
    assert [number(v) for v in (3, 2.0, 0.126, 0.0)] == ["3", "2", "0.13", "0"]


# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as the colour blind see it.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
               (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
               (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
               (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def oklab(colour: str, eye: str) -> tuple[float, ...]:
    """Return a colour as an eye sees it, in OKLab (Ottosson 2020)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    seen = [
        min(max(sum(a * b for a, b in zip(row, linear, strict=True)), 0), 1)
        for row in BLINDNESS[eye]
    ]
    to_cones = ((0.4122214708, 0.5363325363, 0.0514459929),
                (0.2119034982, 0.6806995451, 0.1073969566),
                (0.0883024619, 0.2817188376, 0.6299787005))  # fmt: skip
    cones = [sum(a * b for a, b in zip(row, seen, strict=True)) ** (1 / 3) for row in to_cones]
    to_lab = ((0.2104542553, 0.7936177850, -0.0040720468),
              (1.9779984951, -2.4285922050, 0.4505937099),
              (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip
    return tuple(sum(a * b for a, b in zip(row, cones, strict=True)) for row in to_lab)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eye", BLINDNESS)
def test_members_can_be_told_apart_by_any_eye(theme: str, eye: str) -> None:
    seen = [oklab(colour, eye) for colour in MEMBERS[theme]]
    distances = [
        sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
        for one, other in itertools.combinations(seen, 2)
    ]
    assert min(distances) > 0.09, "about four just noticeable differences"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_stand_out_from_the_page_and_words_from_colours(theme: str) -> None:
    assert min(contrast(colour, PAGE[theme]) for colour in MEMBERS[theme]) >= 3
    assert contrast(INK[theme], PAGE[theme]) >= 7
    assert contrast(MUTED[theme], PAGE[theme]) >= 4.5
    assert min(contrast(on(c), c) for c in (*MEMBERS[theme], *LEVELS[theme])) >= 4.5
    steps = [contrast(colour, PAGE[theme]) for colour in LEVELS[theme][1:]]
    assert steps == sorted(steps), "stronger is further from the page"


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert luminance("#ff0000") == pytest.approx(0.2126)
