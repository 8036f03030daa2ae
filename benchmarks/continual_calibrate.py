"""Thresholds for `benchmarks/continual.py`, from windows without drift.

    python benchmarks/continual_calibrate.py     # some minutes; results/continual_thresholds.json

Quiet streams, under seeds that the benchmark does not use. After six rounds the nodes are parted in
two groups at random, with an adapter each from the same version: what the paired test and trial
merges say of these is what they say when there is nothing to find. `z_*` are the 99 % order
statistics with a floor of 2.33, `merge_tolerance` is that of the worse side's loss change,
`gate_tolerance` that of one node's loss change from one version to the next, first rounds left out.
`feddrift_delta` that of the change of a node's loss from one window to its next.
`severe` is the share of windows that seem severe; `severe_rate` of the policy must not be below it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from continual import LINE, RESULTS, Cell, Course, Run, sentiment
from continual_audit import reviews, window_signs
from continual_data import NODES
from continual_rules import ask_everyone, expand, head
from continual_trainer import Ground
from polyrank.aggregation import calibrate
from polyrank.coordinator._rules import Rules
from polyrank.store import AdaptationPolicy, Choice, Probe, Registry, Review, Trial

SEEDS = range(1000, 1006)
PARTED = 7
GATED_FROM = 4
LEVEL, FLOOR = 0.01, 2.33


def ask(review: Review, policy: AdaptationPolicy) -> tuple[Probe | Trial, ...]:
    """Ask every node about the other adapter, and for their merge, at each review."""
    names = sorted(member.adapter for member in review.members)
    trials = (Trial(names[0], names[1]),) if len(names) == 2 else ()
    return (*ask_everyone(review, policy), *trials)


def part(review: Review, policy: AdaptationPolicy) -> tuple[Choice, ...]:
    """Part the nodes once, by their identities: nothing that they have seen decides."""
    if review.number != PARTED:
        return ()
    return (expand(review.nodes[: NODES // 2], head(review.members[0]), "a null group"),)


def collect(registry: Registry, found: dict[str, list[float]]) -> None:
    """Gather every statistic of a run's reviews."""
    policy = AdaptationPolicy()
    for evidence in reviews(registry):
        review = Review.from_json(evidence.payload["review"])
        found["severe"] += [sign.severe for sign in window_signs(evidence, policy)]
        for node in review.nodes:
            values = {"z_loss": node.harm_z, "z_novelty": node.novelty_z, "z_prior": node.prior_z}
            for name, value in values.items():
                if value is not None and node.base_windows >= policy.base_windows:
                    found[name].append(value)
            if review.number >= PARTED + 3:
                found["z_pair"] += [p.gain / p.standard_error for p in node.probes]
        if GATED_FROM <= review.number < PARTED:  # afterwards each half learns apart
            domains = [domain for gate in review.gates for domain in gate.domains]
            found["gate_tolerance"] += [domain.loss_change for domain in domains]
        for trial in review.trials:
            if review.number >= PARTED + 3:
                changes = [side.loss_change for side in trial.sides]
                found["merge_tolerance"].append(max(changes))


def collect_changes(registry: Registry, found: dict[str, list[float]]) -> None:
    """Gather all statistics, and what FedDrift's rule looks at: how each node's loss changes."""
    collect(registry, found)
    last: dict[str, float] = {}
    for evidence in reviews(registry):
        review = Review.from_json(evidence.payload["review"])
        for node in review.nodes:
            if node.identity in last and review.number > AdaptationPolicy().base_windows:
                found["loss_changes"].append(node.loss - last[node.identity])
            last[node.identity] = node.loss


def thresholds(found: dict[str, list[float]]) -> dict[str, float]:
    """Turn the statistics into settings of `AdaptationPolicy`."""
    floors = {"merge_tolerance": 0.0, "gate_tolerance": 0.0}
    return {
        name: round(calibrate(values, level=LEVEL, floor=floors.get(name, FLOOR)), 3)
        for name, values in sorted(found.items())
        if name != "severe"
    }


def main(seeds: Iterable[int] = SEEDS) -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    course = sentiment(Ground.load(lambda text: print(text, file=sys.stderr)))
    result = {
        "command": "python benchmarks/continual_calibrate.py",
        **described(seeds, gather(course, "quiet", seeds)),
    }
    path = RESULTS / "continual_thresholds.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def gather(course: Course, stream: str, seeds: Iterable[int]) -> dict[str, list[float]]:
    """Run a quiet stream under each seed, and gather what its reviews say."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        run = Run(course, Cell(stream, "ours", seed), {}, Rules(ask, part, lists_all=True))
        run.measure(lambda registry: collect_changes(registry, found))
        print(f"seed {seed}: {len(found['z_loss'])} windows of {LINE}", file=sys.stderr)
    return found


def described(seeds: Iterable[int], found: dict[str, list[float]]) -> dict[str, Any]:
    """Return the thresholds with what they rest on."""
    changes = found.pop("loss_changes")
    return {
        "seeds": list(seeds),
        "level": LEVEL,
        "values": {name: len(values) for name, values in sorted(found.items())},
        "rates_above_floor": {
            name: round(sum(v > FLOOR for v in values) / len(values), 4)
            for name, values in sorted(found.items())
            if name.startswith("z_")
        },
        "severe": sum(found["severe"]) / len(found["severe"]),
        "policy": thresholds(found),
        "feddrift_delta": round(calibrate(changes, level=LEVEL, floor=0.0), 3),
    }


if __name__ == "__main__":
    main()
