"""The edge to pyarrow: rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet  # pyright: ignore[reportMissingTypeStubs]


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a Parquet file, batch by batch, with the named columns that it has.

    Raises:
        ValueError, OSError: it is not a Parquet file (pyarrow's errors are both).
    """
    file: Any = parquet.ParquetFile(path)
    try:
        there = [name for name in columns if name in file.schema_arrow.names]
        if len(there) < len(set(columns)):
            yield dict.fromkeys(file.schema_arrow.names)  # the caller names what is missing
            return
        for batch in file.iter_batches(columns=there):
            yield from batch.to_pylist()
    finally:
        file.close()
