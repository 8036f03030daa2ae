"""Turn the demo's raw texts into rows: four domains of sentiment, two domains of plain text.

Everything is deterministic: the same archive gives the same rows in the same order. Texts that
occur twice are kept once, so that no held-out text has been trained on.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from ._assets import DIALOGUE, DIALOGUE_TOPICS, SENTIMENT, AssetError

DOMAINS = ("tweets", "movies", "nyt", "amazon")
NEUTRAL_BELOW = 0.5
"""Texts with an absolute mean score below this (of a scale from -4 to 4) have no clear label."""

_SHUFFLE_SEED = 20140601
_MIN_CLASS_SHARE = 0.25


@dataclass(frozen=True)
class Row:
    """One text; `label` is 1 (positive), 0 (negative), or None for plain text."""

    text: str
    label: int | None = None


@dataclass(frozen=True)
class Split:
    """The rows of one node: those it trains on, and those it is only ever measured on."""

    train: tuple[Row, ...]
    held_out: tuple[Row, ...]


def sentiment(folder: Path, domain: str) -> list[Row]:
    """Read one domain of the sentiment data; label = sign of the mean score of 20 people.

    Raises:
        AssetError: a line is not `id, score, text`, or one class has under a quarter of the rows.
    """
    rows: dict[str, Row] = {}
    path = folder / f"{domain}.tsv"
    for number, line in enumerate(path.read_text("latin-1").split("\n"), start=1):
        fields = line.rstrip("\r").split("\t")
        if fields == [""]:
            continue
        if len(fields) != 3:
            raise _broken(path, number, f"{len(fields)} columns instead of 3")
        text, score = " ".join(fields[2].split()), _score(path, number, fields[1])
        if text and abs(score) >= NEUTRAL_BELOW:
            rows.setdefault(text, Row(text=text, label=int(score > 0)))
    positive = sum(row.label or 0 for row in rows.values()) / max(1, len(rows))
    if not _MIN_CLASS_SHARE <= positive <= 1 - _MIN_CLASS_SHARE:
        raise _broken(path, 0, f"{positive:.0%} of the rows are positive")
    return _shuffled(list(rows.values()))


def movie_texts(folder: Path) -> list[Row]:
    """Return the movie reviews as plain text, neutral ones included."""
    lines = (folder / "movies.tsv").read_text("latin-1").split("\n")
    texts = [" ".join(line.split("\t")[2].split()) for line in lines if line.count("\t") == 2]
    return _shuffled([Row(text=text) for text in dict.fromkeys(texts) if text])


def dialogue_texts(folder: Path) -> list[Row]:
    """Return the questions with their answers, one pair a row, from all topics.

    A pair is dropped when its question or its first answer was seen before: the corpus repeats
    both, and a repeated answer in the held-out rows would be a leak.
    """
    seen: set[str] = set()
    rows: list[Row] = []
    for topic in DIALOGUE_TOPICS:
        for turns in _conversations(folder / f"{topic}.yml"):
            if len(turns) < 2 or turns[0] in seen or turns[1] in seen:
                continue
            seen.update(turns)
            rows.append(Row(text=f"Question: {turns[0]}\nAnswer: {turns[1]}"))
    return _shuffled(rows)


def balanced(rows: Sequence[Row]) -> list[Row]:
    """Take positive and negative rows in turns, as long as there are both."""
    sides = [[row for row in rows if row.label == label] for label in (0, 1)]
    return [row for pair in zip(*sides, strict=False) for row in pair]


def split(rows: Sequence[Row], *, held_out: int, train: int) -> Split:
    """Cut shuffled rows into `held_out` rows to measure on and at most `train` to train on."""
    return Split(train=tuple(rows[held_out : held_out + train]), held_out=tuple(rows[:held_out]))


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV with the columns `text` and, when they have labels, `label`."""
    labelled = any(row.label is not None for row in rows)
    with path.open("w", encoding="utf-8", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow(["text", "label"] if labelled else ["text"])
        for row in rows:
            writer.writerow([row.text, row.label] if labelled else [row.text])


def _conversations(path: Path) -> list[list[str]]:
    found: Any = yaml.safe_load(path.read_text("utf-8"))
    try:
        spoken = cast("list[list[object]]", found["conversations"])
        return [[" ".join(str(turn).split()) for turn in turns] for turns in spoken]
    except (KeyError, TypeError) as error:
        raise AssetError(
            f"{path}: no list of conversations in it: the catalogue's package has another layout",
            asset=DIALOGUE.name,
        ) from error


def _score(path: Path, number: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _broken(path, number, f"the score {text!r} is not a number") from error


def _broken(path: Path, number: int, what: str) -> AssetError:
    where = f"{path}, line {number}" if number else str(path)
    return AssetError(f"{where}: {what}; not the data set expected here", asset=SENTIMENT.name)


def _shuffled(rows: list[Row]) -> list[Row]:
    random.Random(_SHUFFLE_SEED).shuffle(rows)
    return rows
