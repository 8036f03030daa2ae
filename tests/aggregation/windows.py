"""Synthetic windows for drift tests: a mixture of clusters with a falling spectrum, and losses."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from polyrank.aggregation import Summary, SummarySpec, mean_bandwidth, summarise
from torch import Tensor

WIDTH = 48


@dataclass(frozen=True)
class Source:
    """Where rows come from: 5 clusters about `centres`, within them variances 1, 1/2, 1/3, ..."""

    centres: Tensor
    shares: tuple[float, ...] = (0.2,) * 5

    def rows(self, count: int, generator: torch.Generator) -> Tensor:
        shares = torch.tensor(self.shares, dtype=torch.float64)
        kinds = torch.multinomial(shares, count, replacement=True, generator=generator)
        noise = torch.randn(count, WIDTH, generator=generator, dtype=torch.float64)
        return self.centres[kinds] + noise / torch.arange(1, WIDTH + 1).sqrt()


def source(seed: int, spread: float = 1.5) -> Source:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(5, WIDTH, generator=generator, dtype=torch.float64)
    return Source(spread * centres / torch.arange(1, WIDTH + 1).sqrt())


def moved(old: Source, share: float) -> Source:
    """The same source, with `share` of its rows in two clusters that were not there before."""
    new = source(977).centres[:2]
    scale = (1 - share) / sum(old.shares[2:])
    shares = (share / 2, share / 2, *(value * scale for value in old.shares[2:]))
    return Source(torch.cat([new, old.centres[2:]]), shares)


def window(spec: SummarySpec, rows: Tensor, losses: Tensor | None = None, **more: Any) -> Summary:
    values = torch.zeros(rows.shape[0]) if losses is None else losses
    return summarise(spec, values, features=rows, **more)


def spec_for(rows: Tensor, **more: Any) -> SummarySpec:
    """A spec whose bandwidth suits the rows, as a federation would set it."""
    spec = SummarySpec(5, **more)
    return SummarySpec(5, bandwidth=mean_bandwidth(window(replace(spec, classes=0), rows)), **more)


def skewed_losses(count: int, generator: torch.Generator, margin: float = 2.0) -> Tensor:
    """Losses as a classifier's: many small, few large."""
    scores = margin + 2 * torch.randn(count, generator=generator, dtype=torch.float64)
    return torch.nn.functional.softplus(-scores)


def binomial_limit(trials: int, rate: float) -> int:
    """So many hits that a true rate of `rate` passes them with probability under 1 in 1,000."""
    return math.ceil(trials * rate + 3.3 * math.sqrt(trials * rate * (1 - rate)))
