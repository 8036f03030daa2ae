"""Nodes in alarm that stay, and why: one choice for each adapter and cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from . import _decide_words as words
from ._decide_choice import Choice, figures
from ._decide_scene import Scene, Signs, by_adapter
from ._json import EMPTY
from ._policy import AdaptationPolicy


@dataclass(frozen=True, slots=True)
class Held:
    """Why a node stays: `cause` groups, `why` is the end of the sentence with its numbers."""

    cause: str
    why: str
    numbers: Mapping[str, float] = EMPTY


def keeps(scene: Scene, settled: frozenset[str], held: Mapping[str, Held]) -> list[Choice]:
    """Return the keep choices of all alarmed nodes that nothing else was chosen for."""
    found: list[Choice] = []
    staying = (s for s in scene.alarms if s.node.identity not in settled)
    for adapter, group in by_adapter(staying).items():
        causes: dict[str, tuple[Held, list[Signs]]] = {}
        for sign in group:
            why = held.get(sign.node.identity) or _cause(sign, scene.policy)
            causes.setdefault(why.cause, (why, []))[1].append(sign)
        found += (_keep(scene.policy, adapter, *causes[cause]) for cause in sorted(causes))
    return found


def young(sign: Signs, policy: AdaptationPolicy) -> bool:
    """Whether the base is too short for anything but a re-route."""
    return sign.node.base_windows < policy.base_windows


def _keep(policy: AdaptationPolicy, adapter: str, held: Held, group: list[Signs]) -> Choice:
    count = len(group)
    return Choice(
        kind="keep",
        adapter=adapter,
        target=adapter,
        nodes=tuple(sign.node.identity for sign in group),
        reason=f"{words.nodes(count)} of {adapter} {describe(group, policy)}; "
        f"{held.why}: {words.verb(count, 'it stays', 'they stay')}.",
        numbers={**evidence(group, policy), **held.numbers},
    )


def _cause(sign: Signs, policy: AdaptationPolicy) -> Held:
    """Return why a node stays that no rule has claimed."""
    if sign.seeking and sign.node.rows < policy.min_rows:
        least = {"min_rows": policy.min_rows}
        return Held("small", f"windows of fewer than {policy.min_rows} rows move nothing", least)
    if (sign.harm or sign.novel) and young(sign, policy):
        why = (
            "no stored adapter is known to serve better, and nothing else is chosen before "
            f"{policy.base_windows} base windows"
        )
        return Held("young", why, {"base_windows": policy.base_windows})
    if sign.harm:
        why = f"{policy.confirm} harmful windows of {policy.confirm_of} would confirm it"
        return Held("unconfirmed", why, {"confirm": policy.confirm})
    if sign.lost:
        why = "the loss has not risen and no stored adapter is known to serve better"
        return Held("lost", why)
    return Held("prior", "without harm that is no reason to change anything")


def describe(group: list[Signs], policy: AdaptationPolicy) -> str:
    """Say what windows show, the strongest sign alone: harm, novelty, lost, prior; or new."""
    count = len(group)
    if all(sign.placing for sign in group):
        return words.verb(count, "is", "are") + " new"
    if all(sign.harm for sign in group):
        zs = words.spread([sign.node.harm_z or 0.0 for sign in group])
        rise = words.nats(median(sign.rise for sign in group))
        text = words.verb(
            count, f"loses {rise} nats against its", f"lose {rise} nats against their"
        )
        return f"{text} base (z {zs}, threshold {policy.z_loss:g}{_drift(group)})"
    if all(sign.novel for sign in group):
        zs = words.spread([sign.node.novelty_z or 0.0 for sign in group])
        sees = words.verb(count, "sees", "see")
        return f"{sees} new data (z {zs}, threshold {policy.z_novelty:g}{_drift(group)})"
    if all(sign.lost for sign in group):
        excess = words.nats(median(sign.excess or 0.0 for sign in group))
        loses = words.verb(count, "loses", "lose")
        return f"{loses} {excess} nats more than knowing nothing (threshold {policy.min_harm:g})"
    if all(sign.prior for sign in group):
        zs = words.spread([sign.node.prior_z or 0.0 for sign in group])
        sees = words.verb(count, "sees", "see")
        return f"{sees} other label frequencies (z {zs}, threshold {policy.z_prior:g})"
    return _mixture(group)


def _drift(group: list[Signs]) -> str:
    """Name the drift, where it has one name for all."""
    kinds = {sign.node.drift for sign in group}
    name = kinds.pop() if len(kinds) == 1 else ""
    return f"; {name.replace('_', '-')} drift" if name else ""


def _mixture(group: list[Signs]) -> str:
    """Count the signs of nodes that do not share one."""
    counts = (
        (sum(sign.harm for sign in group), "in harm"),
        (sum(sign.novel and not sign.harm for sign in group), "with new data"),
        (
            sum(sign.lost and not (sign.harm or sign.novel) for sign in group),
            "worse than knowing nothing",
        ),
        (sum(sign.placing for sign in group), "new"),
    )
    alarm = "in alarm or new" if any(sign.placing for sign in group) else "in alarm"
    return f"are {alarm} (" + ", ".join(f"{n} {what}" for n, what in counts if n) + ")"


def evidence(group: Iterable[Signs], policy: AdaptationPolicy) -> Mapping[str, float]:
    """Return the numbers behind `describe`: medians, ranges of z, and the thresholds."""
    signs = list(group)
    harm = [sign.node.harm_z or 0.0 for sign in signs if sign.harm]
    novel = [sign.node.novelty_z or 0.0 for sign in signs if sign.novel]
    prior = [sign.node.prior_z or 0.0 for sign in signs if sign.prior]
    lost = [sign.excess or 0.0 for sign in signs if sign.lost]
    return figures(
        nodes=len(signs),
        loss_rise=median(sign.rise for sign in signs if sign.harm) if harm else None,
        harm_z_least=min(harm, default=None),
        harm_z_most=max(harm, default=None),
        z_loss=policy.z_loss if harm else None,
        novelty_z_least=min(novel, default=None),
        novelty_z_most=max(novel, default=None),
        z_novelty=policy.z_novelty if novel else None,
        loss_above_uninformed=median(lost) if lost else None,
        prior_z_least=min(prior, default=None),
        prior_z_most=max(prior, default=None),
        z_prior=policy.z_prior if prior else None,
    )
