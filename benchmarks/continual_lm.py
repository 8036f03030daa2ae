"""Continual adaptation of a language model, measured: streams of texts, loss per token.

    python benchmarks/continual_lm.py                # all cells that are missing, then the table
    python benchmarks/continual_lm.py --streams conflict --seeds 8    # more pairs of one stream
    python benchmarks/continual_lm.py --tables       # only print what has been measured

The same federation, driver and reviews as in `continual.py`, with six nodes, 12 rounds, SmolLM2 and
three streams (`continual_lm_data`). Scores are nats per token on fresh rows, lower is better, over
a reduced vocabulary and few positions of each row (`continual_lm_states`). Thresholds, also that of
FedDrift's rule, come from `continual_lm_calibrate.py`, which sees quiet windows only.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from continual import RESULTS, Cell, Course, Run, arguments, measure_cells, measured, thresholds
from continual_lm_data import ROUNDS, STREAMS, stream
from continual_lm_states import TextGround
from continual_lm_trainer import TRAINING, TextTrainer

POLICIES = ("one", "feddrift", "ours")
THRESHOLDS = "continual_lm_thresholds.json"


def texts(ground: TextGround) -> Course:
    """Return the course of the text domains, scored by the loss per token."""
    return Course(
        base_model="smollm2",
        rounds=ROUNDS,
        training=TRAINING,
        stream=lambda name, seed: stream(name, ground.pool, seed),
        trainer=partial(TextTrainer, ground),
        score=ground.loss,
        best=min,
    )


def run_of(course: Course, cell: Cell, found: dict[str, Any]) -> Run:
    """Return the run of a cell, with the thresholds for its kind of rows."""
    return Run(course, cell, found.get("verdicts" if cell.stream == "conflict" else "texts", {}))


def main() -> None:
    """Measure what is missing, then print the table."""
    torch.set_num_threads(1)
    given = arguments(__doc__, STREAMS, POLICIES, seeds=3, results=RESULTS / "continual_lm.jsonl")
    if not given.tables:
        found = thresholds(THRESHOLDS)
        course = texts(TextGround.load(lambda text: print(text, file=sys.stderr)))
        measure_cells(given, lambda cell: run_of(course, cell, found))
    from continual_lm_tables import print_tables

    print_tables(measured(given.results))


if __name__ == "__main__":
    main()
