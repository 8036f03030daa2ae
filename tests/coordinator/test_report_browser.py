"""The report in a real browser: light and dark, wide, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from polyrank.coordinator._report import written

from .browser import PROGRAM, Browser
from .report_world import NOW, crowd, gates_and_ranks
from .test_report_page import hostile

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no chromium on this machine: apt-get install chromium"
)
WIDTHS = (1280, 360)
THEMES = ("light", "dark")
CHARTS = 4
MARKS = [6] * CHARTS + [5] * 5
"""Decisions on each chart of the page: one family without a change of rank, and one with."""

# Smallest contrast of a text and what lies behind it (WCAG 2.2), with the text; large sizes are
# not let off. Behind SVG text is the nearest filled rectangle below its middle.
CONTRAST = """(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = parts(colour).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = colour => parts(colour)[3] === 0;
  const page = getComputedStyle(document.body).backgroundColor;
  const around = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!clear(colour)) return colour;
    }
    return page;
  };
  const below = element => {
    const box = element.getBoundingClientRect();
    const found = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)
      .find(one => one.tagName === 'rect' && getComputedStyle(one).fill.startsWith('rgb'));
    return found ? getComputedStyle(found).fill : page;
  };
  let worst = [99, ''], count = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.textContent.trim();
    const shown = element.checkVisibility() && !['title', 'desc'].includes(element.tagName);
    if (!words || !shown) continue;
    const drawn = element instanceof SVGElement;
    const style = getComputedStyle(element);
    const pair = [drawn ? style.fill : style.color, drawn ? below(element) : around(element)];
    const [dark, bright] = pair.map(light).sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dark + 0.05);
    count += 1;
    if (ratio < worst[0]) worst = [ratio, words + ' ' + pair.join(' on ')];
  }
  return [...worst, count];
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with everything in it, whose nodes have the worst names."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    families = [hostile().recorded(), gates_and_ranks().recorded()]
    path.write_text(written(families, NOW).html, encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_a_complaint_asks_for_nothing_and_fits(
    browser: Browser, page: str, width: int, theme: str
) -> None:
    browser.open(page, width=width, theme=theme)
    assert browser.requests == [page], "the page itself and nothing else"
    assert browser.complaints == []
    assert browser.ask("document.documentElement.scrollWidth") == width
    assert browser.ask("innerWidth") == width, "a phone did not zoom out"
    assert browser.ask("document.scripts.length") == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_shows_its_decisions(browser: Browser, page: str, width: int) -> None:
    browser.open(page, width=width)
    marks = browser.ask(
        "[...document.querySelectorAll('.chart')].map(c => c.querySelectorAll('.mark').length)"
    )
    assert marks == MARKS
    drawn = browser.ask(
        "[...document.querySelectorAll('.mark .glyph')].filter(g => {"
        "const b = g.getBoundingClientRect(); return b.width > 4 && b.height > 4}).length"
    )
    assert drawn == sum(MARKS)
    hairs = browser.ask("document.querySelectorAll('.hairs .hair').length")
    assert hairs == sum(MARKS)


def test_on_a_phone_a_chart_scrolls_in_its_box_and_begins_now(browser: Browser, page: str) -> None:
    browser.open(page, width=360)
    inside = browser.ask(
        "[...document.querySelectorAll('.chart')].map(c => [c.scrollWidth > c.clientWidth,"
        "c.getBoundingClientRect().right <= 360,"
        "[...c.querySelectorAll('text')].find(t => t.textContent == 'now')"
        ".getBoundingClientRect().right <= 360])"
    )
    assert inside == [[True, True, True]] * len(MARKS)
    labels = "document.querySelector('.gutter').getBoundingClientRect().left"
    before = browser.ask(labels)
    browser.ask("document.querySelector('.chart').scrollLeft = -200")
    assert browser.ask(labels) == before, "the labels stay in place"


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_can_be_read(browser: Browser, page: str, theme: str) -> None:
    browser.open(page, theme=theme)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.show_all(1280)
    ratio, words, count = browser.ask(CONTRAST)
    assert count > 300
    assert ratio >= 4.5, words


def test_light_dark_wide_and_narrow_look_different_and_are_not_empty(
    browser: Browser, page: str, tmp_path: Path
) -> None:
    seen: set[bytes] = set()
    grounds: set[str] = set()
    for width in WIDTHS:
        for theme in THEMES:
            browser.open(page, width=width, theme=theme)
            grounds.add(browser.ask("getComputedStyle(document.body).backgroundColor"))
            browser.show_all(width)
            picture = browser.screenshot()
            (tmp_path / f"report-{width}-{theme}.png").write_bytes(picture)
            assert len(picture) > 50_000
            seen.add(picture)
    assert len(seen) == 4
    assert grounds == {"rgb(255, 255, 255)", "rgb(21, 23, 27)"}


def test_on_paper_it_is_light_and_nothing_is_cut_off(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "wide.html"
    path.write_text(written([crowd(20, 60).recorded()], NOW).html, encoding="utf-8")
    browser.open(path.as_uri(), width=720, theme="dark")
    browser.call(
        "Emulation.setEmulatedMedia",
        media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )  # fmt: skip
    try:
        ground = browser.ask("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(255, 255, 255)"
        assert browser.ask(
            "[...document.querySelectorAll('.chart svg')].map(s => s.getBoundingClientRect())"
            ".every(box => box.left >= 0 && box.right <= 720)"
        )
        assert browser.printed().startswith(b"%PDF")
    finally:
        browser.call("Emulation.setEmulatedMedia", media="", features=[])


def test_300_nodes_and_200_reviews_open_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    path.write_text(written([crowd(300, 200).recorded()], NOW).html, encoding="utf-8")
    browser.open(path.as_uri(), width=360)
    assert browser.complaints == []
    assert browser.ask("document.documentElement.scrollWidth") == 360
    assert browser.ask("document.querySelectorAll('.plot').length") == CHARTS


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_change_of_rank_is_drawn_with_its_figures_where_the_line_steps(
    browser: Browser, page: str, width: int, theme: str
) -> None:
    browser.open(page, width=width, theme=theme)
    seen = browser.ask(
        "[...document.querySelectorAll('.changed')].map(g => {"
        "const box = g.querySelector('.change').getBoundingClientRect();"
        "const line = g.parentElement.querySelector('.line');"
        "const shift = g.parentElement.getScreenCTM();"
        "const bends = line.getAttribute('d').split('V').slice(0, -1)"
        ".map(part => Number(part.split('H').pop()) * shift.a + shift.e);"
        "return [g.querySelector('text').textContent, box.height > 40,"
        "bends.some(x => Math.abs(x - (box.left + box.right) / 2) < 1),"
        "getComputedStyle(g.querySelector('.change')).strokeDasharray != 'none']})"
    )
    assert seen == [["4\u21928", True, True, False], ["8\u21923", True, True, True]]


def test_links_lead_to_the_table(browser: Browser, page: str) -> None:
    browser.open(page)
    assert browser.ask(
        "[...document.querySelectorAll('a.mark')].every("
        "a => document.querySelector(a.getAttribute('href')).closest('table.decisions'))"
    )
