"""Continual adaptation, measured: streams of real text, rival rules, the product's own rounds.

    python benchmarks/continual.py                   # all cells that are missing, then the tables
    python benchmarks/continual.py --seeds 2 --streams quiet,conflict_full --policies one,ours
    python benchmarks/continual.py --tables          # only print what has been measured

A cell is (stream, policy, seed): a simulated federation of six nodes and 16 rounds, by the daemon's
own driver, registry, summaries and reviews. Each cell is one line of `results/continual.jsonl`; a
run that is interrupted goes on with the cells that are missing. Nothing here is tuned on a stream
with drift: thresholds come from `continual_calibrate.py`, which sees quiet windows only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from continual_audit import alarms, replayed
from continual_data import DRIFT, NODES, ROUNDS, STREAMS, Stream, Test, Window, stream
from continual_rules import HAND_DELTA, POLICIES, rules_of
from continual_trainer import TRAINING, Ground, StreamTrainer
from polyrank.aggregation import Adapter, decode
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._rules import Rules
from polyrank.coordinator._simulation import Simulation
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Decision, Registry

RESULTS = Path(__file__).parent / "results"
LINE = "demo"
RANK = 8


@dataclass(frozen=True)
class Cell:
    """One run."""

    stream: str
    policy: str
    seed: int


@dataclass(frozen=True)
class Course:
    """What a benchmark runs on.

    Attributes:
        base_model: its name in the registry.
        rounds: of each stream; it has one window more.
        training: the federation's settings.
        stream: name, seed -> stream.
        trainer: stream, number of a node -> its trainer.
        score: of an adapter on test rows.
        best: `max` where a higher score is better, `min` where a lower one is.
    """

    base_model: str
    rounds: int
    training: Mapping[str, float]
    stream: Callable[[str, int], Stream]
    trainer: Callable[[Stream, int], StreamTrainer]
    score: Callable[[Adapter, Test], float]
    best: Callable[..., str] = max


def sentiment(ground: Ground) -> Course:
    """Return the course of the sentiment domains, scored by balanced accuracy."""
    return Course(
        base_model="minilm",
        rounds=ROUNDS,
        training=TRAINING,
        stream=lambda name, seed: stream(name, ground.pool, seed),
        trainer=partial(StreamTrainer, ground),
        score=ground.balanced_accuracy,
    )


class CountedNode(SimulatedNode):
    """A node that counts the bytes which reach and leave it."""

    traffic = 0

    def answer(self, incoming: Any) -> Any:
        """Answer, and count blobs and envelopes."""
        found = super().answer(incoming)
        self.traffic += len(incoming.blob) + len(incoming.envelope)
        self.traffic += len(getattr(found, "blob", b"")) + len(getattr(found, "envelope", b""))
        return found


class Run:
    """One cell, step by step: a review, then the score of what was trained before it.

    Args:
        course: what it runs on.
        cell: which run.
        calibrated: what a calibration found: {"policy": ..., "feddrift_delta": ...}.
        rules: instead of the cell's policy.
    """

    def __init__(
        self, course: Course, cell: Cell, calibrated: Mapping[str, Any], rules: Rules | None = None
    ) -> None:
        self.cell = cell
        self.course = course
        self.stream = course.stream(cell.stream, cell.seed)
        self.nodes = [
            CountedNode(f"node{i}", course.trainer(self.stream, i), max_rank=RANK, seed=cell.seed)
            for i in range(NODES)
        ]
        self.place = {node.identity: i for i, node in enumerate(self.nodes)}
        delta = calibrated.get("feddrift_delta", HAND_DELTA)
        self.simulation = Simulation(
            config(course, cell, calibrated.get("policy", {})),
            self.nodes,
            rules=rules or rules_of(cell.policy, self._concept, delta),
        )
        self._is_ours = cell.policy == "ours" and rules is None
        self._known: dict[tuple[str, str, int | None], float] = {}  # digest, concept, half

    def _concept(self, identity: str) -> str:
        trainer: Any = self.nodes[self.place[identity]].trainer
        return trainer.window.concept

    def measure(self, look: Callable[[Registry], object] = lambda registry: None) -> dict[str, Any]:
        """Run all rounds; return scores by round and node, decisions, adapters, traffic.

        `look` is called at the end, while the registry is open.
        """
        began = time.perf_counter()
        scores: list[list[float]] = []
        active: list[int] = []
        worst: dict[str, float] = {}
        with self.simulation as simulation:
            for number in range(1, self.course.rounds + 2):
                simulation.run(until=lambda number=number: self.reviews >= number)
                if number > 1:
                    scores.append(self._scores(number - 2))
                active.append(self._active())
            worst = self._by_concept()
            look(simulation.registry)
            audit = self._audit(simulation.registry)
            decisions = [self._told(d) for d in simulation.registry.decisions(limit=1000)]
        return {
            **vars(self.cell),
            "scores": scores,
            "active": active,
            "decisions": decisions,
            "concepts": worst,
            "traffic": sum(node.traffic for node in self.nodes),
            **audit,
            "seconds": round(time.perf_counter() - began, 1),
        }

    def _audit(self, registry: Registry) -> dict[str, dict[str, int]]:
        if not self._is_ours:
            return {}
        return {"alarms": alarms(registry), "replayed": replayed(registry)}

    @property
    def registry(self) -> Registry:
        """The registry of the run."""
        return self.simulation.registry

    @property
    def reviews(self) -> int:
        """How many reviews are on record."""
        return next((family.reviews for family in self.registry.families()), 0)

    def _told(self, decision: Decision) -> dict[str, Any]:
        evidence = self.registry.evidence(since=decision.evidence[0] - 1, limit=1)[0]
        return {
            "review": int(evidence.payload["review"]["number"]),
            "kind": decision.kind,
            "adapter": decision.adapter,
            "nodes": sorted(self.place[i] for i in decision.payload.get("nodes", ())),
            "reason": decision.reason,
        }

    def _active(self) -> int:
        return sum(member.state == "active" for member in self.registry.members(LINE))

    def _scores(self, number: int) -> list[float]:
        """Score each node's adapter on fresh rows of the concepts that it has just trained on."""
        assigned = {a.identity: a.adapter for a in self.registry.assignments(LINE)}
        return [
            self._score(assigned.get(node.identity, LINE), self.stream.windows[number][i])
            for i, node in enumerate(self.nodes)
        ]

    def _score(self, line: str, window: Window) -> float:
        ref = self._served(line)
        return sum(share * self._scored(ref, concept) for concept, share in window.shares.items())

    def _served(self, line: str) -> str:
        """Return what nodes serve: the newest version, or the one before it while that is held."""
        names = {alias.alias for alias in self.registry.aliases(line)}
        return f"{line}@stable" if "stable" in names else f"{line}@latest"

    def _scored(self, ref: str, concept: str, half: int | None = None) -> float:
        version = self.registry.version(ref)
        key = (version.digest, concept, half)
        if key not in self._known:
            test = self.stream.tests[concept]
            adapter = decode(bytearray(self.registry.read(version.ref)))
            rows = test if half is None else test.halves()[half]
            self._known[key] = self.course.score(adapter, rows)
        return self._known[key]

    def _by_concept(self) -> dict[str, float]:
        """Return what the best stored version reaches on each concept, at the end.

        Newest versions and pins; chosen on one half of the test rows and scored on the other, both
        ways round, so that the choice does not know what it is judged by.
        """
        members = self.registry.members(LINE)
        refs = [f"{member.adapter}@latest" for member in members]
        for member in members:
            refs += [
                f"{alias.adapter}@{alias.number}"
                for alias in self.registry.aliases(member.adapter)
                if alias.alias.startswith("pin-")
            ]
        return {
            concept: fmean(self._chosen(refs, concept, half) for half in (0, 1))
            for concept in self.stream.tests
        }

    def _chosen(self, refs: list[str], concept: str, half: int) -> float:
        best = self.course.best(refs, key=lambda ref: self._scored(ref, concept, half))
        return self._scored(best, concept, 1 - half)


def config(course: Course, cell: Cell, policy: dict[str, Any]) -> CoordinatorConfig:
    """Return the daemon's configuration of a cell."""
    mode = "record" if cell.policy == "one" else "act"
    line = {
        "base_model": course.base_model,
        "rounds": course.rounds,
        "min_nodes": NODES,
        "state_rank": RANK,
        "seed": cell.seed,
        "training": dict(course.training),
        "continual": {"mode": mode, "policy": policy},
    }
    return CoordinatorConfig.parse({"adapters": {LINE: line}})


def measured(path: Path) -> dict[Cell, dict[str, Any]]:
    """Read the cells that are there."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {Cell(row["stream"], row["policy"], row["seed"]): row for row in rows}


def cells(streams: Iterable[str], policies: Iterable[str], seeds: int) -> list[Cell]:
    """List what is to be measured, seed by seed, so that pairs are complete early."""
    names, rules = list(streams), list(policies)
    return [Cell(s, p, seed) for seed in range(seeds) for s in names for p in rules]


def arguments(
    told: str | None, streams: Iterable[str], policies: Iterable[str], *, seeds: int, results: Path
) -> argparse.Namespace:
    """Read the command line of a benchmark of cells; `told` is its docstring."""
    parser = argparse.ArgumentParser(description=told.splitlines()[0] if told else "")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--streams", default=",".join(streams))
    parser.add_argument("--policies", default=",".join(policies))
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    return parser.parse_args()


def main() -> None:
    """Measure what is missing, then print the tables."""
    torch.set_num_threads(1)
    given = arguments(__doc__, STREAMS, POLICIES, seeds=8, results=RESULTS / "continual.jsonl")
    if not given.tables:
        measure(given)
    from continual_tables import print_tables

    print_tables(measured(given.results))


def measure(given: argparse.Namespace) -> None:
    """Measure what is missing of the sentiment streams."""
    calibrated = thresholds()
    course = sentiment(Ground.load(lambda text: print(text, file=sys.stderr)))
    measure_cells(given, lambda cell: Run(course, cell, calibrated))


def thresholds(name: str = "continual_thresholds.json") -> dict[str, Any]:
    """Read what a calibration found; nothing where there was none."""
    path = RESULTS / name
    return json.loads(path.read_text()) if path.exists() else {}


def measure_cells(given: argparse.Namespace, run_of: Callable[[Cell], Run]) -> None:
    """Measure the cells that are missing, and append each as it ends."""
    done = measured(given.results)
    wanted = cells(given.streams.split(","), given.policies.split(","), given.seeds)
    missing = [cell for cell in wanted if cell not in done]
    given.results.parent.mkdir(parents=True, exist_ok=True)
    for place, cell in enumerate(missing, 1):
        row = run_of(cell).measure()
        with given.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        after = [s for scores in row["scores"][DRIFT:] for s in scores]
        print(f"{place}/{len(missing)} {cell.stream} {cell.policy} {cell.seed}: "
              f"{sum(after) / len(after):.3f}, {row['seconds']} s", file=sys.stderr)  # fmt: skip


if __name__ == "__main__":
    main()
