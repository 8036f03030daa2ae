"""Rule 6: more rank where it is full and more of it helps, less where most of it is empty."""

from __future__ import annotations

import math

from . import _decide_words as words
from ._decide_budget import Budget
from ._decide_choice import Choice, figures
from ._decide_scene import Scene
from ._policy import AdaptationPolicy
from ._questions import doubled
from ._review import RankEvidence


def ranks(scene: Scene, busy: frozenset[str], budget: Budget) -> list[Choice]:
    """Choose the changes of rank of active members that nothing else is chosen for.

    Args:
        scene: the review under its policy.
        busy: adapters that are expanded or merged in this review.
        budget: what the family may still grow by.
    """
    found: list[Choice] = []
    for rank in scene.review.ranks:
        if rank.adapter in busy or not scene.is_active(rank.adapter):
            continue
        if helps(rank, scene.policy):
            more = doubled(rank.rank, scene.policy)
            size = scene.members[rank.adapter].size_bytes
            grown = budget.with_bytes(math.ceil(size * (more - rank.rank) / rank.rank))
            if not grown.problem and more > rank.rank:
                budget = grown
            found.append(_expand(scene, rank, more, grown))
        elif (less := enough(rank, scene.policy)) is not None:
            found.append(_shrink(rank, less, scene.policy))
    return found


def helps(rank: RankEvidence, policy: AdaptationPolicy) -> bool:
    """Whether the rank is full, the loss flat, and a trial at twice the rank surely better."""
    if rank.gain is None or rank.standard_error is None:
        return False
    full = rank.saturated_share >= policy.rank_saturation
    flat = rank.flat_rounds >= policy.rank_flat_rounds
    sure = rank.gain > policy.rank_confidence * rank.standard_error
    return full and flat and sure and rank.identities >= policy.min_identities


def enough(rank: RankEvidence, policy: AdaptationPolicy) -> int | None:
    """Return a smaller rank that would do, with some headroom; None if there is none."""
    needed = max(rank.energy_rank if rank.elbow is None else rank.elbow, 1)
    flat = rank.flat_rounds >= policy.rank_flat_rounds
    cut = rank.shrink_error is not None and rank.shrink_error <= policy.max_shrink_error
    less = math.ceil(needed * policy.shrink_headroom)
    fits = needed <= policy.shrink_below * rank.rank and less < rank.rank
    return less if flat and cut and fits else None


def _expand(scene: Scene, rank: RankEvidence, more: int, grown: Budget) -> Choice:
    policy = scene.policy
    gain, error = rank.gain or 0.0, rank.standard_error or 0.0
    problem = "it has the greatest rank allowed" if more <= rank.rank else grown.problem
    end = f"but {problem}: it stays" if problem else f"so its rank becomes {more}"
    return Choice(
        kind="keep" if problem else "expand_rank",
        adapter=rank.adapter,
        target=rank.adapter if problem else rank.trial or rank.adapter,
        reason=f"{rank.saturated_share:.0%} of the modules of {rank.adapter} fill its rank "
        f"{rank.rank} (threshold {policy.rank_saturation:.0%}), its loss is flat for "
        f"{rank.flat_rounds} rounds and twice the rank gains {words.nats(gain)} nats "
        f"(standard error {words.nats(error)}), {end}.",
        numbers=figures(
            rank=rank.rank,
            new_rank=rank.rank if problem else more,
            saturated_share=rank.saturated_share,
            rank_saturation=policy.rank_saturation,
            flat_rounds=rank.flat_rounds,
            gain=gain,
            standard_error=error,
            nodes=rank.identities,
            version=None if rank.trial is None else scene.members[rank.adapter].version,
        ),
    )


def _shrink(rank: RankEvidence, less: int, policy: AdaptationPolicy) -> Choice:
    by = "99 % of its energy" if rank.elbow is None else "the gap in its spectrum"
    needed = rank.energy_rank if rank.elbow is None else rank.elbow
    return Choice(
        kind="shrink_rank",
        adapter=rank.adapter,
        target=rank.adapter,
        reason=f"{rank.adapter} uses {needed} of its rank {rank.rank}, by {by}, a cut there costs "
        f"{rank.shrink_error or 0.0:.2g} of its norm (at most {policy.max_shrink_error:g}) and its "
        f"loss is flat for {rank.flat_rounds} rounds: its rank becomes {less}.",
        numbers=figures(
            rank=rank.rank,
            new_rank=less,
            needed_rank=needed,
            shrink_error=rank.shrink_error,
            max_shrink_error=policy.max_shrink_error,
            flat_rounds=rank.flat_rounds,
        ),
    )
