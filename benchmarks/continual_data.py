"""The data streams of the continual benchmark: who sees which rows in which round, and the truth.

`stream(name, pool, seed)` is a pure function. Six nodes get a window of 80 new labelled rows in
each of 16 rounds, from four domains of sentiment; for the first six rounds all are alike. Then,
for two of them unless said otherwise:

- quiet               nothing changes;
- prior_shift         seven in eight of their rows are positive: same concept, other class counts;
- sudden              all of their rows come from another domain;
- gradual             the other domain's share rises by a sixth each round;
- recurring           the other domain for four rounds, back for three, the other one again;
- every_node_moves    all six nodes leave, two each to three other domains;
- conflict_full       their labels are turned round: the same texts, the opposite answers;
- conflict_moderate   all nodes have two domains, six rows in ten of one and four of the other, and
                      the labels of the other are turned round for the two: they agree with the
                      rest on most rows, and one adapter for all is neither right for them nor
                      always wrong. (Turning a part of one domain is no such thing: neither long
                      texts nor any leading direction of the features tells the parts apart well
                      enough for an adapter of their own to gain anything.);
- conflict_recurring  turned round for four rounds, right for three, turned round again.

A concept is a way to draw rows and label them: `movies`, `movies!` (labels turned round),
`movies+amazon!` (the two domains, amazon's labels turned round). Classes are drawn with even odds
(but for prior_shift), so a domain shift moves no class counts. A domain's rows are dealt like
cards, the two classes apart: none comes twice before all have come. From the default base, movies,
there are enough rows for every window (chance may ask for a few too many of one class), but for
conflict_moderate, where amazon's come twice. 200 rows of each class of each domain are kept for
tests and never dealt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polyrank.coordinator._assets import SENTIMENT
from polyrank.coordinator._assets_fetch import Report, ensure, silent
from polyrank.coordinator._assets_texts import DOMAINS, sentiment

NODES, ROUNDS, WINDOW, DRIFT = 6, 16, 80, 6
MOVERS = (4, 5)
TEST_ROWS_PER_CLASS = 200
FIRST_SHARE = 0.6
"""Share of the first domain in a concept of two."""

Shares = Mapping[str, float]
"""Concept -> share of a window's rows."""


@dataclass(frozen=True)
class Pool:
    """All rows of all domains; a row's id is its place in these tuples."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Window:
    """One node's rows in one round, with the labels that the node sees.

    `shares` are the concepts that they were drawn from: what an oracle knows.
    """

    rows: tuple[int, ...]
    labels: tuple[int, ...]
    shares: Shares

    @property
    def concept(self) -> str:
        """The concept with the largest share; of two alike, the one that it began with."""
        return max(self.shares, key=lambda name: self.shares[name])


@dataclass(frozen=True)
class Test:
    """Rows that were never in a window, under one concept's labels, as many of each class."""

    rows: tuple[int, ...]
    labels: tuple[int, ...]

    def halves(self) -> tuple[Test, Test]:
        """Return every other row, and the rest: of each class as many in both."""
        first, second = slice(0, None, 2), slice(1, None, 2)
        return (
            Test(self.rows[first], self.labels[first]),
            Test(self.rows[second], self.labels[second]),
        )


@dataclass(frozen=True)
class Stream:
    """All that happens: `windows[round][node]`, rounds counted from 0; tests by concept.

    There is one more round of windows than rounds, for the evaluation after the last training.
    `concerned` are the nodes whose rows drift.
    """

    name: str
    seed: int
    windows: tuple[tuple[Window, ...], ...]
    tests: Mapping[str, Test]
    concerned: tuple[int, ...]


def load_pool(report: Report = silent) -> Pool:
    """Read the four domains, fetching them when they are missing."""
    folder = ensure(SENTIMENT, report=report)
    rows = [(domain, row) for domain in DOMAINS for row in sentiment(folder, domain)]
    return Pool(
        texts=tuple(row.text for _, row in rows),
        labels=tuple(row.label or 0 for _, row in rows),
        domains=tuple(domain for domain, _ in rows),
    )


# --- timetables -----------------------------------------------------------------------------------
# Each says which concepts a concerned node's rows come from; `age` is 0 in the round of the drift.


def _always(base: str, other: str, age: int) -> Shares:
    return {base: 1.0}


def _sudden(base: str, other: str, age: int) -> Shares:
    return {other if age >= 0 else base: 1.0}


def _gradual(base: str, other: str, age: int) -> Shares:
    share = min(max((age + 1) / 6, 0.0), 1.0)
    return {name: part for name, part in ((base, 1 - share), (other, share)) if part}


def _recurring(base: str, other: str, age: int) -> Shares:
    return {other if 0 <= age < 4 or age >= 7 else base: 1.0}


@dataclass(frozen=True)
class _Plan:
    """A stream's timetable and its concepts, `others` by the order of the concerned nodes."""

    shares_of: Callable[[str, str, int], Shares]
    others: tuple[str, ...] = ("", "")
    concerned: tuple[int, ...] = MOVERS
    positive: float = 0.5
    base: str = "{base}"


_ELSEWHERE = tuple(place for place in ("{first}", "{second}", "{third}") for _ in range(2))
_PLANS = {
    "quiet": _Plan(_always, (), concerned=()),
    "prior_shift": _Plan(_always, positive=7 / 8),
    "sudden": _Plan(_sudden, ("{first}",) * 2),
    "gradual": _Plan(_gradual, ("{first}",) * 2),
    "recurring": _Plan(_recurring, ("{first}",) * 2),
    "every_node_moves": _Plan(_sudden, _ELSEWHERE, concerned=tuple(range(NODES))),
    "conflict_full": _Plan(_sudden, ("{base}!",) * 2),
    "conflict_moderate": _Plan(_sudden, ("{base}+amazon!",) * 2, base="{base}+amazon"),
    "conflict_recurring": _Plan(_recurring, ("{base}!",) * 2),
}
STREAMS = tuple(_PLANS)


# --- dealing --------------------------------------------------------------------------------------


class Deck:
    """Rows that are dealt in a random order, each once before any comes again."""

    def __init__(self, rows: Sequence[int], draw: random.Random) -> None:
        self._rows = list(rows)
        self._draw = draw
        self._left: list[int] = []

    def deal(self) -> int:
        if not self._left:
            self._left = self._rows.copy()
            self._draw.shuffle(self._left)
        return self._left.pop()


class _Dealer:
    """Keeps test rows apart and deals the others, by domain and class."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool = pool
        self._kept: dict[tuple[str, int], list[int]] = {}
        self._decks: dict[tuple[str, int], Deck] = {}
        self._draw = random.Random(f"{seed}/windows")
        places: dict[tuple[str, int], list[int]] = {}
        for row, key in enumerate(zip(pool.domains, pool.labels, strict=True)):
            places.setdefault(key, []).append(row)
        for key, rows in places.items():
            draw = random.Random(f"{seed}/{key}")
            draw.shuffle(rows)
            self._kept[key] = rows[:TEST_ROWS_PER_CLASS]
            self._decks[key] = Deck(rows[TEST_ROWS_PER_CLASS:], draw)

    def window(self, shares: Shares, positive: float) -> Window:
        """Deal one window; `positive` are the odds of a row that its own domain calls positive."""
        rows: list[int] = []
        labels: list[int] = []
        for concept in self._draw.choices(list(shares), list(shares.values()), k=WINDOW):
            parts = parts_of(concept)
            (part,) = self._draw.choices(parts, [part.share for part in parts])
            label = int(self._draw.random() < positive)
            rows.append(self._decks[part.domain, label].deal())
            labels.append(label ^ part.is_turned)
        return Window(tuple(rows), tuple(labels), dict(shares))

    def test(self, concept: str) -> Test:
        """Return the test rows of a concept, its domains in their shares."""
        rows: list[int] = []
        labels: list[int] = []
        for part in parts_of(concept):
            for label in (0, 1):
                kept = self._kept[part.domain, label][: round(part.share * TEST_ROWS_PER_CLASS)]
                rows.extend(kept)
                labels.extend([label ^ part.is_turned] * len(kept))
        return Test(tuple(rows), tuple(labels))


@dataclass(frozen=True)
class Part:
    """One domain of a concept, its share, and whether its labels are turned round."""

    domain: str
    share: float
    is_turned: bool


def parts_of(concept: str) -> list[Part]:
    """Take a concept's name apart: `movies+amazon!` has two parts, the second one turned."""
    names = concept.split("+")
    shares = [1.0] if len(names) == 1 else [FIRST_SHARE, 1 - FIRST_SHARE]
    return [
        Part(name.rstrip("!"), share, name.endswith("!"))
        for name, share in zip(names, shares, strict=True)
    ]


def stream(name: str, pool: Pool, seed: int, *, base: str = "movies") -> Stream:
    """Lay out one stream.

    Args:
        name: one of `STREAMS`.
        pool: all rows.
        seed: decides test rows, and which rows come in which window.
        base: the domain in which all nodes begin, any but amazon; the first of the others is where
            they go.
    """
    plan, dealer = _PLANS[name], _Dealer(pool, seed)
    first, second, third = (domain for domain in DOMAINS if domain != base)
    domains = {"base": base, "first": first, "second": second, "third": third}
    start = plan.base.format(**domains)
    others = dict(zip(plan.concerned, (o.format(**domains) for o in plan.others), strict=True))
    windows: list[tuple[Window, ...]] = []
    for age in range(-DRIFT, ROUNDS + 1 - DRIFT):
        row: list[Window] = []
        for node in range(NODES):
            drifts = node in plan.concerned
            shares = plan.shares_of(start, others[node], age) if drifts else {start: 1.0}
            row.append(dealer.window(shares, plan.positive if drifts and age >= 0 else 0.5))
        windows.append(tuple(row))
    concepts = sorted({concept for row in windows for each in row for concept in each.shares})
    tests = {concept: dealer.test(concept) for concept in concepts}
    return Stream(name, seed, tuple(windows), tests, plan.concerned)
