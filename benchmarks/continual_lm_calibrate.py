"""Thresholds for `benchmarks/continual_lm.py`, from windows without drift.

    python benchmarks/continual_lm_calibrate.py  # minutes; results/continual_lm_thresholds.json

As `continual_calibrate.py` does it, on quiet streams of texts and of verdicts, each for itself: who
runs a federation calibrates it on its own rows. FedDrift's delta comes from the same windows: the
99 % order statistic of the change of a node's loss from one window to its next.
"""

from __future__ import annotations

import argparse
import json
import sys

import torch
from continual import RESULTS, thresholds
from continual_audit import reviews
from continual_calibrate import LEVEL, collect, described, gather
from continual_lm import THRESHOLDS, texts
from continual_lm_states import TextGround
from polyrank.aggregation import calibrate
from polyrank.store import AdaptationPolicy, Registry, Review

KINDS = {
    "texts": ("quiet", range(1000, 1003)),
    "verdicts": ("quiet_verdicts", range(1000, 1004)),
}


def collect_changes(registry: Registry, found: dict[str, list[float]]) -> None:
    """Gather all statistics, and the changes of each node's loss."""
    collect(registry, found)
    last: dict[str, float] = {}
    for evidence in reviews(registry):
        review = Review.from_json(evidence.payload["review"])
        for node in review.nodes:
            if node.identity in last and review.number > AdaptationPolicy().base_windows:
                found["loss_changes"].append(node.loss - last[node.identity])
            last[node.identity] = node.loss


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kinds", default=",".join(KINDS))
    kinds = parser.parse_args().kinds.split(",")
    course = texts(TextGround.load(lambda text: print(text, file=sys.stderr)))
    for kind in kinds:
        stream, seeds = KINDS[kind]
        found = gather(course, stream, seeds, collect_changes)
        changes = found.pop("loss_changes")
        result = thresholds(THRESHOLDS)  # the other kind may have been measured meanwhile
        result["command"] = "python benchmarks/continual_lm_calibrate.py"
        result[kind] = {
            **described(seeds, found),
            "feddrift_delta": round(calibrate(changes, level=LEVEL, floor=0.0), 3),
        }
        (RESULTS / THRESHOLDS).write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
