"""Rule 1: a node in alarm moves to the stored adapter that is surely better on its own rows.

A node that is new is placed by the same test: it has no alarm to raise yet, and begins where it is
surely served better than by the adapter that it was first scored under.

Each node moves by its own numbers alone, so whoever lies moves itself and nobody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from . import _decide_words as words
from ._decide_choice import Choice, figures
from ._decide_held import Held, describe, evidence
from ._decide_scene import Scene, Signs
from ._policy import AdaptationPolicy
from ._questions import may_move
from ._review import ProbeEvidence

LEAST_ERROR = 1e-6
LARGEST_Z = 40.0


@dataclass(frozen=True, slots=True)
class Routes:
    """What rule 1 chose.

    Attributes:
        choices: one for each pair of adapters.
        moved: identities that move.
        revived: archived members that return to service.
        held: identities that would move but may not.
    """

    choices: tuple[Choice, ...]
    moved: frozenset[str]
    revived: frozenset[str]
    held: Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class _Move:
    sign: Signs
    probe: ProbeEvidence


def paired_z(probe: ProbeEvidence) -> float:
    """Return gain over standard error, within +-40; an error below 1e-6 nats counts as that."""
    z = probe.gain / max(probe.standard_error, LEAST_ERROR)
    return max(-LARGEST_Z, min(LARGEST_Z, z))


def better(sign: Signs, policy: AdaptationPolicy) -> list[ProbeEvidence]:
    """Return the adapters that serve a node surely better than its own, best first."""
    if not (sign.seeking or sign.placing) or sign.node.rows < policy.min_rows:
        return []
    passing = [
        probe
        for probe in sign.node.probes
        if probe.rows >= policy.min_rows
        and probe.gain >= policy.min_gain
        and paired_z(probe) >= policy.z_pair
    ]
    return sorted(passing, key=lambda probe: (-probe.gain, -paired_z(probe), probe.adapter))


def reroutes(scene: Scene) -> Routes:
    """Choose the moves of a review."""
    free: list[tuple[Signs, list[ProbeEvidence]]] = []
    held: dict[str, Held] = {}
    for sign in scene.movable:
        options = better(sign, scene.policy)
        if options and may_move(sign, scene.policy):
            free.append((sign, options))
        elif options:
            held[sign.node.identity] = _just_moved(scene.policy)
    revived = _revived(scene, [options[0].adapter for _, options in free])
    moves: list[_Move] = []
    for sign, options in free:
        served = [p for p in options if scene.is_active(p.adapter) or p.adapter in revived]
        if served:
            moves.append(_Move(sign, served[0]))
        else:
            held[sign.node.identity] = _no_place(scene.policy)
    moved = frozenset(move.sign.node.identity for move in moves)
    return Routes(_grouped(scene, moves), moved, revived, held)


def _revived(scene: Scene, wanted: list[str]) -> frozenset[str]:
    """Return the archived members that come back: the most wanted, while there is room."""
    counts = Counter(name for name in wanted if not scene.is_active(name))
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return frozenset(ordered[: max(scene.policy.max_adapters - scene.active, 0)])


def _grouped(scene: Scene, moves: list[_Move]) -> tuple[Choice, ...]:
    pairs: dict[tuple[str, str], list[_Move]] = {}
    for move in moves:
        pairs.setdefault((move.sign.node.adapter, move.probe.adapter), []).append(move)
    return tuple(_reroute(scene, *pair, pairs[pair]) for pair in sorted(pairs))


def _reroute(scene: Scene, adapter: str, target: str, moves: list[_Move]) -> Choice:
    policy, count = scene.policy, len(moves)
    zs = [paired_z(move.probe) for move in moves]
    gain = median(move.probe.gain for move in moves)
    signs = [move.sign for move in moves]
    service = "" if scene.is_active(target) else ", which returns to service"
    return Choice(
        kind="reroute",
        adapter=adapter,
        target=target,
        nodes=tuple(sign.node.identity for sign in signs),
        reason=f"{words.nodes(count)} of {adapter} {describe(signs, policy)} and "
        f"{words.verb(count, 'gains', 'gain')} {words.nats(gain)} nats with {target} on the same "
        f"rows (z {words.spread(zs)}, threshold {policy.z_pair:g}): "
        f"{words.verb(count, 'it moves', 'they move')} there{service}.",
        numbers={
            **evidence(signs, policy),
            **figures(gain=gain, gain_z_least=min(zs), gain_z_most=max(zs)),
            **figures(z_pair=policy.z_pair, min_gain=policy.min_gain),
        },
    )


def _just_moved(policy: AdaptationPolicy) -> Held:
    why = f"another serves better, but the last move was within {policy.refractory} reviews"
    return Held("refractory", why, {"refractory": policy.refractory})


def _no_place(policy: AdaptationPolicy) -> Held:
    most = policy.max_adapters
    why = f"a better adapter is archived, and {most} active ones are the most allowed"
    return Held("no_place", why, {"max_adapters": policy.max_adapters})
