"""What a federation asks its nodes to summarise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import KW_ONLY, dataclass
from typing import Any

from ._errors import ArgumentError, SummaryError
from ._summary_fields import Fields, checked_integer, checked_number, refuse

FORMAT = 1
MAX_CLASSES = 4096
MAX_PROJECTED = 256
MAX_FOURIER = 1024
MAX_MAX_LOSS = 1e6

_NAMES = ("format", "seed", "classes", "projected", "fourier", "bandwidth", "max_loss")


@dataclass(frozen=True, slots=True)
class SummarySpec:
    """What every node of a federation computes over its rows; the same for all, so sums add up.

    The random maps follow from the seed, so whoever knows the spec knows them: they make summaries
    small and comparable, they hide nothing.

    Attributes:
        seed: of the projection and the Fourier frequencies, 0 to 2^63 - 1.
        classes: number of classes, 0 to 4096; 0 where rows have none (a language model).
        projected: numbers a row's features are projected to, 1 to 256.
        fourier: random Fourier features of a row, even, 2 to 1024: half cosines, half sines.
        bandwidth: sigma of the Gaussian kernel exp(-|x - y|^2 / (2 sigma^2)) on unit-length
            features; None asks for no Fourier sums yet: `mean_bandwidth` of the first summaries
            finds a value.
        max_loss: losses are clipped to +-max_loss, in nats per row, so that one row moves a sum by
            no more.

    Raises:
        ArgumentError: a value out of its range.

    Example:
        >>> spec = SummarySpec(7, classes=2)
        >>> SummarySpec.from_json(spec.to_json()) == spec
        True
    """

    seed: int
    _: KW_ONLY
    classes: int = 0
    projected: int = 32
    fourier: int = 256
    bandwidth: float | None = None
    max_loss: float = 10.0

    def __post_init__(self) -> None:
        try:
            self._check()
        except SummaryError as error:
            raise ArgumentError(error.args[0], expected=error.expected, got=error.got) from None

    @property
    def digest(self) -> str:
        """sha-256 of the canonical JSON, 64 hex digits: which summaries may be added."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the spec as what JSON can say."""
        return {
            "format": FORMAT,
            "seed": self.seed,
            "classes": self.classes,
            "projected": self.projected,
            "fourier": self.fourier,
            "bandwidth": self.bandwidth,
            "max_loss": self.max_loss,
        }

    @classmethod
    def from_json(cls, values: object) -> SummarySpec:
        """Read what `to_json` wrote.

        Raises:
            SummaryError: anything else; the message names the field.
        """
        fields = Fields(values, _NAMES)
        fields.integer("format", low=FORMAT, high=FORMAT)
        named: Any = {name: fields.value(name) for name in _NAMES if name != "format"}
        try:
            return cls(named.pop("seed"), **named)
        except ArgumentError as error:
            raise SummaryError(error.args[0], expected=error.expected, got=error.got) from None

    def _check(self) -> None:
        checked_integer("seed", self.seed, low=0, high=2**63 - 1)
        checked_integer("classes", self.classes, low=0, high=MAX_CLASSES)
        checked_integer("projected", self.projected, low=1, high=MAX_PROJECTED)
        checked_integer("fourier", self.fourier, low=2, high=MAX_FOURIER)
        if self.fourier % 2:
            raise refuse("fourier", "not even", got=self.fourier)
        # 10 and 10.0 are one spec, so they must have one digest.
        object.__setattr__(self, "max_loss", _in_range("max_loss", self.max_loss, MAX_MAX_LOSS))
        if self.bandwidth is not None:
            # Distances between unit rows end at 2: beyond this the kernel is flat.
            object.__setattr__(self, "bandwidth", _in_range("bandwidth", self.bandwidth, 1e3))


def _in_range(name: str, value: object, high: float) -> float:
    number = checked_number(name, value)
    if not 1e-6 <= number <= high:
        raise refuse(name, "out of range", expected=f"1e-06 to {high:g}", got=number)
    return number
