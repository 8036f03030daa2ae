"""From one window to evidence: the drift tests of one node in one review. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..aggregation import (
    DriftSigns,
    Novelty,
    Paired,
    Prior,
    Rise,
    Summary,
    balanced_accuracy,
    loss_rise,
    novelty,
    prior_shift,
    uninformed_loss,
)
from ..store import AdaptationPolicy, NodeEvidence, ProbeEvidence
from ._drift_names import NOTHING, Past, named
from ._watch import Moments, Watch


@dataclass(frozen=True)
class Window:
    """One node's window under its present adapter; `key` is of the task that brought it.

    `gate` is what serving the version gains against the stable one, if the node could say it.
    """

    key: str
    identity: str
    adapter: str
    summary: Summary
    gate: Paired | None = None

    @property
    def moments(self) -> Moments:
        """The sums over its losses."""
        found = self.summary
        return Moments(found.count, found.loss_sum, found.loss_square_sum)


@dataclass(frozen=True)
class Finding:
    """What the tests say: the evidence, whether it is worth listing, and the watch from now on."""

    evidence: NodeEvidence
    is_news: bool
    watch: Watch


def observe(
    window: Window,
    watch: Watch,
    reference: Summary | None,
    policy: AdaptationPolicy,
    *,
    is_reference: bool,
    review: int,
    past: Callable[[], Past] = NOTHING,
) -> Finding:
    """Test a window against what is remembered of its node.

    Args:
        window: the new window.
        watch: what is remembered.
        reference: the pooled windows that features and labels are compared with; None before
            there are enough of them.
        policy: thresholds.
        is_reference: whether later windows may be compared with this one.
        review: its number.
        past: what the node had before, read only where its drift needs a name.
    """
    summary = window.summary
    base = _pooled(watch.base)
    rise = None if base is None else loss_rise(window.moments, base)
    uninformed = uninformed_loss(summary)
    loss = summary.loss_sum / summary.count
    known = reference if reference is not None and reference.width == summary.width else None
    new = novelty(summary, known) if known is not None and len(known.fourier_sum) else None
    prior = None if known is None else prior_shift(summary, known)
    is_worse = rise is not None and rise.z > policy.z_loss and rise.difference >= policy.min_harm
    is_new = new is not None and new.z > policy.z_novelty
    signs = _signs(rise, new, prior, policy)
    chance, chance_error = _chance(summary)
    name = named(summary, watch, known, signs, policy, past=past)
    evidence = NodeEvidence(
        identity=window.identity,
        adapter=window.adapter,
        rows=summary.count,
        base_windows=len(watch.base),
        loss=loss,
        base_loss=None if base is None else base.loss_sum / base.count,
        harm_z=None if rise is None else rise.z,
        novelty_z=None if new is None else new.z,
        prior_z=None if prior is None else prior.z,
        uninformed_loss=uninformed,
        balanced_accuracy=balanced_accuracy(summary),
        chance=chance,
        chance_error=chance_error,
        recent_harm=watch.harm,
        since_move=watch.since_move,
        recent_moves=watch.recent_moves(review, policy.refractory),
        drift=name.kind,
    )
    is_moved = prior is not None and prior.z > policy.z_prior
    is_lost = uninformed is not None and loss > uninformed
    is_news = is_worse or is_new or is_moved or is_lost or bool(name.kind)
    after = watch.after(
        window.key,
        window.moments,
        is_harmful=is_worse and len(watch.base) >= policy.base_windows,
        is_reference=is_reference,
        review=review,
        windows=policy.base_windows,
        shown=(signs.loss, signs.novelty, signs.prior),
        named=name.lasting,
        is_turn=name.is_turn,
    )
    return Finding(evidence, is_news, after)


def with_answers(
    evidence: NodeEvidence, probes: tuple[ProbeEvidence, ...], policy: AdaptationPolicy
) -> NodeEvidence:
    """Add a node's answers; a change of concept that a stored adapter knows has come again."""
    is_known = any(
        probe.gain >= policy.min_gain and probe.gain >= policy.z_pair * probe.standard_error
        for probe in probes
    )
    drift = "recurring" if evidence.drift == "concept" and is_known else evidence.drift
    return replace(evidence, probes=probes, drift=drift)


def _pooled(base: tuple[Moments, ...]) -> Moments | None:
    if not base:
        return None
    return Moments(
        sum(m.count for m in base),
        sum(m.loss_sum for m in base),
        sum(m.loss_square_sum for m in base),
    )


def _signs(
    rise: Rise | None, new: Novelty | None, prior: Prior | None, policy: AdaptationPolicy
) -> DriftSigns:
    return DriftSigns(
        loss=None if rise is None else rise.z if rise.difference >= policy.min_harm else 0.0,
        novelty=None if new is None else new.z,
        prior=None if prior is None else prior.z,
    )


def _chance(summary: Summary) -> tuple[float | None, float | None]:
    """Return the balanced accuracy of guessing, and its standard error."""
    present = [count for count in summary.class_counts if count > 0]
    if not present:
        return None, None
    chance = 1.0 / len(present)
    spread = chance * (1.0 - chance) * math.fsum(1.0 / count for count in present)
    return chance, chance * math.sqrt(spread)
