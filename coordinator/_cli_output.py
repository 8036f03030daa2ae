"""How commands print: one JSON document, or a table; never a terminal escape from outside.

The JSON is one object whose only key says what it holds (`{"versions": [...]}`), with the records'
own field names. Times are ISO-8601 in UTC with a `Z`; a number that JSON cannot hold (NaN,
infinity) is null. Fields may be added; none is renamed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ._printable import printable

# Values that a record computes, printed after its fields.
_DERIVED = {"Version": ("ref", "rank")}
# Wide enough for a whole digest in every column when a program reads the table.
_WIDTH_OFF_TERMINAL = 400


def to_json(value: object) -> object:
    """Turn a record, or a container of records, into what `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [
            field.name for field in dataclasses.fields(value) if not field.name.startswith("_")
        ]
        names += _DERIVED.get(type(value).__name__, ())
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): to_json(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in cast("Sequence[object]", value)]
    return value


def instant(time: datetime) -> str:
    """Write a time as ISO-8601 in UTC, to the microsecond: `2026-11-22T01:31:46.000000Z`."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def print_json(**document: object) -> None:
    """Print one JSON document; its keys say what it holds."""
    text = json.dumps(to_json(document), indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text + "\n")


def print_json_line(value: object) -> None:
    """Print one record as one line of JSON and flush it (for streams)."""
    text = json.dumps(to_json(value), ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    empty: str = "nothing recorded",
) -> None:
    """Print rows under their headings; `empty` when there are none."""
    console = _console()
    if title:
        console.print(Text(title, style="bold"))
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console.print(table if table.row_count else Text(empty, style="dim"))


def print_facts(facts: Mapping[str, object], *, title: str = "") -> None:
    """Print names and values, one a line."""
    console = _console()
    if title:
        console.print(Text(title, style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(Text(name, style="dim"), cell(value))
    console.print(table)


def cell(value: object) -> Text:
    """Write one value for a person: short numbers, times to the second, `-` for nothing."""
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, Text):
        return value
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    if isinstance(value, datetime):
        return Text(value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ"))
    return Text(printable(str(value), mark="\ufffd"))


def size(count: int) -> str:
    """Write a number of bytes with a binary unit: `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def metrics(values: Mapping[str, float]) -> str:
    """Write metrics in one cell: `accuracy=0.91 loss=0.3`."""
    return " ".join(f"{name}={value:.4g}" for name, value in sorted(values.items()))


def short(digest: str) -> str:
    """Return the first twelve characters of a digest or identity: enough for a table."""
    return digest[:12]


def _console() -> Console:
    # Rich would cut a table at 80 columns when the output is a file or a pipe.
    terminal = sys.stdout.isatty()
    return Console(highlight=False, width=None if terminal else _WIDTH_OFF_TERMINAL)


def print_line(*values: object) -> None:
    """Print values as one plain line and flush it."""
    sys.stdout.write("  ".join(cell(value).plain for value in values) + "\n")
    sys.stdout.flush()
