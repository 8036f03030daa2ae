"""Thresholds for `benchmarks/continual_lm.py`, from windows without drift.

    python benchmarks/continual_lm_calibrate.py  # minutes; results/continual_lm_thresholds.json

As `continual_calibrate.py` does it, on quiet streams of texts and of verdicts, each for itself: who
runs a federation calibrates it on its own rows.
"""

from __future__ import annotations

import argparse
import json
import sys

import torch
from continual import RESULTS, thresholds
from continual_calibrate import described, gather
from continual_lm import THRESHOLDS, texts
from continual_lm_states import TextGround

KINDS = {
    "texts": ("quiet", range(1000, 1003)),
    "verdicts": ("quiet_verdicts", range(1000, 1004)),
}


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kinds", default=",".join(KINDS))
    kinds = parser.parse_args().kinds.split(",")
    course = texts(TextGround.load(lambda text: print(text, file=sys.stderr)))
    for kind in kinds:
        stream, seeds = KINDS[kind]
        found = gather(course, stream, seeds)
        result = thresholds(THRESHOLDS)  # the other kind may have been measured meanwhile
        result["command"] = "python benchmarks/continual_lm_calibrate.py"
        result[kind] = described(seeds, found)
        (RESULTS / THRESHOLDS).write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
