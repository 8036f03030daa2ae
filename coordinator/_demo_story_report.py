"""What a demo prints of its story: lines while it goes on, a table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ._demo_story import Facts, Stage, Told, words
from ._demo_tell import Ending


class StoryLines:
    """Says each thing once, as it happens, on stderr.

    Args:
        console: where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._reviews = 0
        self._decisions = 0

    def show(self, facts: Facts, stage: Stage | None) -> None:
        """Say what is new in a look."""
        for review, decision in facts.decisions:
            if decision.number > self._decisions:
                self._decisions = decision.number
                self._say(f"review {review}: {words(decision.kind)}: {decision.reason}")
        if facts.reviews > self._reviews:
            self._reviews = facts.reviews
            self._say(f"review {facts.reviews}: {adapters_line(facts.adapters)}")
        if stage is not None:
            self._say(f"after review {facts.reviews}: {stage.happened}", style="bold")

    def _say(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style=style), soft_wrap=True)


def adapters_line(adapters: Mapping[str, tuple[str, ...]]) -> str:
    """Say which nodes use which adapter."""
    return "; ".join(f"{name}: {', '.join(nodes) or 'nobody'}" for name, nodes in adapters.items())


def story_values(ending: Ending, path: Path) -> dict[str, object]:
    """Return the story as plain values, for `--json`."""
    return {
        "whole": ending.is_whole,
        "report": str(path),
        "lines": [
            {
                "happened": line.happened,
                "after_review": line.since,
                "review": line.review,
                "decisions": [decision.number for decision in line.decisions],
                "kind": line.kind or None,
                "reason": line.reason,
                "adapters": {name: list(nodes) for name, nodes in line.adapters.items()},
            }
            for line in ending.told
        ],
    }


def print_story(console: Console, ending: Ending, path: Path) -> None:
    """Print the table and where the report lies."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title="what happened, and why", title_justify="left"
    )
    for heading, least in (("what happened", 24), ("decided in", 10), ("what", 8), ("why", 40)):
        table.add_column(heading, min_width=least, overflow="fold")
    table.add_column("who uses what", min_width=18, overflow="fold")
    for line in ending.told:
        table.add_row(*_cells(line), end_section=True)
    console.print(table)
    console.print(Text(f"The report (HTML, one file): {path}", style="bold"), soft_wrap=True)


def _cells(line: Told) -> tuple[str, str, str, str, str]:
    if not line.is_decided:
        return line.happened, "", "NOT DECIDED", line.note, _users(line)
    return line.happened, _when(line), words(line.kind), line.reason, _users(line)


def _when(line: Told) -> str:
    if line.since is None or line.review is None:
        return f"review {line.review}"
    return f"review {line.review} ({_nth(line.review - line.since)} after it)"


def _nth(number: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _users(line: Told) -> str:
    return adapters_line(line.adapters).replace("; ", "\n")
