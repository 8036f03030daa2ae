"""How much of a rank budget an adapter uses, from the singular values of its deltas alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._errors import ArgumentError
from ._ranks import check_rank

ENERGY = 0.99
"""Share of the squared singular values that the rank in use holds."""

FULL = 0.9
"""Share of the budget from which on a module counts as full."""

GAP = 2.0
"""Factor between two neighbouring singular values that makes an elbow."""


@dataclass(frozen=True, slots=True)
class RankUse:
    """What the spectra of an adapter say of its rank budget.

    Attributes:
        saturated_share: share of the modules that need 0.9 of the budget or more for 99 % of their
            energy, and whose shape has room for more. 0.0 without modules.
        energy_rank: rank at 99 % energy, the largest over the modules; 0 for zero deltas.
        elbow: the same with the first gap of each module in place of its 99 %, where it has a gap
            that may be cut at; None where no module has.
        cut_error: ||delta - cut|| / ||delta|| over all modules, in the Frobenius norm, of a cut of
            every module at the elbow, or at `energy_rank` without one (Eckart and Young, 1936).
    """

    saturated_share: float
    energy_rank: int
    elbow: int | None
    cut_error: float


def rank_use(
    spectra: Mapping[str, Sequence[float]],
    budget: int,
    *,
    shapes: Mapping[str, tuple[int, int]],
    max_error: float,
) -> RankUse:
    """Say how much of a rank budget is in use.

    A gap is a rank r with s_r >= 2 s_{r+1}. It counts as an elbow where it asks for no more than
    99 % of the energy do, and where its cut leaves out at most `max_error` of the module: the
    first of all gaps often parts one strong direction from all that was learnt besides.

    Args:
        spectra: singular values by module, descending, as `profile` and `spectrum` give them.
        budget: the rank cap of every module, at least 1.
        shapes: (d_out, d_in) of each module.
        max_error: greatest relative Frobenius error of a cut at a gap, in [0, 1].

    Raises:
        ArgumentError: a budget below 1, a `max_error` out of range, a module without a shape, or
            values that are negative or not finite.

    Example:
        >>> use = rank_use({"q": [4.0, 3.0, 0.01]}, 3, shapes={"q": (8, 8)}, max_error=0.1)
        >>> use.saturated_share, use.energy_rank, use.elbow, round(use.cut_error, 3)
        (0.0, 2, 2, 0.002)
    """
    if check_rank(budget) < 1:
        raise ArgumentError("a rank budget is at least 1", got=budget)
    if not 0 <= max_error <= 1:
        raise ArgumentError("an error is a share of the norm, in [0, 1]", got=max_error)
    if not spectra:
        return RankUse(0.0, 0, None, 0.0)
    modules = {name: _Spectrum(name, values) for name, values in spectra.items()}
    full = 0
    for name, module in modules.items():
        if name not in shapes:
            raise ArgumentError("a module without a shape", module=name)
        full += min(shapes[name]) > budget and module.energy_rank >= FULL * budget
    elbows = {name: module.elbow(max_error) for name, module in modules.items()}
    needed = [elbows[name] or module.energy_rank for name, module in modules.items()]
    elbow = max(needed) if any(elbows.values()) else None
    energy_rank = max(module.energy_rank for module in modules.values())
    cut = energy_rank if elbow is None else elbow
    total = math.fsum(module.total for module in modules.values())
    lost = math.fsum(module.tail(cut) for module in modules.values())
    error = math.sqrt(lost / total) if total > 0 else 0.0
    return RankUse(full / len(modules), energy_rank, elbow, error)


class _Spectrum:
    """One module's singular values, and the energy beyond each rank."""

    def __init__(self, name: str, values: Sequence[float]) -> None:
        if not all(math.isfinite(value) and value >= 0 for value in values):
            raise ArgumentError("singular values are finite and not negative", module=name)
        self._values = values
        self._tails = [math.fsum(s * s for s in values[r:]) for r in range(len(values) + 1)]

    @property
    def total(self) -> float:
        return self._tails[0]

    @property
    def energy_rank(self) -> int:
        """The smallest rank that leaves out at most 1 % of the energy."""
        return next(r for r, tail in enumerate(self._tails) if tail <= (1 - ENERGY) * self.total)

    def tail(self, rank: int) -> float:
        """Return the energy beyond a rank."""
        return self._tails[min(rank, len(self._values))]

    def elbow(self, max_error: float) -> int | None:
        """Return the first gap that may be cut at, None without one."""
        for r in range(1, min(self.energy_rank + 1, len(self._values))):
            small = self.tail(r) <= max_error**2 * self.total
            if small and self._values[r - 1] >= GAP * self._values[r]:
                return r
        return None
