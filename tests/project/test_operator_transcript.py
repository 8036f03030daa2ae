"""The operator's transcript: its commands still work, and the committed one is what they print."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STATES = ("proposed", "vetoed", "carried_out", "undone")
COMMANDS = (
    "$ polyrank registry approve",
    "$ polyrank registry show demo/trials@",
    "$ polyrank registry veto",
    "$ polyrank registry force merge demo --absorb demo/2",
    "$ polyrank registry undo",
    "$ polyrank registry decisions --replay",
)


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("$", "#"))]


def after(text: str, command: str, place: int) -> str:
    """Return what a command printed the `place`-th time."""
    parts = text.split(f"$ polyrank registry {command}\n")
    return parts[place].split("\n$ ")[0]


def test_a_proposed_merge_is_inspected_vetoed_forced_and_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "operator_transcript", raising=False)
    import operator_transcript

    text = operator_transcript.transcript(tmp_path)
    places = [text.index(command) for command in COMMANDS]
    assert places == sorted(places)
    assert all(state in text for state in STATES)
    states = [
        [line.split()[2:4] for line in after(text, "families", at).splitlines() if "demo " in line]
        for at in range(1, 5)
    ]
    both = [["demo", "active"], ["demo/2", "active"]]
    merged = [["demo", "active"], ["demo/2", "archived"]]
    assert states == [both, both, merged, both], "vetoed: two; forced: one; undone: two again"
    assert "NO" not in after(text, "decisions --replay", 1)
    committed = (BENCHMARKS / "results" / "operator_transcript.txt").read_text("utf-8")
    assert commands(committed) == commands(text), "run benchmarks/operator_transcript.py again"
