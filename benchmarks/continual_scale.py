"""How reviews scale: `decide` over 10,000 nodes and 100 adapters, the memory of summaries.

    python benchmarks/continual_scale.py [--json FILE]

Bars: under 1 s to decide, under 100 MB for a summary of each node, as the daemon keeps references.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from polyrank.aggregation import Summary, SummarySpec, summarise
from polyrank.store import (
    AdaptationPolicy,
    MemberEvidence,
    NodeEvidence,
    ProbeEvidence,
    Review,
    decide,
    questions,
)

NODES, MEMBERS, PROBES = 10_000, 100, 5


def member(number: int) -> MemberEvidence:
    """Return one of many active members."""
    name = "demo" if number == 1 else f"demo/{number}"
    return MemberEvidence(
        adapter=name, version=9, users=NODES // MEMBERS, age=9, root=number == 1,
        parent=None if number == 1 else "demo",
    )  # fmt: skip


def node(number: int, names: list[str], draw: random.Random) -> NodeEvidence:
    """Return a node in alarm that has scored some other members."""
    own = names[number % len(names)]
    others = draw.sample([name for name in names if name != own], PROBES)
    return NodeEvidence(
        identity=f"{number:064x}", adapter=own, rows=80, base_windows=4,
        loss=draw.uniform(0.5, 2.0), base_loss=0.5, harm_z=draw.uniform(0.0, 9.0),
        novelty_z=draw.uniform(-2.0, 4.0), prior_z=draw.uniform(-2.0, 3.0), uninformed_loss=0.69,
        balanced_accuracy=draw.uniform(0.2, 0.9), chance=0.5, recent_harm=(False, True, True),
        probes=tuple(
            ProbeEvidence(adapter=name, version=9, rows=80, gain=draw.uniform(-0.5, 0.3),
                          standard_error=0.05)
            for name in others
        ),
    )  # fmt: skip


def deciding() -> dict[str, Any]:
    """Time `questions` and `decide` over a review in which every node is in alarm."""
    draw = random.Random(1)
    members = tuple(member(number) for number in range(1, MEMBERS + 1))
    names = [one.adapter for one in members]
    nodes = tuple(node(number, names, draw) for number in range(NODES))
    review = Review(family="demo", number=12, members=members, nodes=nodes)
    policy = AdaptationPolicy(max_adapters=2 * MEMBERS)
    began = time.perf_counter()
    asked = questions(review, policy)
    middle = time.perf_counter()
    choices = decide(review, policy)
    ended = time.perf_counter()
    return {
        "questions_seconds": round(middle - began, 3),
        "decide_seconds": round(ended - middle, 3),
        "questions": len(asked),
        "choices": len(choices),
    }


def remembering() -> dict[str, Any]:
    """Measure the memory of one summary for each node."""
    spec = SummarySpec(1, classes=2, bandwidth=1.0)
    rows = torch.randn(80, 384, generator=torch.Generator().manual_seed(1))
    labels = [number % 2 for number in range(80)]
    sent = summarise(spec, [0.5] * 80, labels=labels, correct=[True] * 80, features=rows).to_json()
    before = resident_bytes()
    kept = [Summary.from_json(sent, spec) for _ in range(NODES)]
    return {
        "summary_json_bytes": len(json.dumps(sent)),
        "summaries_megabytes": round((resident_bytes() - before) / 1e6, 1),
        "summaries": len(kept),
    }


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    """Measure, print, and write JSON if asked."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = {"nodes": NODES, "members": MEMBERS, **deciding(), **remembering()}
    print(json.dumps(result, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
