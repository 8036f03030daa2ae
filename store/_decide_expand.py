"""Rule 2: a new adapter for the nodes in confirmed harm that no stored adapter cures.

Where nodes enough are in severe harm, they alone are the group: milder harm beside it may be
chance, or have another cause, and whoever shares the first one's follows by a re-route.

What a group decides goes by medians over its nodes, each node one vote, so that a single one
cannot choose where the new adapter starts. Whether it decides at all goes by how many nodes there
are: at least `min_identities`, and more than false alarms alone would bring forth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from . import _decide_words as words
from ._decide_budget import Budget
from ._decide_chance import at_least, confirmation_rate
from ._decide_choice import Choice, figures
from ._decide_held import Held, describe, evidence, young
from ._decide_routes import Routes, paired_z
from ._decide_scene import Scene, Signs, by_adapter, chance_margin
from ._policy import AdaptationPolicy
from ._questions import asked_first

_AFTER = Held("milder", "others' labels contradict what it learned, and they come first")
_WAITS = Held("waiting", "some stored adapters are still untried on these rows")


@dataclass(frozen=True, slots=True)
class Growth:
    """What rule 2 chose.

    Attributes:
        choices: at most one for each adapter.
        settled: identities that leave for a new adapter.
        held: identities in confirmed harm that stay.
        budget: what is in use afterwards.
    """

    choices: tuple[Choice, ...]
    settled: frozenset[str]
    held: Mapping[str, Held]
    budget: Budget


@dataclass(frozen=True, slots=True)
class _Score:
    """How a stored adapter does on a group's rows: medians over the nodes that scored it."""

    adapter: str
    gain: float
    z: float
    excess: float | None


def expansions(scene: Scene, routes: Routes, budget: Budget) -> Growth:
    """Choose the new adapters of a review, for the largest groups first while there is room."""
    waiting: dict[str, Held] = {}
    groups: list[tuple[str, list[Signs]]] = []
    concerned = by_adapter(sign for sign in scene.alarms if _concerned(sign, scene, routes))
    for adapter, group in concerned.items():
        asked = frozenset(asked_first(scene, adapter))
        ready = [sign for sign in group if asked <= _answered(sign)]
        first = [sign for sign in ready if sign.severe]
        if len(first) >= scene.policy.min_identities:
            waiting |= {s.node.identity: _AFTER for s in ready if not s.severe}
            ready = first
        if ready:
            groups.append((adapter, ready))
        waiting |= {s.node.identity: _WAITS for s in group if not asked <= _answered(s)}
    groups.sort(key=lambda pair: (-len(pair[1]), pair[0]))
    return _grow(scene, groups, waiting, budget)


def _answered(sign: Signs) -> frozenset[str]:
    return frozenset(probe.adapter for probe in sign.node.probes)


def _concerned(sign: Signs, scene: Scene, routes: Routes) -> bool:
    """Whether a node counts: surely in harm, neither moved nor about to be."""
    identity = sign.node.identity
    settled = identity in routes.moved or identity in routes.held
    fit = sign.node.rows >= scene.policy.min_rows and not young(sign, scene.policy)
    return sign.confirmed and fit and not settled


def _grow(
    scene: Scene, groups: list[tuple[str, list[Signs]]], held: dict[str, Held], budget: Budget
) -> Growth:
    chosen: list[Choice] = []
    for adapter, group in groups:
        scores = _scores(group)
        start = _start(scene, adapter, group, scores)
        grown = budget.with_adapter(scene.members[start.partition("@")[0]].size_bytes)
        problem = _problem(scene, adapter, group, grown)
        if problem is None:
            budget = grown
            chosen.append(_expand(scene, adapter, group, scores, start))
        else:
            held |= {sign.node.identity: problem for sign in group}
    chosen.sort(key=lambda choice: choice.adapter)
    settled = frozenset(identity for choice in chosen for identity in choice.nodes)
    return Growth(tuple(chosen), settled, held, budget)


def _problem(scene: Scene, adapter: str, group: list[Signs], grown: Budget) -> Held | None:
    policy = scene.policy
    if len(group) < policy.min_identities:
        why = f"no stored adapter cures it, and a new one takes {policy.min_identities} nodes"
        return Held("few", why, {"min_identities": policy.min_identities})
    likely = false_alarm_chance(group, scene.windows[adapter], policy)
    if likely > policy.expansion_level:
        why = (
            f"among {scene.windows[adapter]} nodes false alarms alone would bring forth as many "
            f"with chance {words.chance(likely)} (at most {policy.expansion_level:g})"
        )
        return Held("chance", why, _chances(scene, adapter, likely))
    if grown.problem:
        return Held("budget", f"no stored adapter cures it, but {grown.problem}", grown.numbers)
    return None


def false_alarm_chance(group: list[Signs], windows: int, policy: AdaptationPolicy) -> float:
    """Return the chance that quiet nodes alone give such a group among so many windows.

    The nodes are counted in several ways: those harmed in at least `confirm`, one more, ...,
    `confirm_of` windows, and all of them with the severe ones. The smallest probability counts,
    times the number of ways that it was chosen from. So a lasting conflict of a few among many is
    heard in the end.
    """
    lasting = [
        at_least(sum(s.harmful >= least for s in group), windows, confirmation_rate(policy, least))
        for least in range(policy.confirm, policy.confirm_of + 1)
    ]
    either = min(confirmation_rate(policy, policy.confirm) + policy.severe_rate, 1.0)
    ways = [*lasting, at_least(len(group), windows, either)]
    return min(len(ways) * min(ways), 1.0)


def _chances(scene: Scene, adapter: str, likely: float) -> Mapping[str, float]:
    return figures(
        windows=scene.windows[adapter],
        false_alarm_chance=likely,
        expansion_level=scene.policy.expansion_level,
    )


def _scores(group: list[Signs]) -> list[_Score]:
    """Score the stored adapters that at least half of the group has probed, best gain first."""
    by_name: dict[str, list[tuple[float, float, float | None]]] = {}
    for sign in group:
        for probe in sign.node.probes:
            excess = None if sign.excess is None else sign.excess - probe.gain
            by_name.setdefault(probe.adapter, []).append((probe.gain, paired_z(probe), excess))
    scores = [
        _Score(name, median(g for g, _, _ in rows), median(z for _, z, _ in rows),
               _median([e for _, _, e in rows if e is not None]))
        for name, rows in by_name.items() if 2 * len(rows) >= len(group)
    ]  # fmt: skip
    return sorted(scores, key=lambda score: (-score.gain, score.adapter))


def _median(values: list[float]) -> float | None:
    return median(values) if values else None


def _start(scene: Scene, adapter: str, group: list[Signs], scores: list[_Score]) -> str:
    """Return the version that the new adapter starts from.

    That is the best for the group, the present one where no other gains `min_gain`. But where the
    present one misleads and no stored one does better than knowing nothing, it is the root's
    version 0, which has learned nothing.
    """
    best = scores[0] if scores and scores[0].gain >= scene.policy.min_gain else None
    informed = any(score.excess is not None and score.excess < 0 for score in scores)
    if _misled(group, scene.policy) and not informed:
        return f"{scene.review.family}@0"
    name = best.adapter if best else adapter
    return f"{name}@{scene.members[name].version}"


def _misled(group: list[Signs], policy: AdaptationPolicy) -> bool:
    """Whether the group surely does worse than guessing.

    Where that is not sure, part of what was learned holds, and to unlearn the rest takes fewer
    rounds than to learn all anew. So it is with a language model, which has no chance level: a few
    contradicted tokens make most of its loss.
    """
    margins = [margin for sign in group if (margin := chance_margin(sign.node)) is not None]
    return bool(margins) and median(margins) < -policy.z_loss


def _expand(
    scene: Scene, adapter: str, group: list[Signs], scores: list[_Score], start: str
) -> Choice:
    policy, best = scene.policy, scores[0] if scores else None
    severe = sum(sign.severe for sign in group)
    likely = false_alarm_chance(group, scene.windows[adapter], policy)
    nothing = start == f"{scene.review.family}@0"
    return Choice(
        kind="expand_adapter",
        adapter=adapter,
        target=start,
        nodes=tuple(sign.node.identity for sign in group),
        reason=f"{words.nodes(len(group))} of {adapter} {describe(group, policy)}, "
        f"{_how(group, severe, policy)}; {_cure(best)}: a new adapter from "
        f"{start}{', which knows nothing' if nothing else ''}.",
        numbers={
            **evidence(group, policy),
            **figures(severe=severe, lasting=sum(s.harmful >= policy.confirm for s in group)),
            **figures(best_gain=best and best.gain, best_z=best and best.z),
            **_chances(scene, adapter, likely),
        },
    )


def _how(group: list[Signs], severe: int, policy: AdaptationPolicy) -> str:
    """Say what confirms the harm."""
    lasting = f"in at least {policy.confirm} of the last {policy.confirm_of} windows"
    if severe == len(group):
        return "worse than knowing nothing"
    return (
        lasting
        if not severe
        else f"{severe} of them worse than knowing nothing, the others {lasting}"
    )


def _cure(best: _Score | None) -> str:
    if best is None:
        return "there is no other stored adapter"
    gain, z = words.nats(best.gain), format(best.z + 0.0, ".1f")
    return f"no stored adapter cures it (best: {best.adapter}, gain {gain}, z {z})"
