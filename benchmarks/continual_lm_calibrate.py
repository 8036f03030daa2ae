"""Thresholds for `benchmarks/continual_lm.py`, from windows without drift.

    python benchmarks/continual_lm_calibrate.py  # minutes; results/continual_lm_thresholds.json

As `continual_calibrate.py` does it, on quiet streams of texts and of verdicts, each for itself: who
runs a federation calibrates it on its own rows. FedDrift's delta comes from the same windows: the
99 % order statistic of the change of a node's loss from one window to its next.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from continual import RESULTS
from continual_calibrate import LEVEL, collect, described, gather
from continual_lm import THRESHOLDS, texts
from continual_lm_states import TextGround
from polyrank.aggregation import calibrate
from polyrank.store import AdaptationPolicy, Registry, Review

KINDS = (
    ("texts", "quiet", range(1000, 1003)),
    ("verdicts", "quiet_verdicts", range(1000, 1006)),
)


def collect_changes(registry: Registry, found: dict[str, list[float]]) -> None:
    """Gather all statistics, and the changes of each node's loss."""
    collect(registry, found)
    last: dict[str, float] = {}
    for evidence in registry.evidence(limit=1000):
        if evidence.kind != "review":
            continue
        review = Review.from_json(evidence.payload["review"])
        for node in review.nodes:
            if node.identity in last and review.number > AdaptationPolicy().base_windows:
                found["loss_changes"].append(node.loss - last[node.identity])
            last[node.identity] = node.loss


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    course = texts(TextGround.load(lambda text: print(text, file=sys.stderr)))
    result: dict[str, Any] = {"command": "python benchmarks/continual_lm_calibrate.py"}
    for kind, stream, seeds in KINDS:
        found = gather(course, stream, seeds, collect_changes)
        changes = found.pop("loss_changes")
        result[kind] = {
            **described(seeds, found),
            "feddrift_delta": round(calibrate(changes, level=LEVEL, floor=0.0), 3),
        }
    (RESULTS / THRESHOLDS).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
