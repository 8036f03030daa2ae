"""Which method of aggregation is best: quality, traffic and server time, measured side by side.

    python benchmarks/quality.py --jobs 2                 # all cells that are missing, then tables
    python benchmarks/quality.py --scenarios base --variants stacking,fedit --seeds 2
    python benchmarks/quality.py --table                  # only print what has been measured

A cell is (scenario, variant, learning rate, seed), one line of `results/quality.jsonl`; a run that
is interrupted goes on with the cells that are missing. Scenarios are in `quality_data.py`, what is
compared is in `quality_methods.py`, in which order is in `quality_plan.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from polyrank.client import TaskRefused
from quality_data import SCENARIOS
from quality_federation import Course, Job, run
from quality_methods import VARIANTS
from quality_plan import Cell, Row, Scope, pending, read, recipe, seconds_left

RESULTS = Path(__file__).parent / "results"
INTERRUPTED = 130


@cache
def course_of(scenario: str, evenly_drawn: bool = False) -> Course:
    """Load the model that a scenario runs on, once in each process."""
    if scenario == "texts":
        assert not evenly_drawn, "texts have no classes"
        from quality_texts import Texts

        return Texts.load(_say)
    from quality_courses import Sentiment

    return Sentiment.load(_say, evenly_drawn=evenly_drawn)


def measure(cell: Cell) -> Row:
    """Run one cell."""
    began = time.perf_counter()
    variant = VARIANTS[cell.variant]
    course = course_of(cell.scenario, variant.evenly_drawn)
    job = Job(course, SCENARIOS[cell.scenario], cell.rate, cell.seed)
    try:
        found = run(job, variant)
    except TaskRefused as refusal:  # the learning rate was too high
        found = {"failed": str(refusal)}
    return {
        **vars(cell),
        "recipe": recipe(cell.scenario, cell.variant),
        **rounded(found),
        "seconds": round(time.perf_counter() - began, 1),
    }


def rounded(found: Any) -> Any:
    """Keep five decimals; curves without single domains."""
    if isinstance(found, float):
        return round(found, 5)
    if isinstance(found, dict):
        return {
            key: [
                {name: rounded(each) for name, each in scores.items() if name != "domains"}
                for scores in value
            ]
            if key == "curve"
            else rounded(value)
            for key, value in found.items()
        }
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ready() -> None:
    """Prepare a process: one thread, and an end without a word when the user stops the run."""
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_ready)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def measure_all(scope: Scope, path: Path, jobs: int) -> None:
    """Measure the cells that are missing, and append each as it ends."""
    done = read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _say(f"{len(done)} cells are there; about {_told(seconds_left(scope, done) / jobs)} to go "
         f"with {jobs} processes; Ctrl-C stops, and the same command goes on")  # fmt: skip
    running: dict[Future[Row], Cell] = {}
    with _workers(jobs) as pool:
        while True:
            for cell in pending(scope, done):
                if len(running) == jobs:
                    break
                if cell not in running.values():
                    running[pool.submit(measure, cell)] = cell
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                cell, row = running.pop(future), future.result()
                _append(path, row)
                done[cell] = row
                left = _told(seconds_left(scope, done) / jobs)
                _say(f"{len(done):4} {_line(cell, row)}; {left} left")


def _append(path: Path, row: Row) -> None:
    """Write one line at once, and see it on the disk; a line cut off before is ended first."""
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write((json.dumps(row) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def _line(cell: Cell, row: Row) -> str:
    where = f"{cell.scenario} | {cell.variant} | {cell.rate:g} | seed {cell.seed}"
    if row.get("failed"):
        return f"{where}: {row['failed']}"
    test = row["test"]
    score = "" if test["score"] is None else f"{test['score']:.3f}, "
    return f"{where}: {score}{test['loss']:.3f} nats, {row['seconds']:.0f} s"


def _told(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 3600 else f"{seconds / 60:.0f} min"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--variants", default=";".join(VARIANTS), help="separated by ;")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality.jsonl")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--picture", type=Path, help="write the picture there (SVG)")
    return parser.parse_args()


def main() -> int:
    """Measure what is missing, then print the tables."""
    given = arguments()
    scope = Scope(given.scenarios.split(","), given.variants.split(";"), given.seeds)
    if not given.table:
        for number in (signal.SIGINT, signal.SIGTERM):  # in the background too
            signal.signal(number, signal.default_int_handler)
        try:
            measure_all(scope, given.results, given.jobs)
        except (KeyboardInterrupt, BrokenProcessPool):
            _say(f"stopped; the same command goes on from {given.results}")
            return INTERRUPTED
    from quality_tables import print_tables

    done = read(given.results)
    print_tables(scope, done)
    if given.picture:
        from quality_picture import picture

        given.picture.write_text(picture(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
