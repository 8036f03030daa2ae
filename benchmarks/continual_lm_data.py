"""The language-model streams of the continual benchmark: who sees which texts, and the truth.

As in `continual_data`, `stream(name, pool, seed)` is a pure function: six nodes, a window of 32 new
rows in each of 12 rounds, and for the first six rounds all are alike. A row is a text of which the
end is to be predicted: its last words, or what is said about it. Then:

- quiet           nothing changes: movie reviews, their last words;
- domain_shift    two nodes' rows are questions with answers, their last words;
- conflict        rows are movie reviews and the verdict on them, "negative" or "positive". Two
                  nodes come to say "bad" and "good": the same contexts, contradicting
                  continuations. (Turning the verdict round is too weak a conflict here: after 20
                  tokens of a review the last layer learns little of the verdict itself, .67 of .69
                  nats.);
- quiet_verdicts  nothing changes: movie reviews and their verdicts (for calibration alone).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from continual_data import DRIFT, MOVERS, NODES, Deck, Pool, Stream, Test, Window
from polyrank.coordinator._assets import DIALOGUE, SENTIMENT
from polyrank.coordinator._assets_fetch import Report, ensure, silent
from polyrank.coordinator._assets_texts import dialogue_texts, sentiment

ROUNDS, WINDOW = 12, 32
TEST_ROWS = 128
MOVIES = 2750
"""So many reviews: enough for each window of a stream to be new."""
LAST_WORDS = -1
"""In place of a label: the text itself goes on. 0 and 1: the verdict is "negative", "positive"; 2
and 3: it is "bad", "good"."""
STREAMS = ("quiet", "domain_shift", "conflict")


@dataclass(frozen=True)
class _Plan:
    base: str
    other: str
    concerned: tuple[int, ...] = MOVERS


_PLANS: Mapping[str, _Plan] = {
    "quiet": _Plan("movies", "movies", ()),
    "domain_shift": _Plan("movies", "dialogue"),
    "conflict": _Plan("verdicts", "verdicts!"),
    "quiet_verdicts": _Plan("verdicts", "verdicts", ()),
}


def load_pool(report: Report = silent) -> Pool:
    """Read reviews and dialogues, fetching them when they are missing."""
    reviews = sentiment(ensure(SENTIMENT, report=report), "movies")
    reviews = [row for row in reviews if len(row.text.split()) >= 14][:MOVIES]
    rows = [("movies", row.text, row.label or 0) for row in reviews]
    for row in dialogue_texts(ensure(DIALOGUE, report=report)):
        if len(row.text.split()) >= 10:
            rows.append(("dialogue", row.text, LAST_WORDS))
    domains, texts, labels = zip(*rows, strict=True)
    return Pool(texts, labels, domains)


class _Dealer:
    """Keeps test rows apart and deals the others, by domain and class."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._draw = random.Random(f"{seed}/windows")
        self._kept: dict[tuple[str, int], list[int]] = {}
        self._decks: dict[tuple[str, int], Deck] = {}
        places: dict[tuple[str, int], list[int]] = {}
        for row, key in enumerate(zip(pool.domains, pool.labels, strict=True)):
            places.setdefault(key, []).append(row)
        for key, rows in sorted(places.items()):
            draw = random.Random(f"{seed}/{key}")
            draw.shuffle(rows)
            kept = TEST_ROWS if key[1] == LAST_WORDS else TEST_ROWS // 2
            self._kept[key] = rows[:kept]
            self._decks[key] = Deck(rows[kept:], draw)

    def window(self, concept: str) -> Window:
        """Deal one window; both classes of reviews with even odds."""
        rows: list[int] = []
        labels: list[int] = []
        for _ in range(WINDOW):
            found = LAST_WORDS if concept == "dialogue" else int(self._draw.random() < 0.5)
            rows.append(self._decks[_domain(concept), found].deal())
            labels.append(_label(concept, found))
        return Window(tuple(rows), tuple(labels), {concept: 1.0})

    def test(self, concept: str) -> Test:
        """Return the test rows of a concept, as many of each class."""
        kept = [(row, label) for (domain, label), rows in self._kept.items()
                if domain == _domain(concept) for row in rows]  # fmt: skip
        return Test(tuple(r for r, _ in kept), tuple(_label(concept, each) for _, each in kept))


def _domain(concept: str) -> str:
    return "dialogue" if concept == "dialogue" else "movies"


def _label(concept: str, label: int) -> int:
    """Say what is to be predicted of a row with this label of its own."""
    if not concept.startswith("verdicts"):
        return LAST_WORDS
    return label + 2 if concept.endswith("!") else label


def stream(name: str, pool: Pool, seed: int) -> Stream:
    """Lay out one stream; `seed` decides test rows, and which rows come in which window."""
    plan, dealer = _PLANS[name], _Dealer(pool, seed)
    windows = tuple(
        tuple(
            dealer.window(plan.other if node in plan.concerned and age >= DRIFT else plan.base)
            for node in range(NODES)
        )
        for age in range(ROUNDS + 1)
    )
    concepts: Sequence[str] = sorted({plan.base, plan.other})
    tests = {concept: dealer.test(concept) for concept in concepts}
    return Stream(name, seed, windows, tests, plan.concerned)
