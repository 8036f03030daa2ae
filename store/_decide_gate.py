"""Gates: whether a new version may be served, and whether the served one has to go back.

A candidate is held while some domain surely loses more than the tolerance by it. To hold is safe:
nodes go on with the stable version, and training goes on from the newest. So one node alone may
hold, but only so many times in a row, or one that lies could stop a federation for good.

The stable version goes back to the one before where nodes are in harm, that one surely makes up for
at least half of it, and no domain loses by going back. Where the data contradict what was learned,
both are bad, and nothing goes back: an earlier version is only less sure of what is wrong there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from . import _decide_words as words
from ._decide_chance import beyond
from ._decide_choice import Choice, figures
from ._decide_scene import Scene
from ._gate_evidence import Comparison, DomainEvidence, GateEvidence, RecallEvidence
from ._policy import AdaptationPolicy
from ._review import MemberEvidence, Review

_NORMAL = NormalDist()
_LEAST_LEVEL = 1e-300
_SHOWN = 40
_CURE = 0.5


@dataclass(frozen=True, slots=True)
class Recall:
    """Have nodes score an earlier version of their adapter, paired with a present one.

    `nodes` are those that are asked; () is every node with a window under this adapter.
    """

    adapter: str
    version: int
    against: int
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Promotion:
    """A candidate that becomes stable, and why."""

    adapter: str
    candidate: int
    stable: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Rollbacks:
    """The stable versions that go back; `settled` are the nodes in harm that this is for."""

    choices: tuple[Choice, ...]
    settled: frozenset[str]


def threshold(found: Comparison, policy: AdaptationPolicy) -> float:
    """Return the z that one domain has to pass (Bonferroni): of those that were asked.

    So a node that drops out does not change what the others' losses have to be.
    """
    level = beyond(policy.gate_confidence) / max(found.compared, found.expected, 1)
    return -_NORMAL.inv_cdf(max(level, _LEAST_LEVEL))


def losers(found: Comparison, policy: AdaptationPolicy) -> list[DomainEvidence]:
    """Return the domains that surely lose more than the tolerance, the worst first."""
    z = threshold(found, policy)
    sure = (
        domain
        for domain in found.domains
        if domain.loss_change > policy.gate_tolerance
        and domain.loss_change > z * domain.standard_error
        and domain.rows >= policy.min_rows
    )
    return sorted(sure, key=lambda domain: (-domain.loss_change, domain.name))


def holds(scene: Scene) -> list[Choice]:
    """Return a choice for each candidate that is held."""
    policy, found = scene.policy, list[Choice]()
    for gate in scene.review.gates:
        if lost := _held_by(gate, policy):
            found.append(_hold(gate, lost, policy))
        elif _is_unheard(gate, policy):
            found.append(_wait(gate, policy))
    return found


def is_held(gate: GateEvidence, policy: AdaptationPolicy) -> bool:
    """Whether a candidate stays one: a domain surely loses by it, or too few have said."""
    return bool(_held_by(gate, policy)) or _is_unheard(gate, policy)


def promotions(
    review: Review, policy: AdaptationPolicy, choices: Iterable[Choice]
) -> tuple[Promotion, ...]:
    """Return the candidates that become stable with a review: all that nothing speaks against.

    Not choices: there is one a round, and the alias's own log says why.
    """
    against = {choice.adapter for choice in choices if choice.kind in ("hold", "rollback")}
    return tuple(
        Promotion(gate.adapter, gate.candidate, gate.stable, _passes(gate, review.number, policy))
        for gate in review.gates
        if gate.adapter not in against
    )


def recalls(scene: Scene) -> Iterator[Recall]:
    """Ask whether the stable version before does better: first those in harm, then everyone."""
    made = {recall.adapter: recall for recall in scene.review.recalls}
    for member in scene.review.members:
        harmed, kept = _harmed(scene, member), _kept(scene, member)
        if member.previous is None or kept in (None, member.previous) or not _is_due(scene, member):
            continue
        if len(harmed) < scene.policy.min_identities:
            continue
        assert kept is not None
        found = made.get(member.adapter)
        if found is None:
            yield Recall(member.adapter, member.previous, kept, harmed)
        elif not found.everyone and _cures(found, scene):
            yield Recall(member.adapter, member.previous, kept)


def rollbacks(scene: Scene, moved: frozenset[str]) -> Rollbacks:
    """Choose which stable versions go back; nodes that move anyway are not waited for.

    Args:
        scene: the review under its policy.
        moved: nodes that are re-routed in this review.
    """
    members: Mapping[str, MemberEvidence] = scene.members
    chosen: list[Choice] = []
    for recall in scene.review.recalls:
        member = members[recall.adapter]
        nodes = tuple(name for name in _harmed(scene, member) if name not in moved)
        enough = len(nodes) >= scene.policy.min_identities and recall.everyone
        enough = enough and not _is_silent(recall)
        fits = (recall.version, recall.against) == (member.previous, _kept(scene, member))
        if enough and fits and _cures(recall, scene) and not losers(recall, scene.policy):
            chosen.append(_rollback(recall, member, nodes, scene.policy))
    return Rollbacks(tuple(chosen), frozenset(name for c in chosen for name in c.nodes))


def _held_by(gate: GateEvidence, policy: AdaptationPolicy) -> list[DomainEvidence]:
    """Return the domains that hold a candidate; none where patience with one node is over."""
    lost = losers(gate, policy)
    return [] if _is_alone(lost, policy) and gate.held >= policy.gate_patience else lost


def _is_silent(found: Comparison) -> bool:
    """Whether fewer than half of the domains that were asked have compared."""
    return 2 * found.compared < found.expected


def _is_unheard(gate: GateEvidence, policy: AdaptationPolicy) -> bool:
    """Whether a candidate waits for more answers: nodes that dropped out, but not for ever."""
    return gate.stable is not None and _is_silent(gate) and gate.held < policy.gate_patience


def _is_alone(lost: list[DomainEvidence], policy: AdaptationPolicy) -> bool:
    return sum(domain.identities for domain in lost) < policy.min_identities


def _hold(gate: GateEvidence, lost: list[DomainEvidence], policy: AdaptationPolicy) -> Choice:
    worst, z = lost[0], threshold(gate, policy)
    return Choice(
        kind="hold",
        adapter=gate.adapter,
        target=f"{gate.adapter}@{gate.candidate}",
        reason=f"{gate.adapter}@{gate.candidate} costs {len(lost)} of "
        f"{_domains(gate.compared)} more than {policy.gate_tolerance:g} nats against "
        f"{gate.adapter}@{gate.stable}: {_short(worst)} loses {worst.loss_change:.3f} "
        f"nats (z {_z(worst):.1f}, threshold {z:.2f}); it stays a candidate.",
        numbers=figures(
            stable=gate.stable,
            domains=gate.compared,
            domains_lost=len(lost),
            identities_lost=sum(domain.identities for domain in lost),
            loss_change=worst.loss_change,
            loss_change_z=_z(worst),
            z_gate=z,
            gate_tolerance=policy.gate_tolerance,
            held=gate.held + 1,
        ),
    )


def _wait(gate: GateEvidence, policy: AdaptationPolicy) -> Choice:
    return Choice(
        kind="hold",
        adapter=gate.adapter,
        target=f"{gate.adapter}@{gate.candidate}",
        reason=f"{gate.adapter}@{gate.candidate} was compared with {gate.adapter}@{gate.stable} by "
        f"{gate.compared} of the {_domains(gate.expected)} that were asked, fewer than half; it "
        "stays a candidate.",
        numbers=figures(
            stable=gate.stable,
            domains=gate.compared,
            domains_asked=gate.expected,
            gate_patience=policy.gate_patience,
            held=gate.held + 1,
        ),
    )


def _passes(gate: GateEvidence, number: int, policy: AdaptationPolicy) -> str:
    """Return the reason of a promotion."""
    if gate.stable is None:
        return f"review {number}: there was no stable version"
    if not gate.domains:
        return f"review {number}: no node could compare it with version {gate.stable}"
    worst = max(gate.domains, key=lambda domain: (domain.loss_change, domain.name))
    said = f"the worst loses {worst.loss_change:.3f} nats"
    said = said if worst.loss_change > 0 else "none loses"
    heard = _domains(gate.compared)
    heard = (
        f"{gate.compared} of {_domains(gate.expected)}" if gate.compared < gate.expected else heard
    )
    text = f"review {number}: {heard}, {said} (tolerance "
    text = f"{text}{policy.gate_tolerance:g})"
    if losers(gate, policy):
        text = f"{text}; one node alone has held it {gate.held} times, and is not heard again"
    return text


def _rollback(
    recall: RecallEvidence, member: MemberEvidence, nodes: tuple[str, ...], policy: AdaptationPolicy
) -> Choice:
    gain, error = -(recall.loss_change or 0.0), recall.standard_error or 0.0
    name = recall.adapter
    return Choice(
        kind="rollback",
        adapter=name,
        target=f"{name}@{recall.version}",
        nodes=nodes,
        reason=f"{words.nodes(len(nodes))} of {name} {words.verb(len(nodes), 'is', 'are')} in "
        f"harm, and {words.nodes(recall.identities)} would gain {words.nats(gain)} nats with "
        f"{name}@{recall.version} against {name}@{recall.against} (threshold "
        f"{policy.gate_tolerance:g}), no domain losing: {name}@{recall.version} is stable again.",
        numbers=figures(
            stable=member.stable,
            against=recall.against,
            nodes=len(nodes),
            identities=recall.identities,
            gain=gain,
            gain_z=gain / error if error else None,
            z_pair=policy.z_pair,
            gate_tolerance=policy.gate_tolerance,
            domains=recall.compared,
        ),
    )


def _cures(recall: RecallEvidence, scene: Scene) -> bool:
    """Whether the earlier version is surely better, and makes up for half of the harm."""
    policy = scene.policy
    if recall.loss_change is None or recall.identities < policy.min_identities:
        return False
    gain = -recall.loss_change
    sure = gain > policy.gate_tolerance and gain >= policy.z_pair * (recall.standard_error or 0.0)
    lost = sum(s.rise for s in scene.alarms if s.harm and s.node.adapter == recall.adapter)
    return sure and gain * recall.identities >= _CURE * lost


def _kept(scene: Scene, member: MemberEvidence) -> int | None:
    """Return the version that is stable after this review, if nothing goes back."""
    for gate in scene.review.gates:
        if gate.adapter == member.adapter and not is_held(gate, scene.policy):
            return gate.candidate
    return member.stable


def _harmed(scene: Scene, member: MemberEvidence) -> tuple[str, ...]:
    found = (s for s in scene.alarms if s.harm and s.node.adapter == member.adapter)
    least = scene.policy.min_rows
    return tuple(sorted(s.node.identity for s in found if s.node.rows >= least))


def _is_due(scene: Scene, member: MemberEvidence) -> bool:
    """Whether the last look is long enough ago; without an answer it is not asked every time."""
    last, rest = member.recalled, max(scene.policy.refractory, 1)
    return last is None or scene.review.number - last >= rest


def _z(domain: DomainEvidence) -> float:
    return min(domain.loss_change / max(domain.standard_error, 1e-9), 1e9)


def _domains(count: int) -> str:
    return f"{count} domain{'' if count == 1 else 's'}"


def _short(domain: DomainEvidence) -> str:
    """Return a name that fits a sentence: an identity has 64 characters."""
    name = domain.name
    return name if len(name) <= _SHOWN else f"{name[:12]}…"
