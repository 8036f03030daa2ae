"""The rivals of `benchmarks/continual.py`, as rules that the same driver carries out.

Each is a pair of functions like the product's own `questions` and `decide`, over the same evidence;
the oracle knows the truth besides. Whatever a rule chooses goes through the same rounds, merges and
records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from polyrank.coordinator._rules import OWN, Rules
from polyrank.store import AdaptationPolicy, Choice, MemberEvidence, NodeEvidence, Probe, Review

HAND_DELTA = 0.1
"""Nats: FedDrift's threshold as it was set by hand in the first experiments; it sees drift in many
quiet windows, and so it adapts to each node's own rows. The calibrated one does not."""


def reroute(node: NodeEvidence, target: str, reason: str) -> Choice:
    """Move one node."""
    return Choice(
        kind="reroute", adapter=node.adapter, target=target, nodes=(node.identity,), reason=reason
    )


def expand(nodes: Sequence[NodeEvidence], start: str, reason: str) -> Choice:
    """Give nodes of one member an adapter of their own, from a version."""
    return Choice(
        kind="expand_adapter",
        adapter=nodes[0].adapter,
        target=start,
        nodes=tuple(sorted(node.identity for node in nodes)),
        reason=reason,
    )


def ask_everyone(review: Review, policy: AdaptationPolicy) -> tuple[Probe, ...]:
    """Have every node score every other active adapter: what FedDrift costs."""
    active = [member for member in review.members if member.state == "active"]
    return tuple(
        Probe(node.identity, member.adapter, member.version)
        for node in review.nodes
        for member in active
        if member.adapter != node.adapter
    )


def ask_nobody(review: Review, policy: AdaptationPolicy) -> tuple[Probe, ...]:
    """Ask nothing."""
    return ()


@dataclass
class Oracle:
    """One adapter for each concept, from the first row of it on.

    Args:
        concept_of: identity -> the concept of the node's present window.
    """

    concept_of: Callable[[str], str]
    homes: dict[str, str] = field(default_factory=dict[str, str])

    def rules(self) -> Rules:
        """Return the rules."""
        return Rules(ask_nobody, self.decide, lists_all=True)

    def decide(self, review: Review, policy: AdaptationPolicy) -> tuple[Choice, ...]:
        """Move nodes to the adapter of their concept; make it when it is not there."""
        self._learn(review)
        members = {member.adapter: member for member in review.members}
        choices: list[Choice] = []
        strangers: dict[tuple[str, str], list[NodeEvidence]] = defaultdict(list)
        for node in review.nodes:
            concept = self.concept_of(node.identity)
            home = self.homes.get(concept)
            if home is None:
                strangers[node.adapter, concept].append(node)
            elif home != node.adapter:
                choices.append(reroute(node, home, f"the concept is {concept}"))
        for (adapter, concept), nodes in strangers.items():
            # labels that contradict: what was learnt is in the way; another domain: it helps
            start = f"{review.family}@0" if "!" in concept else head(members[adapter])
            choices.append(expand(nodes, start, f"the concept {concept} is new"))
        return tuple(choices)

    def _learn(self, review: Review) -> None:
        """Take in which adapter an expansion has made for a concept."""
        if not self.homes:
            self.homes[self.concept_of(review.nodes[0].identity)] = review.family
        taken = set(self.homes.values())
        for node in review.nodes:
            concept = self.concept_of(node.identity)
            if concept not in self.homes and node.adapter not in taken and node.since_move == 0:
                self.homes[concept] = node.adapter


@dataclass
class FedDrift:
    """FedDrift's rule (Jothimurugesan et al., AISTATS 2023).

    Every node scores every adapter each round and joins the best. If even that is worse than its
    last loss by delta, the node gets an adapter of its own. Adapters whose nodes lose less than
    delta under the other one, both ways, are merged (section 5: one threshold for both).
    """

    delta: float
    last: dict[str, float] = field(default_factory=dict[str, float])

    def rules(self) -> Rules:
        """Return the rules."""
        return Rules(ask_everyone, self.decide, lists_all=True)

    def decide(self, review: Review, policy: AdaptationPolicy) -> tuple[Choice, ...]:
        """Assign by the lowest loss, then spawn, then merge one pair."""
        members = {member.adapter: member for member in review.members}
        choices: list[Choice] = []
        for node in review.nodes:
            losses = {node.adapter: node.loss}
            losses.update({probe.adapter: node.loss - probe.gain for probe in node.probes})
            best = min(sorted(losses), key=lambda name: losses[name])
            before = self.last.get(node.identity)
            self.last[node.identity] = losses[best]
            is_settled = review.number > policy.base_windows and before is not None
            if is_settled and losses[best] > before + self.delta:
                choices.append(expand([node], head(members[node.adapter]), "a new concept"))
            elif best != node.adapter:
                choices.append(reroute(node, best, "it has the lowest loss"))
        moved = {identity for choice in choices for identity in choice.nodes}
        stay = [node for node in review.nodes if node.identity not in moved]
        return (*choices, *self._merge(review, stay))

    def _merge(self, review: Review, nodes: Iterable[NodeEvidence]) -> list[Choice]:
        costs: dict[tuple[str, str], list[float]] = defaultdict(list)
        for node in nodes:
            for probe in node.probes:
                costs[node.adapter, probe.adapter].append(-probe.gain)
        found: list[tuple[float, str, str]] = []
        for one, other in sorted(costs):
            if one < other and (other, one) in costs:
                sides = (costs[one, other], costs[other, one])
                distance = max(sum(side) / len(side) for side in sides)
                if distance < self.delta:
                    found.append((distance, one, other))
        if not found:
            return []
        distance, one, other = min(found)
        keep, absorb = sorted((one, other), key=lambda name: (name != review.family, name))
        return [
            Choice(
                kind="merge",
                adapter=keep,
                target=keep,
                absorb=absorb,
                reason=f"their distance is {distance:.2f} nats",
            )
        ]


def novelty_decide(review: Review, policy: AdaptationPolicy) -> tuple[Choice, ...]:
    """Expand on novelty, as SEMA does; a stored adapter that is better on the rows comes first."""
    members = {member.adapter: member for member in review.members}
    choices: list[Choice] = []
    strangers: dict[str, list[NodeEvidence]] = defaultdict(list)
    for node in review.nodes:
        if node.novelty_z is None or node.novelty_z <= policy.z_novelty:
            continue
        best = max(node.probes, key=lambda probe: probe.gain, default=None)
        if best is not None and best.gain > policy.z_pair * best.standard_error:
            choices.append(reroute(node, best.adapter, "the features are new here, not there"))
        else:
            strangers[node.adapter].append(node)
    for adapter, nodes in strangers.items():
        if sum(m.state == "active" for m in review.members) < policy.max_adapters:
            choices.append(expand(nodes, head(members[adapter]), "the features are new"))
    return tuple(choices)


def head(member: MemberEvidence) -> str:
    """Return a member's newest version."""
    return f"{member.adapter}@{member.version}"


def rules_of(policy: str, concept_of: Callable[[str], str], delta: float) -> Rules:
    """Return the rules of a policy by name; `delta` is FedDrift's calibrated threshold, nats."""
    made: Mapping[str, Callable[[], Rules]] = {
        "one": lambda: OWN,
        "ours": lambda: OWN,
        "oracle": Oracle(concept_of).rules,
        "feddrift": FedDrift(delta).rules,
        "feddrift_0.1": FedDrift(HAND_DELTA).rules,
        "novelty": lambda: Rules(OWN.questions, novelty_decide),
    }
    return made[policy]()


POLICIES = ("one", "oracle", "feddrift", "feddrift_0.1", "novelty", "ours")
