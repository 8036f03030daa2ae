"""Which adapter fits a batch: first look against second look, on real sentences.

    python benchmarks/routing.py --json benchmarks/results/routing.json     # about a minute

Four domains of sentiment in MiniLM's frozen features (those of `continual_states.py`), an adapter
each. A domain's reference is a blend of summaries of windows of 80 rows, as nodes send them;
batches are other rows. Measured over the seeds:

- pure batches of 1, 8 and 32 rows: how often the first look (the nearest reference) and the second
  look (EM over rows; least squares of the sums where there is only a summary) name the right
  domain, how large a share it gets, how often the answer is called clear, and is then right;
- batches mixed of two domains, 25 to 75 and 50 to 50: the error of the shares (total variation),
  and how many rows get their own domain;
- two references of one domain: how often they are a tie, as they should.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch
from continual_data import WINDOW
from continual_states import Ground
from polyrank.aggregation import (
    Reference,
    RouteTable,
    SummarySpec,
    blend,
    mean_bandwidth,
    reference,
    route,
    summarise,
)
from torch import Tensor

SEEDS = range(5)
SIZES = (1, 8, 32)
MIXED_SIZES = (32, 128)
SHARES = (0.25, 0.5)
BATCHES = 40
WINDOWS = 12
"""Of a reference: three nodes, four reviews."""

Found = dict[str, list[float]]


class Scene:
    """One seed: the domains' rows dealt into references and batches."""

    def __init__(
        self, rows_of: Mapping[str, Sequence[int]], features: Callable[[Sequence[int]], Tensor],
        seed: int,
    ) -> None:  # fmt: skip
        self.draw = random.Random(f"routing {seed}")
        self.features = features
        self.left = {d: self.draw.sample(list(rows), len(rows)) for d, rows in rows_of.items()}
        first = self._windows("movies", 1)[0]
        plain = SummarySpec(seed)
        bandwidth = mean_bandwidth(summarise(plain, [0.0] * WINDOW, features=features(first)))
        self.spec = SummarySpec(seed, bandwidth=bandwidth)
        self.references = {domain: self.reference(domain, WINDOWS) for domain in self.left}
        self.table = RouteTable.of(self.spec, self.references)

    def _windows(self, domain: str, count: int) -> list[list[int]]:
        dealt = [self.left[domain].pop() for _ in range(count * WINDOW)]
        return [dealt[i : i + WINDOW] for i in range(0, len(dealt), WINDOW)]

    def reference(self, domain: str, windows: int) -> Reference:
        """Blend the summaries of so many windows, which no batch has a row of."""
        parts = [
            summarise(self.spec, [0.0] * WINDOW, features=self.features(ids))
            for ids in self._windows(domain, windows)
        ]
        return blend((reference(part), 1.0) for part in parts)

    def batch(self, domain: str, count: int) -> Tensor:
        """Draw features of some of a domain's other rows."""
        return self.features(self.draw.sample(self.left[domain], count))


def pure(scene: Scene, count: int, found: Found) -> None:
    """Route batches of one domain."""
    for domain in scene.left:
        for _ in range(BATCHES):
            rows = scene.batch(domain, count)
            second = route(rows, scene.table)
            sums = route(summarise(scene.spec, [0.0] * count, features=rows), scene.table)
            nearest = min(second.distances, key=lambda name: second.distances[name])
            found["first look"].append(nearest == domain)
            found["second look"].append(second.adapter == domain)
            found["of a summary"].append(sums.adapter == domain)
            found["share"].append(second.shares[domain])
            found["clear"].append(second.is_clear)
            if second.is_clear:
                found["right if clear"].append(second.adapter == domain)


def mixed(scene: Scene, count: int, share: float, found: Found) -> None:
    """Route batches of two domains."""
    for _ in range(2 * BATCHES):
        one, two = scene.draw.sample(sorted(scene.left), 2)
        few = round(count * share)
        rows = torch.cat([scene.batch(one, few), scene.batch(two, count - few)])
        truth = {one: share, two: 1 - share}
        labels = [one] * few + [two] * (count - few)
        second = route(rows, scene.table)
        sums = route(summarise(scene.spec, [0.0] * count, features=rows), scene.table)
        alone = [route(row[None], scene.table).adapter for row in rows[:: count // 16]]
        found["error of shares"].append(_distance(second.shares, truth))
        found["of a summary"].append(_distance(sums.shares, truth))
        found["rows, each alone"].append(_right(alone, labels[:: count // 16]))
        found["rows, second look"].append(_right(second.rows, labels))


def tied(scene: Scene, found: Found) -> None:
    """Compare two references of one domain, with windows of their own."""
    for domain in scene.left:
        for windows in (1, 3):
            pair = {name: scene.reference(domain, windows) for name in ("a", "b")}
            table = RouteTable.of(scene.spec, {**scene.references, **pair})
            answer = route(scene.batch(domain, 32), table, own="a")
            found[f"{windows} windows"].append({"b", domain} <= {*answer.ties, answer.adapter})


def _distance(shares: Mapping[str, float], truth: Mapping[str, float]) -> float:
    return sum(abs(value - truth.get(name, 0.0)) for name, value in shares.items()) / 2


def _right(found: Iterable[str], truth: Iterable[str]) -> float:
    return fmean(float(a == b) for a, b in zip(found, truth, strict=True))


def measure(ground: Ground, seeds: Iterable[int]) -> dict[str, dict[str, float]]:
    """Return the means over all seeds, by the kind of batch."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, domain in enumerate(ground.pool.domains):
        rows_of[domain].append(row)
    found: dict[str, Found] = defaultdict(lambda: defaultdict(list))
    for seed in seeds:
        scene = Scene(rows_of, ground.features, seed)
        for count in SIZES:
            pure(scene, count, found[f"pure, {count} rows"])
        for count in MIXED_SIZES:
            for share in SHARES:
                mixed(scene, count, share, found[f"mixed {share:.0%}, {count} rows"])
        tied(scene, found["ties of one domain"])
        print(f"seed {seed} done", file=sys.stderr)
    return {
        kind: {name: round(fmean(values), 4) for name, values in group.items()}
        for kind, group in found.items()
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description="routing on real sentences")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ground = Ground.load(lambda text: print(text, file=sys.stderr))
    result = measure(ground, range(given.seeds))
    for kind, values in result.items():
        print(kind)
        for name, value in values.items():
            print(f"    {name:<20}{value:6.3f}")
    if given.json is not None:
        text = {"command": "python benchmarks/routing.py", "seeds": given.seeds, "results": result}
        given.json.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
