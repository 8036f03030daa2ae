"""How fast and how small the aggregation engine is: ratios of one run, beside their bars.

    python benchmarks/aggregation.py [--quick] [--threads N] [--only WORD] [--json FILE]

Every time is a ratio of two things done in turns in one process, on inputs larger than the cache;
every memory is the peak of a fresh process above what its imports take. The references are what
the same machine needs at least: a copy, a hash, a library's SVD. With --only, what the other suites
have in the JSON file stays.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import aggregation_engine as engine
import aggregation_large
import aggregation_round
import torch
from aggregation_measure import Row


def suites(is_quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Return what can be measured, by name; each gives rows of the table."""
    few = is_quick
    return {
        "stacking": partial(engine.stacking, 32 if few else 256),
        "truncation": partial(engine.truncation, 1 if few else 3, 5 if few else 20),
        "accumulating": partial(engine.accumulating, is_quick),
        "round": partial(aggregation_round.rows, is_quick, 1 if few else 5),
        "large": partial(aggregation_large.rows, is_quick),
        "reading": partial(engine.reading, 3 if few else 15, 20 if few else 100),
    }


def table(rows: list[Row]) -> str:
    """Return the rows as text, in columns."""
    lines = [f"{'work':<76} {'bar':>10} {'seen':>9}  pass"]
    for row in rows:
        sign = ">=" if row.at_least else "<="
        bar = f"{sign} {row.bar:g}"
        verdict = "yes" if row.passed else "NO"
        lines.append(f"{row.work:<76} {bar:>10} {row.seen:>9.3g}  {verdict:<4} {row.note}")
    return "\n".join(lines)


def heading() -> str:
    return f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)"


def measured(path: Path, *, is_quick: bool) -> dict[str, list[Row]]:
    """Read the rows of the suites that are in a file of the same kind, by suite."""
    document = json.loads(path.read_text()) if path.exists() else {}
    if document.get("heading") != heading() or document.get("quick") != is_quick:
        return {}
    return {
        name: [Row(**{key: row[key] for key in row if key != "passed"}) for row in rows]
        for name, rows in document["suites"].items()
    }


def write(path: Path, found: dict[str, list[Row]], *, is_quick: bool) -> None:
    """Write the rows by suite, and the table of all of them beside the file."""
    facts = {
        name: [{**asdict(row), "passed": row.passed} for row in rows]
        for name, rows in found.items()
    }
    document = {"heading": heading(), "quick": is_quick, "suites": facts}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    rows = [row for each in found.values() for row in each]
    path.with_suffix(".txt").write_text(f"{heading()}\n{table(rows)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repetitions")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="suites whose name has this word")
    parser.add_argument(
        "--json", type=Path, help="where the figures go; the table goes beside it, as .txt"
    )
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    known = suites(asked.quick)
    found = measured(asked.json, is_quick=asked.quick) if asked.json and asked.only else {}
    for name, suite in known.items():
        if asked.only in name:
            found[name] = suite()
            if asked.json:
                write(asked.json, {name: found[name] for name in known if name in found},
                      is_quick=asked.quick)  # fmt: skip
    rows = [row for name in known for row in found.get(name, ())]
    print(heading() + "\n" + table(rows))


if __name__ == "__main__":
    main()
