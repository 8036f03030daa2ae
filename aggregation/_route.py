"""Which adapter fits a batch: nearest reference first, then row by row, without any training.

Everything happens in one space, in which a reference's rows spread about alike in every direction:

    z(x) = [ phi(x) / sqrt(v),  W^(-1/2) y(x) ] / sqrt(2)

with phi the Fourier features and v their typical variance, y the projected features and W their
covariance within references. So -|z(x) - z_c|^2 / 2 is the mean of two log-likelihoods of row x
under adapter c, both Gaussian with one covariance for all. The mean and not the sum: they speak of
the same features. Measured on real sentences (`benchmarks/routing.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ._errors import ArgumentError, NotFiniteError, ShapeError
from ._linalg import eigh, is_finite, numbers
from ._mixture_weights import closest_mixture, likeliest_mixture
from ._route_table import RouteTable
from ._summary import Summary
from ._summary_fields import refuse
from ._summary_maps import fourier_features, project, unit_rows

CLEAR_ODDS = 19.0
"""A clear answer is so many times likelier than the next one: 95 %."""

CLEAR_SHARE = 2 / 3
"""Of a batch that is less pure than this, no adapter is the clear answer: a mixture is."""

TELLABLE = 1.0
"""Least squared distance of two references in z whose rows can be told apart: one sigma."""

_CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Routing:
    """Which adapters fit a batch.

    Attributes:
        adapter: the one with the largest share.
        is_clear: no other adapter comes into question: none has a reference like its own, it has
            at least two thirds of the batch, and the batch is at least 19 times likelier as rows of
            its users than of any other's.
        shares: adapter -> its share of the batch, largest first; they sum to 1.
        distances: adapter -> squared distance in z from the batch's mean to its reference, less
            what chance adds: about 0 or below where it fits.
        ties: the adapters that cannot be told from `adapter` by their inputs, as where labels
            contradict each other on the same inputs. They have no share: it is `adapter`'s.
        rows: adapter of each row; () where only a summary was at hand.
    """

    adapter: str
    is_clear: bool
    shares: Mapping[str, float]
    distances: Mapping[str, float]
    ties: tuple[str, ...]
    rows: tuple[str, ...]


def route(batch: Summary | Tensor, table: RouteTable, *, own: str | None = None) -> Routing:
    """Say which adapters fit a batch, and in which proportions.

    First look: the squared distance between the batch's mean and each reference. Second look, where
    rows are at hand: the mixture of references under which the rows are likeliest (EM), which tells
    a mixed batch from a pure one, and each row's own adapter given that mixture. Of a summary: the
    mixture whose mean is closest to the batch's (least squares on the simplex).

    References whose rows cannot be told apart are one to the second look, and their share goes to
    one of them: to `own` if it is among them, else to the one with most rows.

    Args:
        batch: features (n, width) of the frozen base model, n >= 1, any floating dtype; or a
            summary of them.
        table: the references.
        own: the adapter in use, preferred where the batch cannot tell; may be unknown to the table.

    Raises:
        ArgumentError: no rows, or not a floating tensor.
        ShapeError: features of another width, or not two axes.
        NotFiniteError: NaN or infinity in the features.
        SummaryError: a summary of another spec or width, or without Fourier sums.
        NumericalError: as `spectral`.

    Example:
        >>> spec = SummarySpec(7, bandwidth=1.0)
        >>> one, two = torch.eye(40, 48), torch.eye(40, 48)
        >>> one[:, 46], two[:, 47] = 3.0, 3.0
        >>> table = RouteTable.of(spec, {
        ...     name: reference(summarise(spec, [0.0] * 40, features=rows))
        ...     for name, rows in (("a", one), ("b", two))})
        >>> found = route(torch.cat([one[:30], two[:10]]), table)
        >>> found.adapter, round(found.shares["a"], 2), found.rows[0], found.rows[39]
        ('a', 0.75, 'a', 'b')
    """
    space = _Space(table)
    names = list(table.entries)
    groups = space.groups()
    picked = [_pick(group, names, table, own) for group in groups]
    centres = torch.stack([space.centre(group) for group in groups])
    if isinstance(batch, Summary):
        mean, count = space.of_summary(batch), batch.count
        weights, choices = closest_mixture(mean, centres), None
    else:
        rows = _checked(batch, table.width)
        found, mean = space.likelihoods(rows, centres)
        count = rows.shape[0]
        weights, choices = likeliest_mixture(found)
    return _answer(table, space, groups, picked, (weights, choices), (mean, count))


class _Space:
    """The space of z: references as points, and what is needed to bring a batch there."""

    def __init__(self, table: RouteTable) -> None:
        self._spec = table.spec
        self._width = table.width
        values, vectors = eigh(table.covariance.to(torch.float64))
        # What float32 took from a covariance that is nearly singular must not be divided by.
        floor = max(1e-12, float(values[-1]) * 1e-6)
        self._whitener = vectors / values.clamp_min(floor).sqrt() / math.sqrt(2.0)
        self._scale = 1.0 / math.sqrt(2.0 * table.variance)
        entries = list(table.entries.values())
        fourier = torch.stack([entry.fourier for entry in entries]).to(torch.float64)
        projected = torch.stack([entry.projected for entry in entries]).to(torch.float64)
        self.points = self._joined(fourier, projected)
        self.counts = [entry.count for entry in entries]
        size = table.covariance.shape[0]
        self.spread = (table.trace / table.variance + size) / 2
        self._noise = 1.5 * math.sqrt(2.0 * size)

    def _joined(self, fourier: Tensor, projected: Tensor) -> Tensor:
        return torch.cat([fourier * self._scale, projected @ self._whitener], dim=-1)

    def of_summary(self, summary: Summary) -> Tensor:
        """Return the mean of z over a summary's rows."""
        if summary.spec != self._spec.digest:
            expected = self._spec.digest
            raise refuse("spec", "of another spec", expected=expected, got=summary.spec)
        if summary.width != self._width:
            expected = self._width
            raise refuse("width", "features of two widths", expected=expected, got=summary.width)
        if not summary.fourier_sum.numel():
            raise refuse("fourier_sum", "missing")
        fourier = summary.fourier_sum.to(torch.float64) / summary.count
        projected = summary.projected_sum.to(torch.float64) / summary.count
        return self._joined(fourier, projected)

    def likelihoods(self, features: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return -|z(x) - z_c|^2 / 2 for each row and centre, and the mean of z over the rows.

        What all centres of a row have in common is left out.
        """
        bandwidth = self._spec.bandwidth or 1.0
        offsets = (centres * centres).sum(dim=1) / 2
        parts: list[Tensor] = []
        total = torch.zeros(centres.shape[1], dtype=torch.float64)
        for begin in range(0, features.shape[0], _CHUNK_ROWS):
            rows = unit_rows(features[begin : begin + _CHUNK_ROWS])
            phases = fourier_features(self._spec, bandwidth, rows)
            z = self._joined(phases, project(self._spec, rows))
            parts.append(z @ centres.T - offsets)
            total += z.sum(dim=0)
        return torch.cat(parts), total / features.shape[0]

    def groups(self) -> list[list[int]]:
        """Part the references so that those of two parts can be told apart; indices, in order."""
        size = len(self.counts)
        group = list(range(size))
        for i in range(size):
            for j in range(i):
                if group[i] != group[j] and not self._can_tell(i, j):
                    old, new = group[i], group[j]
                    group = [new if found == old else found for found in group]
        return [[i for i in range(size) if group[i] == name] for name in sorted(set(group))]

    def _can_tell(self, i: int, j: int) -> bool:
        share = 1 / self.counts[i] + 1 / self.counts[j]
        gap = self.points[i] - self.points[j]
        return float(gap @ gap) - self.spread * share > TELLABLE + self._noise * share

    def centre(self, group: list[int]) -> Tensor:
        """Return the mean of some references, by their rows."""
        counts = torch.tensor([self.counts[i] for i in group], dtype=torch.float64)
        return (counts / counts.sum()) @ self.points[group]


def _checked(features: Tensor, width: int) -> Tensor:
    if not isinstance(features, Tensor) or not features.is_floating_point():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            "a batch is a floating tensor or a summary", got=type(features).__name__
        )
    if features.dim() != 2 or features.shape[1] != width:
        raise ShapeError(
            "features are (rows, width), the references' width",
            expected=width,
            got=tuple(features.shape),
        )
    if not features.shape[0]:
        raise ArgumentError("a batch has at least one row", got=0)
    if not is_finite(features):
        raise NotFiniteError("the features hold NaN or infinity")
    return features


def _pick(group: list[int], names: list[str], table: RouteTable, own: str | None) -> str:
    """Name the one that answers for a group: the one in use, else the one with most rows."""
    members = [names[i] for i in group]
    if own in members:
        return own
    return max(members, key=lambda name: table.entries[name].count)


def _answer(
    table: RouteTable,
    space: _Space,
    groups: list[list[int]],
    picked: list[str],
    mixture: tuple[Tensor, Tensor | None],
    batch: tuple[Tensor, int],
) -> Routing:
    names = list(table.entries)
    (weights, choices), (mean, count) = mixture, batch
    gaps = ((mean - space.points) ** 2).sum(dim=1)
    noise = [space.spread * (1 / count + 1 / own) for own in space.counts]
    shares = dict.fromkeys(names, 0.0) | dict(zip(picked, numbers(weights), strict=True))
    order = sorted(names, key=lambda name: -shares[name])  # stable: of two alike, the first
    best = picked.index(order[0])
    others = [g for index, g in enumerate(groups) if index != best]
    nearest = ((mean - space.centre(groups[best])) ** 2).sum()
    rivals = [((mean - space.centre(g)) ** 2).sum() for g in others]
    odds = min((count * float(r - nearest) / 2 for r in rivals), default=math.inf)
    ties = tuple(names[i] for i in groups[best] if names[i] != picked[best])
    return Routing(
        adapter=picked[best],
        is_clear=not ties and shares[picked[best]] >= CLEAR_SHARE and odds >= math.log(CLEAR_ODDS),
        shares={name: shares[name] for name in order},
        distances={n: float(g) - e for n, g, e in zip(names, gaps, noise, strict=True)},
        ties=ties,
        rows=() if choices is None else tuple(picked[int(c)] for c in choices),
    )
