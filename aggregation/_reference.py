"""What an adapter's users' data look like: means of their summaries, to tell batches apart by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._errors import NothingToAggregateError, SummaryError
from ._summary import Summary
from ._summary_check import MAX_COUNT, MAX_WIDTH, check_fourier, check_products
from ._summary_codec import pack, pack_symmetric, unpack, unpack_symmetric
from ._summary_fields import Fields, refuse
from ._summary_maps import energy_bound
from ._summary_spec import SummarySpec

FORMAT = 1
_NAMES = ("format", "spec", "count", "width", "spread", "fourier", "projected", "products")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Means over rows, in the features of the frozen base model.

    It reveals no more than the summaries that it is made of, averaged: see `Summary`.

    Attributes:
        spec: digest of the `SummarySpec` of its summaries.
        count: rows that it stands for, > 0; not whole where older windows weigh less.
        width: of the features.
        spread: tr(C^2) of the Fourier features' covariance C, in [0, 1].
        fourier: float32 (fourier,), mean Fourier features.
        projected: float32 (projected,), mean projected features.
        products: float32 (projected, projected), symmetric, mean of y y^T of the same.
    """

    spec: str
    count: float
    width: int
    spread: float
    fourier: Tensor
    projected: Tensor
    products: Tensor

    def to_json(self) -> dict[str, Any]:
        """Return the reference as what JSON can say: about 4.5 KB."""
        return {
            "format": FORMAT,
            "spec": self.spec,
            "count": self.count,
            "width": self.width,
            "spread": self.spread,
            "fourier": pack(self.fourier),
            "projected": pack(self.projected),
            "products": pack_symmetric(self.products),
        }

    @classmethod
    def from_json(cls, values: object, spec: SummarySpec) -> Reference:
        """Read what `to_json` wrote; the same bounds hold as for a summary.

        Raises:
            SummaryError: anything else, or of another spec; the message names the field.
        """
        fields = Fields(values, _NAMES)
        fields.integer("format", low=FORMAT, high=FORMAT)
        if fields.text("spec") != spec.digest:
            raise refuse("spec", "of another spec", expected=spec.digest, got=fields.text("spec"))
        found = cls(
            spec=spec.digest,
            count=fields.number("count"),
            width=fields.integer("width", low=1, high=MAX_WIDTH),
            spread=fields.number("spread"),
            fourier=unpack(fields, "fourier", spec.fourier),
            projected=unpack(fields, "projected", spec.projected),
            products=unpack_symmetric(fields, "products", spec.projected),
        )
        if not 0 < found.count <= MAX_COUNT:
            raise refuse("count", "not a number of rows", got=found.count)
        if not 0 <= found.spread <= 1:
            raise refuse("spread", "beyond what unit rows can have", got=found.spread)
        check_fourier(1, found.fourier)
        check_products(1, found.projected, found.products, energy_bound(spec, found.width))
        return found


def has_reference(summary: Summary) -> bool:
    """Say whether a summary has what a reference is made of: features and their Fourier sums."""
    return summary.width > 0 and summary.fourier_sum.numel() > 0


def reference(summary: Summary) -> Reference:
    """Return the means of a summary.

    Raises:
        SummaryError: a summary without features or without Fourier sums.

    Example:
        >>> spec = SummarySpec(7, bandwidth=1.0)
        >>> found = reference(summarise(spec, [0.0] * 40, features=torch.eye(40, 8)))
        >>> found.count, found.width
        (40.0, 8)
    """
    if not has_reference(summary):
        raise SummaryError("a reference needs features and their Fourier sums")
    count = summary.count
    spread = summary.spread_sum / summary.spread_count if summary.spread_count else 0.0
    return Reference(
        spec=summary.spec,
        count=float(count),
        width=summary.width,
        spread=min(1.0, spread),
        fourier=summary.fourier_sum / count,
        projected=summary.projected_sum / count,
        products=summary.projected_products / count,
    )


def blend(references: Iterable[tuple[Reference, float]]) -> Reference:
    """Return the reference of all rows together, each part's rows weighed by a factor > 0.

    count = sum f_k n_k, and every mean is weighted by f_k n_k, in float64.

    Raises:
        NothingToAggregateError: no references.
        SummaryError: two specs or widths, or a factor that is not above 0.

    Example:
        >>> spec = SummarySpec(7, bandwidth=1.0)
        >>> one = reference(summarise(spec, [0.0] * 40, features=torch.eye(40, 8)))
        >>> blend([(one, 0.75), (one, 1.0)]).count
        70.0
    """
    parts = list(references)
    if not parts:
        raise NothingToAggregateError("a blend of no references has no meaning")
    first = parts[0][0]
    for part, factor in parts:
        if (part.spec, part.width) != (first.spec, first.width):
            raise refuse("width", "references of two specs or widths", got=part.width)
        if not factor > 0:
            raise refuse("count", "a factor that is not above 0", got=factor)
    counts = [factor * part.count for part, factor in parts]
    total = sum(counts)

    def mean(values: list[Tensor]) -> Tensor:
        weighed = [v.to(torch.float64) * (n / total) for v, n in zip(values, counts, strict=True)]
        return torch.stack(weighed).sum(dim=0).to(torch.float32)

    pairs = zip(parts, counts, strict=True)
    return Reference(
        spec=first.spec,
        count=total,
        width=first.width,
        spread=sum(part.spread * n for (part, _), n in pairs) / total,
        fourier=mean([part.fourier for part, _ in parts]),
        projected=mean([part.projected for part, _ in parts]),
        products=mean([part.products for part, _ in parts]),
    )
