"""From the counted contributions of a round to the bytes of the next version.

Contributions are read again from the disk, one at a time, in the order of node identities. So the
memory needed does not grow with the number of nodes, and a crash cannot change the result. Where
even the sums of one round are too large, modules are worked on in parts (`partition`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from ..aggregation import (
    Adapter,
    Aggregated,
    Limits,
    Part,
    Weight,
    encode,
    encode_to,
    in_parts,
    normalise,
    profile,
)
from ..store import ContributionRecord, Ledger, Version
from ._config_aggregation import AggregationConfig
from ._errors import CoordinatorError, DataDirError
from ._executors import parts_of, threads, workers
from ._plans import Plan
from ._round_sum import RoundSum, Term
from ._sources import MappedSources, Sources, WholeSources
from ._staleness import discount_of


@dataclass(frozen=True)
class NewVersion:
    """What a commit needs; `metrics` are the round's own numbers. A large one is in a file."""

    data: bytes | BinaryIO
    profile: Mapping[str, Any]
    metrics: Mapping[str, float]

    def close(self) -> None:
        """Give the file back, if there is one."""
        if not isinstance(self.data, bytes):
            self.data.close()


def aggregate(
    ledger: Ledger,
    adapter: str,
    counted: Sequence[str],
    *,
    start_number: int,
    plan: Plan,
    plan_of: Callable[[int], Plan],
    limits: Limits,
    settings: AggregationConfig = AggregationConfig(),  # noqa: B008
    folder: Path | None = None,
) -> NewVersion:
    """Compute the next state from the counted contributions, as the round's method says.

    Args:
        ledger: where contributions and versions are read.
        adapter: the line.
        counted: task keys of the contributions.
        start_number: the version that the round starts from.
        plan: of the round that is committed.
        plan_of: gives the plan of any round, for late contributions.
        limits: of blobs.
        settings: how much is in memory at once, and where the work is done.
        folder: where the file of a large version is written; else the system's temporary one.

    Raises:
        CoordinatorError: a contribution is not on record.
        AdapterError, StoreError: a blob is not an adapter that fits, or damaged.
        EngineError: Ray fails.
        DataDirError: the file of a large version can not be written.
    """
    found = _found(ledger, adapter, counted)
    version = ledger.registry.version(f"{adapter}@{start_number}")
    parts = _parts(version, found, plan, settings)
    sources: Sources = (
        WholeSources(ledger, adapter, limits, kept=start_number)
        if len(parts) == 1
        else MappedSources(ledger, adapter, limits)
    )
    round_sum = _round_sum(found, sources, plan, plan_of, start_number=start_number)
    if len(parts) == 1:
        with threads() as executor:
            return _new_version(round_sum(parts[0], executor), found, start_number, executor)
    round_sum.check_names()
    with workers(settings) as executor:
        result = in_parts(parts, round_sum, executor)
    with threads() as executor:
        write = partial(_in_file, folder=folder)
        return _new_version(result, found, start_number, executor, write)


def _found(ledger: Ledger, adapter: str, counted: Sequence[str]) -> list[ContributionRecord]:
    keys = set(counted)
    waiting = ledger.contributions(adapter, status="accepted", counted=False)
    found = [contribution for contribution in waiting if contribution.task_key in keys]
    if len(found) != len(keys):
        raise CoordinatorError(
            f"{adapter}: {len(keys) - len(found)} contributions that should be counted are not on "
            "record: the registry was changed by someone else; restart the daemon"
        )
    return found


def _round_sum(
    found: Sequence[ContributionRecord],
    sources: Sources,
    plan: Plan,
    plan_of: Callable[[int], Plan],
    *,
    start_number: int,
) -> RoundSum:
    weights = _weights(found, sources, plan, head=start_number)
    terms = [_term(c, weight, sources, plan_of) for c, weight in zip(found, weights, strict=True)]
    return RoundSum(
        sources.version(start_number),
        tuple(terms),
        plan.state_rank,
        method=plan.aggregation,
        step=start_number,
        previous=None if plan.previous is None else sources.version(plan.previous),
        momentum=plan.momentum,
    )


def _parts(
    version: Version,
    found: Sequence[ContributionRecord],
    plan: Plan,
    settings: AggregationConfig,
) -> list[Part]:
    """Split the line's modules so that their sums fit; one part where all do.

    An update's rank is known from its task; a late one brings its start as a term of its own, and
    momentum brings two states.
    """
    late = sum(c.rank for c in found if c.start_number != version.number)
    late += 0 if plan.previous is None else version.rank + plan.state_rank
    return parts_of(
        {module.name: module.shape for module in version.modules},
        {dense.name: dense.shape for dense in version.dense},
        rank=version.rank + late + sum(c.rank for c in found),
        settings=settings,
    )


def _term(
    contribution: ContributionRecord,
    weight: Weight,
    sources: Sources,
    plan_of: Callable[[int], Plan],
) -> Term:
    plan = plan_of(contribution.round)
    return Term(
        sources.version(contribution.start_number),
        plan.cohort[contribution.identity].rank,
        plan.start,
        sources.contribution(contribution.digest),
        weight,
    )


def _new_version(
    result: Aggregated,
    found: Sequence[ContributionRecord],
    start_number: int,
    executor: Executor,
    write: Callable[[Adapter], bytes | BinaryIO] = encode,
) -> NewVersion:
    metrics = {
        "contributions": float(len(found)),
        "late_contributions": float(sum(c.start_number != start_number for c in found)),
        "num_examples": float(sum(c.num_examples for c in found)),
        "discarded": result.error.overall,
    }
    if all("loss" in c.metrics for c in found):
        shares = normalise([c.num_examples for c in found])
        pairs = zip(shares, found, strict=True)
        metrics["train_loss"] = sum(w * c.metrics["loss"] for w, c in pairs)
    described = profile(result.adapter, executor=executor).to_json()
    return NewVersion(write(result.adapter), described, metrics)


def _in_file(adapter: Adapter, folder: Path | None) -> BinaryIO:
    """Encode into a file without a name: it is gone when it is closed, or after a crash.

    Not in the system's temporary folder, which is often in memory and smaller than the version.
    """
    folder = folder if folder is not None and folder.is_dir() else None  # simulations have none
    try:
        with ExitStack() as undo:
            file = undo.enter_context(TemporaryFile(dir=folder))
            encode_to(file, adapter)
            file.seek(0)
            undo.pop_all()
            return cast("BinaryIO", file)
    except OSError as error:
        where = "the temporary folder" if folder is None else folder
        raise DataDirError(
            f"{where}: a new version can not be written there ({error.strerror}): free some space",
            path=where,
        ) from error


def _weights(
    found: Sequence[ContributionRecord], sources: Sources, plan: Plan, *, head: int
) -> list[Weight]:
    """Give each contribution its share: by examples, or by examples per module that has it.

    A late update is discounted after normalisation and nothing is renormalised, so that a discount
    shrinks its own step and leaves the others' alone.
    """
    discount = discount_of(plan.staleness)
    discounts = [discount(max(head - c.start_number, 0)) for c in found]
    if plan.weights == "examples":
        shares = normalise([c.num_examples for c in found])
        return [share * discount for share, discount in zip(shares, discounts, strict=True)]
    names = [sources.contribution(c.digest).names() for c in found]
    weights: list[dict[str, float]] = [{} for _ in found]
    for name in sorted({name for present in names for name in present}):
        having = [i for i, present in enumerate(names) if name in present]
        shares = normalise([found[i].num_examples for i in having])
        for i, share in zip(having, shares, strict=True):
            weights[i][name] = share * discounts[i]
    return list(weights)
