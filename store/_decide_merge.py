"""Rule 5: two adapters become one where a trial of just that harmed nobody."""

from __future__ import annotations

from . import _decide_words as words
from ._decide_choice import Choice, figures
from ._decide_scene import Scene
from ._policy import AdaptationPolicy
from ._review import TrialEvidence


def merges(scene: Scene, expanded: frozenset[str]) -> list[Choice]:
    """Choose at most one merge, the least harmful one; the other trials are recorded as keeps.

    Args:
        scene: the review under its policy.
        expanded: adapters that a group leaves in this review; those wait.
    """
    found: list[Choice] = []
    merged = False
    for trial in sorted(scene.review.trials, key=lambda t: (damage(t, 0.0), t.keep, t.absorb)):
        problem = _problem(scene, trial, expanded)
        if not problem and merged:
            problem = "one merge a review is enough, so this one waits"
        merged = merged or not problem
        found.append(_kept(scene, trial, problem) if problem else _merge(scene, trial))
    return sorted(found, key=lambda choice: (choice.kind != "merge", choice.adapter, choice.absorb))


def damage(trial: TrialEvidence, confidence: float) -> float:
    """Return D, the worse side's mean loss change plus `confidence` standard errors, nats."""
    return max(
        (side.loss_change + confidence * side.standard_error for side in trial.sides), default=0.0
    )


def _problem(scene: Scene, trial: TrialEvidence, expanded: frozenset[str]) -> str:
    """Return why a trial is no merge; "" if it is one."""
    policy, pair = scene.policy, (trial.keep, trial.absorb)
    archived = [name for name in pair if not scene.is_active(name)]
    if archived:
        return f"{archived[0]} is archived"
    judges = sum(side.identities for side in trial.sides)
    if len(trial.sides) < 2 or judges < policy.min_identities:
        least = policy.min_identities
        return f"{words.nodes(judges)} judged it, and it takes {least} with one on each side"
    if damage(trial, policy.merge_confidence) > policy.merge_tolerance:
        worst = max(trial.sides, key=lambda side: (side.loss_change, side.adapter))
        return f"it costs {worst.adapter} too much"
    leaving = [name for name in pair if name in expanded]
    return f"nodes leave {leaving[0]} for a new adapter in this review" if leaving else ""


def _figures(trial: TrialEvidence, policy: AdaptationPolicy) -> dict[str, float]:
    numbers = dict(figures(merge_tolerance=policy.merge_tolerance))
    for side in trial.sides:
        name = "keep" if side.adapter == trial.keep else "absorb"
        numbers |= figures(
            **{
                f"{name}_loss_change": side.loss_change,
                f"{name}_standard_error": side.standard_error,
                f"{name}_nodes": side.identities,
            }
        )
    if policy.merge_confidence:
        numbers |= figures(merge_confidence=policy.merge_confidence)
    return numbers


def _changes(trial: TrialEvidence, policy: AdaptationPolicy) -> str:
    """Say what each side would lose, as the judges saw it."""
    if not trial.sides:
        return "brought no answer"
    sides = [f"{words.nats(side.loss_change)} nats to {side.adapter}" for side in trial.sides]
    sure = policy.merge_confidence
    extra = f" with {sure:g} standard errors added" if sure else ""
    return f"costs {' and '.join(sides)} (tolerance {policy.merge_tolerance:g}{extra})"


def _merge(scene: Scene, trial: TrialEvidence) -> Choice:
    judges = sum(side.identities for side in trial.sides)
    return Choice(
        kind="merge",
        adapter=trial.keep,
        target=trial.trial,
        absorb=trial.absorb,
        reason=f"The trial merge {trial.trial} {_changes(trial, scene.policy)}, judged by "
        f"{words.nodes(judges)}: {trial.absorb} ends in {trial.keep}.",
        numbers=_figures(trial, scene.policy),
    )


def _kept(scene: Scene, trial: TrialEvidence, problem: str) -> Choice:
    return Choice(
        kind="keep",
        adapter=trial.keep,
        target=trial.keep,
        absorb=trial.absorb,
        reason=f"The trial merge {trial.trial} {_changes(trial, scene.policy)}; {problem}: "
        f"{trial.keep} and {trial.absorb} both stay.",
        numbers=_figures(trial, scene.policy),
    )
