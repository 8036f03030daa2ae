"""The routing table: the references of several adapters, and by what scale to tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ._errors import SummaryError
from ._linalg import frobenius
from ._reference import Reference
from ._summary_check import MAX_COUNT, MAX_WIDTH
from ._summary_codec import pack, pack_symmetric, unpack, unpack_symmetric
from ._summary_fields import Fields, refuse
from ._summary_spec import SummarySpec

FORMAT = 1
MAX_ENTRIES = 64
MAX_NAME_CHARACTERS = 200
_LEAST = 1e-9

_NAMES = ("format", "spec", "width", "trace", "variance", "covariance", "entries")
_ENTRY = ("count", "fourier", "projected")


@dataclass(frozen=True, slots=True, eq=False)
class RouteEntry:
    """One adapter of a table: how many rows its reference stands for, and their means."""

    count: float
    fourier: Tensor
    projected: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class RouteTable:
    """All that a batch is compared with; about 1.6 KB per adapter, and 3 KB once.

    Attributes:
        spec: of the summaries that the references are made of.
        width: of the features.
        trace: tr C, pooled over the references; C is the Fourier features' covariance.
        variance: tr(C^2) / tr(C), a typical eigenvalue of C: the variance along a direction.
        covariance: float32 (projected, projected), of the projected features within references.
        entries: adapter -> its reference, at least one.
    """

    spec: SummarySpec
    width: int
    trace: float
    variance: float
    covariance: Tensor
    entries: Mapping[str, RouteEntry]

    @classmethod
    def of(cls, spec: SummarySpec, references: Mapping[str, Reference]) -> RouteTable:
        """Make the table of some adapters.

        The covariance is shrunk towards a multiple of the identity by q / (q + n), with q
        projected numbers and n rows, so that it has an inverse however few rows there are.

        Raises:
            SummaryError: no references, too many, another spec or another width.
        """
        if not 1 <= len(references) <= MAX_ENTRIES:
            raise refuse("entries", "a table has 1 to 64", got=len(references))
        found = list(references.values())
        width = found[0].width
        for each in found:
            if each.spec != spec.digest:
                raise refuse("spec", "of another spec", expected=spec.digest, got=each.spec)
            if each.width != width:
                raise refuse("width", "features of two widths", expected=width, got=each.width)
        total = sum(each.count for each in found)
        trace = sum(each.count * (1 - frobenius(each.fourier) ** 2) for each in found) / total
        spread = sum(each.count * each.spread for each in found) / total
        trace = max(_LEAST, trace)
        return cls(
            spec=spec,
            width=width,
            trace=trace,
            variance=max(_LEAST, spread / trace, trace / spec.fourier),
            covariance=_within(found, total),
            entries={
                name: RouteEntry(each.count, each.fourier, each.projected)
                for name, each in references.items()
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return the table as what JSON can say."""
        return {
            "format": FORMAT,
            "spec": self.spec.to_json(),
            "width": self.width,
            "trace": self.trace,
            "variance": self.variance,
            "covariance": pack_symmetric(self.covariance),
            "entries": {
                name: {
                    "count": entry.count,
                    "fourier": pack(entry.fourier),
                    "projected": pack(entry.projected),
                }
                for name, entry in self.entries.items()
            },
        }

    @classmethod
    def from_json(cls, values: object) -> RouteTable:
        """Turn JSON values from outside into a table, or say why not.

        Raises:
            SummaryError: the message names the field.
        """
        fields = Fields(values, _NAMES)
        fields.integer("format", low=FORMAT, high=FORMAT)
        spec = SummarySpec.from_json(fields.value("spec"))
        entries = fields.value("entries")
        if not isinstance(entries, Mapping):
            raise refuse("entries", "not an object", got=type(entries).__name__)
        named = cast("Mapping[object, object]", entries)
        if not 1 <= len(named) <= MAX_ENTRIES:
            raise refuse("entries", "a table has 1 to 64", got=len(named))
        return cls(
            spec=spec,
            width=fields.integer("width", low=1, high=MAX_WIDTH),
            trace=_within_unit(fields, "trace"),
            variance=_within_unit(fields, "variance"),
            covariance=unpack_symmetric(fields, "covariance", spec.projected),
            entries={_name(name): _entry(value, spec) for name, value in named.items()},
        )


def _within(references: list[Reference], total: float) -> Tensor:
    size = references[0].projected.numel()
    pooled = torch.zeros(size, size, dtype=torch.float64)
    for each in references:
        mean = each.projected.to(torch.float64)
        own = each.products.to(torch.float64) - torch.outer(mean, mean)
        pooled += own * (each.count / total)
    share = size / (size + total)
    level = max(_LEAST, float(pooled.trace()) / size)
    shrunk = (1 - share) * pooled + share * level * torch.eye(size, dtype=torch.float64)
    return shrunk.to(torch.float32)


def _within_unit(fields: Fields, name: str) -> float:
    number = fields.number(name)
    if not 0 < number <= 1:
        raise refuse(name, "not in (0, 1]", got=number)
    return number


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise SummaryError("entries: a name of 1 to 200 characters is missing", got=repr(name)[:80])
    return name


def _entry(value: object, spec: SummarySpec) -> RouteEntry:
    fields = Fields(value, _ENTRY)
    count = fields.number("count")
    if not 0 < count <= MAX_COUNT:
        raise refuse("count", "not a number of rows", got=count)
    return RouteEntry(
        count=count,
        fourier=unpack(fields, "fourier", spec.fourier),
        projected=unpack(fields, "projected", spec.projected),
    )
