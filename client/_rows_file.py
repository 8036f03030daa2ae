"""Rows from a file: CSV (or TSV), JSON lines, Parquet; told apart by the file's ending."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ._errors import DataError

MAX_FIELD_CHARS = 10_000_000
_ENDINGS = ".csv, .tsv, .jsonl, .ndjson or .parquet"


def read_columns(
    path: Path, columns: Sequence[str], *, max_rows: int | None = None
) -> dict[str, list[Any]]:
    """Read the named columns of a file.

    Rows whose first named column is empty are left out.

    Returns:
        Column name -> values: text from CSV, what the file holds from the others.

    Raises:
        DataError: the file is missing, of another kind, lacks a column, is damaged, or has no rows.
    """
    if not path.is_file():
        raise DataError(f"data file {path} does not exist: check data.file", path=path)
    readers = {
        ".csv": lambda: _from_csv(path, ","),
        ".tsv": lambda: _from_csv(path, "\t"),
        ".jsonl": lambda: _from_json_lines(path),
        ".ndjson": lambda: _from_json_lines(path),
        ".parquet": lambda: _from_parquet(path, columns),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"data file {path} has an unknown ending: use {_ENDINGS}", path=path)
    try:
        rows = _picked(reader(), columns, path, max_rows)
    except (OSError, csv.Error, ValueError, RecursionError) as error:
        raise DataError(f"data file {path} cannot be read: {error}", path=path) from error
    if not rows[columns[0]]:
        raise DataError(f"data file {path} has no rows with {columns[0]!r}", path=path)
    return rows


def class_indices(
    values: Sequence[Any], *, labels: Sequence[str] | None, num_labels: int, path: Path
) -> list[int]:
    """Turn a column into class indices: positions in ``labels``, or the numbers themselves.

    Raises:
        DataError: a value that is none of them; names the row, counted from 1.
    """
    places = {name: index for index, name in enumerate(labels or map(str, range(num_labels)))}
    found: list[int] = []
    for row, value in enumerate(values, start=1):
        is_whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
        plain = int(value) if is_whole else value
        index = places.get(str(plain).strip())
        if index is None:
            allowed = ", ".join(list(places)[:10])
            raise DataError(
                f"data file {path}: row {row} has the label {value!r:.60}: expected one of "
                f"{allowed}",
                path=path,
            )
        found.append(index)
    return found


def _picked(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: Path, max_rows: int | None
) -> dict[str, list[Any]]:
    picked: dict[str, list[Any]] = {name: [] for name in columns}
    for number, row in enumerate(rows, start=1):
        for name in columns:
            if name not in row:
                there = ", ".join(map(str, list(row)[:20]))
                raise DataError(
                    f"data file {path} has no column {name!r} (row {number}): it has {there}",
                    path=path,
                )
        if row[columns[0]] in (None, ""):
            continue
        for name in columns:
            picked[name].append(row[name])
        if len(picked[columns[0]]) == max_rows:
            break
    return picked


def _from_csv(path: Path, delimiter: str) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter=delimiter, strict=True):
            yield {name: value for name, value in row.items() if value is not None}


def _from_json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            value: object = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError(f"line {number} is not a JSON object")
            yield cast("Mapping[str, Any]", value)


def _from_parquet(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    from ._rows_parquet import parquet_rows  # pyarrow is heavy, and only this format needs it

    return parquet_rows(path, columns)
