"""Rule 3: new data without harm keeps the version from before it, so that nothing is lost.

A pin moves nobody and changes nothing that is served, so one node may cause it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import _decide_words as words
from ._decide_budget import Budget
from ._decide_chance import at_least, beyond
from ._decide_choice import Choice, figures
from ._decide_held import Held, describe, evidence, young
from ._decide_scene import Scene, Signs, by_adapter
from ._policy import AdaptationPolicy


@dataclass(frozen=True, slots=True)
class Pins:
    """What rule 3 chose: at most one pin for each adapter; who is settled, who is held and why."""

    choices: tuple[Choice, ...]
    settled: frozenset[str]
    held: Mapping[str, Held]
    budget: Budget


def pins(scene: Scene, settled: frozenset[str], held: Mapping[str, Held], budget: Budget) -> Pins:
    """Choose the pins of a review."""
    chosen: list[Choice] = []
    staying: dict[str, Held] = {}
    new = (s for s in scene.alarms if _concerned(s, scene.policy))
    free = (s for s in new if s.node.identity not in settled and s.node.identity not in held)
    for adapter, group in by_adapter(free).items():
        grown = budget.with_bytes(scene.members[adapter].size_bytes)
        problem = _problem(scene, adapter, group, grown)
        if problem is None:
            budget = grown
            chosen.append(_pin(scene, adapter, group))
        else:
            staying |= {sign.node.identity: problem for sign in group}
    pinned = frozenset(identity for choice in chosen for identity in choice.nodes)
    return Pins(tuple(chosen), pinned, staying, budget)


def _concerned(sign: Signs, policy: AdaptationPolicy) -> bool:
    fit = sign.node.rows >= policy.min_rows and not young(sign, policy)
    return sign.novel and not sign.harm and fit


def _problem(scene: Scene, adapter: str, group: list[Signs], grown: Budget) -> Held | None:
    policy, pinned = scene.policy, scene.members[adapter].pinned
    if pinned is not None and scene.review.number - pinned <= policy.refractory:
        why = f"without harm, and {adapter} was pinned in review {pinned}"
        return Held("pinned", why, {"pinned": pinned, "refractory": policy.refractory})
    likely = false_alarm_chance(group, scene.windows[adapter], policy)
    if likely > policy.pin_level:
        why = (
            f"among {scene.windows[adapter]} nodes false alarms alone would bring that forth "
            f"with chance {words.chance(likely)} (at most {policy.pin_level:g})"
        )
        return Held("quiet", why, _chances(scene, adapter, likely))
    if grown.problem:
        return Held("budget", f"without harm, and {grown.problem}", grown.numbers)
    return None


def false_alarm_chance(group: list[Signs], windows: int, policy: AdaptationPolicy) -> float:
    """Return the chance that quiet windows look as new: by their number, or by the largest z."""
    largest = max(sign.node.novelty_z or 0.0 for sign in group)
    by_number = at_least(len(group), windows, policy.false_positive_rate)
    return min(by_number, windows * beyond(largest), 1.0)


def _chances(scene: Scene, adapter: str, likely: float) -> Mapping[str, float]:
    return figures(
        windows=scene.windows[adapter],
        false_alarm_chance=likely,
        pin_level=scene.policy.pin_level,
    )


def _pin(scene: Scene, adapter: str, group: list[Signs]) -> Choice:
    target = f"{adapter}@{scene.members[adapter].version}"
    likely = false_alarm_chance(group, scene.windows[adapter], scene.policy)
    count = len(group)
    return Choice(
        kind="pin",
        adapter=adapter,
        target=target,
        nodes=tuple(sign.node.identity for sign in group),
        reason=f"{words.nodes(count)} of {adapter} {describe(group, scene.policy)} without harm: "
        f"{target} is kept for good as it was before, and "
        f"{words.verb(count, 'it stays', 'they stay')}.",
        numbers={**evidence(group, scene.policy), **_chances(scene, adapter, likely)},
    )
