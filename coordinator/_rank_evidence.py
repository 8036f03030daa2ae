"""What a review knows of the members' ranks: spectra, progress, and what nodes say of a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from ..aggregation import Limits, Paired, decode, rank_use, spectrum
from ..store import AdaptationPolicy, Ledger, RankEvidence, Review, Version, is_held
from ._families import Family
from ._line_table import Lines
from ._rank_memory import RankMemory

Judged = Mapping[str, tuple[Version, Sequence[Paired]]]
"""Member -> its trial, and how each of its nodes compared it with the member's own version."""


def progress(review: Review, policy: AdaptationPolicy) -> Mapping[str, bool]:
    """Say of each member with a new version whether that is surely better than the stable one.

    By more than one standard error, over its nodes with one vote each. A version that is held says
    nothing of what its rank could still learn: it is left out.
    """
    return {
        gate.adapter: -gate.loss_change > gate.standard_error
        for gate in review.gates
        if gate.loss_change is not None
        and gate.standard_error is not None
        and not is_held(gate, policy)
    }


def flat_rounds(memory: RankMemory, *, is_better: bool | None) -> int:
    """Return the reviews in a row without progress; one in which nobody compared counts nothing."""
    if is_better is None:
        return memory.flat
    return 0 if is_better else memory.flat + 1


def ranks_of(
    family: Family,
    lines: Lines,
    review: Review,
    judged: Judged,
    *,
    ledger: Ledger,
    limits: Limits,
) -> tuple[RankEvidence, ...]:
    """Describe the ranks that are worth a choice: where the loss is flat, or a trial was judged."""
    better = progress(review, family.policy)
    found: list[RankEvidence] = []
    for name in family.active:
        head, memory = lines[name].head, family.members[name][1].ranks
        flat = flat_rounds(memory, is_better=better.get(name))
        is_flat = name in better and flat >= family.policy.rank_flat_rounds
        if head is None or _rests(family, memory) or not (is_flat or name in judged):
            continue
        budget = lines[name].rank_budget
        use = rank_use(
            spectra_of(ledger, head, limits),
            budget,
            shapes={module.name: module.shape for module in head.modules},
            max_error=family.policy.max_shrink_error,
        )
        trial = memory.trial if name in judged else None
        found.append(
            RankEvidence(
                adapter=name,
                rank=budget,
                saturated_share=use.saturated_share,
                flat_rounds=flat if trial is None else trial.flat,
                trainable=_trainable(family, ledger, name),
                tried=memory.tried,
                elbow=use.elbow,
                energy_rank=use.energy_rank,
                shrink_error=use.cut_error,
                **judgement(judged.get(name)),
            )
        )
    return tuple(found)


def _rests(family: Family, memory: RankMemory) -> bool:
    """Say whether a change of its rank was undone not long ago: it is not made again at once."""
    undone = memory.undone
    return undone is not None and family.reviews - undone < family.policy.rank_every


def spectra_of(ledger: Ledger, version: Version, limits: Limits) -> Mapping[str, Sequence[float]]:
    """Return a version's singular values by module: as recorded, or else from its bytes."""
    described = version.profile or ledger.registry.version(version.ref).profile
    if described is not None:
        modules = described["modules"]
        return {name: [float(s) for s in module["spectrum"]] for name, module in modules.items()}
    state = decode(bytearray(ledger.registry.read(version.ref)), limits)
    return {name: [float(s) for s in values] for name, values in spectrum(state).items()}


def _trainable(family: Family, ledger: Ledger, member: str) -> int | None:
    """Return the largest rank that one of a member's nodes can train; None: not known.

    Of the nodes that brought a window lately, by the records: not of those that are there just now.
    """
    ranks = [
        int(node.card.get("max_rank", 0))
        for node in ledger.registry.nodes()
        if family.has(node.identity, member) and node.status != "refused"
    ]
    return max(ranks, default=0) or None


def judgement(found: tuple[Version, Sequence[Paired]] | None) -> dict[str, Any]:
    """Average what nodes say of a trial; each has the same weight, whatever number of rows it has.

    The node that gains most is left out, so that none alone, whatever it claims, can pass for all.
    The error is the larger of what the rows and what the differences between the nodes say.
    """
    if found is None:
        return {}
    trial, pairs = found
    if not pairs:
        return {"trial": trial.ref}
    counted = sorted(pairs, key=lambda pair: pair.mean)[: max(len(pairs) - 1, 1)]
    means, count = [pair.mean for pair in counted], len(counted)
    within = math.hypot(*(pair.standard_error for pair in counted)) / count
    between = stdev(means) / math.sqrt(count) if count > 1 else 0.0
    return {
        "trial": trial.ref,
        "gain": fmean(means),
        "standard_error": max(within, between),
        "identities": len(pairs),
    }
