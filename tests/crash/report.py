"""The table of the crash matrix: one row a cell, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """What one cell found; times are seconds."""

    cell: str
    harm: str
    versions: int
    expected_versions: int
    contributions: int
    counted: int
    tasks: int
    trainings: int
    repeated: int
    given_up: int
    from_cache: int
    same_bytes: bool
    recover_seconds: float
    cpu_seconds: float
    wall_seconds: float


COLUMNS = (
    ("cell", "cell"), ("killed when", "harm"), ("versions", "versions"),
    ("contributions", "contributions"), ("trainings", "trainings"), ("repeated", "repeated"),
    ("given up", "given_up"), ("from cache", "from_cache"), ("same bytes", "same_bytes"),
    ("recovered s", "recover_seconds"), ("cpu s", "cpu_seconds"),
    ("cell s", "wall_seconds"),
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, columns aligned."""
    cells = [[title for title, _ in COLUMNS], *(_shown(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def write_json(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")


def _shown(row: Row) -> list[str]:
    values = asdict(row) | {
        "versions": f"{row.versions} of {row.expected_versions}",
        "contributions": f"{row.counted} of {row.contributions} counted",
        "trainings": f"{row.trainings} for {row.tasks} tasks",
        "same_bytes": "yes" if row.same_bytes else "no",
        "recover_seconds": f"{row.recover_seconds:.1f}",
        "cpu_seconds": f"{row.cpu_seconds:.0f}",
        "wall_seconds": f"{row.wall_seconds:.0f}",
    }
    return [str(values[name]) for _, name in COLUMNS]
