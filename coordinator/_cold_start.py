"""What a new line starts from, if not from nothing: another line's version, or the inventory.

The inventory is what the lines in service on the same base model have learnt so far: the exact
weighted average of their stable versions, cut to the state's rank. Its idea is MHR-mu's (start a
new task from the average of what is there).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from ..aggregation import (
    Adapter,
    Factors,
    Limits,
    decode,
    empty,
    initial_dense,
    normalise,
    spectral,
    stack,
)
from ..store import Conflict, NotFound, Parent, Registry, StoreError, Version
from ._base import Base, Disagreement
from ._config import INVENTORY, AdapterConfig
from ._plans import STABLE


@dataclass(frozen=True)
class ColdStart:
    """The state of version 0, what it was made from, and the relative error of the cut."""

    adapter: Adapter
    parents: tuple[Parent, ...] = ()
    discarded: float = 0.0


def cold_start(
    registry: Registry, name: str, config: AdapterConfig, base: Base, *, limits: Limits
) -> ColdStart | Disagreement:
    """Make the first state of a line, as its `start_from` says.

    Modules that no source has begin empty, dense tensors that none has in the same shape begin with
    their seeded values; so an inventory without any version is the ordinary start.

    Returns:
        The state, or why there is none: the version that the configuration names is not there, is
        on another base model, or has no module in common.
    """
    wanted = config.start_from
    if wanted is None:
        return ColdStart(_filled({}, {}, config, base))
    if wanted == INVENTORY:
        return _averaged(registry, _inventory(registry, name, config, base), config, base, limits)
    where = f"adapters.{name}.start_from"
    try:
        version = registry.version(wanted)
    except NotFound:
        return Disagreement(
            f"{where} is {wanted!r}, and the registry has no such version: correct the key, or "
            "publish it"
        )
    if version.base_model != config.base_model:
        return Disagreement(
            f"{where} is {wanted!r}, which is on base model {version.base_model!r}, not on "
            f"{config.base_model!r}: choose a version on the same one"
        )
    if not _common(version, base):
        return Disagreement(
            f"{where} is {wanted!r}, which adapts none of the modules that the nodes adapt: choose "
            "another version, or set target_modules"
        )
    try:
        return _averaged(registry, [version], config, base, limits)
    except Conflict as error:  # its bytes were let go of
        return Disagreement(f"{where} is {wanted!r}: {error}; choose a version that has its bytes")


def _inventory(registry: Registry, name: str, config: AdapterConfig, base: Base) -> list[Version]:
    """Return the stable versions of the lines in service that have learnt these modules."""
    away = {
        member.adapter
        for family in registry.families()
        for member in registry.members(family.root)
        if member.state == "archived"
    }
    found: list[Version] = []
    for line in registry.adapters():
        if line.name == name or line.name in away or line.retired:
            continue
        if line.base_model != config.base_model or "role" in line.tags:  # trials of whatever kind
            continue
        try:
            version = registry.version(f"{line.name}@{STABLE}")
        except StoreError:  # it has none
            continue
        shapes = {module.name: module.shape for module in version.modules}
        if version.rank and shapes == dict(base.modules):
            found.append(version)
    return found


def _averaged(
    registry: Registry, versions: list[Version], config: AdapterConfig, base: Base, limits: Limits
) -> ColdStart:
    """Average versions by the examples that their last rounds counted, and cut to the rank.

    One version alone that needs no cut is taken as it is.
    """
    if not versions:
        return ColdStart(_filled({}, {}, config, base))
    weights = normalise([max(v.metrics.get("num_examples", 1.0), 1.0) for v in versions])
    dense: dict[str, tuple[Tensor, float]] = {}

    def states() -> Iterator[tuple[Adapter, float]]:
        for version, weight in zip(versions, weights, strict=True):
            state = decode(bytearray(registry.read(version.ref)), limits)
            for key, value in state.dense.items():
                if base.dense.get(key) == tuple(value.shape):
                    total, share = dense.get(key, (0.0 * value, 0.0))
                    dense[key] = (total + weight * value, share + weight)
            yield Adapter({key: state.factors[key] for key in _common(version, base)}), weight

    rank = config.state_rank or max(version.rank for version in versions)
    whole, error = stack(states()), 0.0
    if len(versions) > 1 or versions[0].rank > rank:
        cut = spectral(whole, max(rank, 1))
        whole, error = cut.adapter, cut.error.overall
    parents = tuple(
        Parent(adapter=v.adapter, number=v.number, weight=weight, role="source")
        for v, weight in zip(versions, weights, strict=True)
    )
    shared = {key: total / share for key, (total, share) in dense.items()}
    return ColdStart(_filled(whole.factors, shared, config, base), parents, error)


def _common(version: Version, base: Base) -> list[str]:
    """Return the modules of a version that this line has in the same shape."""
    return [m.name for m in version.modules if base.modules.get(m.name) == tuple(m.shape)]


def _filled(
    factors: Mapping[str, Factors], dense: Mapping[str, Tensor], config: AdapterConfig, base: Base
) -> Adapter:
    """Return a state of the whole base: what is not given is empty, or has its seeded value."""
    first = empty(base.modules, initial_dense(base.dense, config.seed))
    return Adapter({**first.factors, **factors}, {**first.dense, **dense})
