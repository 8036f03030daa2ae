"""What the numbers of a review say under a policy: the signs of each node, by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from ._policy import AdaptationPolicy
from ._review import MemberEvidence, NodeEvidence, Review


@dataclass(frozen=True, slots=True)
class Signs:
    """What one node's window shows.

    Attributes:
        node: its evidence.
        rise: loss above its base, nats; 0 without a base.
        excess: loss above the uninformed one, nats; None where that is not known.
        harm: the rise is sure and large enough to count.
        lost: worse than knowing nothing.
        novel: its features are new.
        prior: its label frequencies have moved.
        severe: harm, lost, and no better than guessing: its labels contradict what the adapter
            learned.
        harmful: harmful windows among the last `confirm_of`, this one included.
        confirmed: harm that is severe, or has lasted.
    """

    node: NodeEvidence
    rise: float
    excess: float | None
    harm: bool
    lost: bool
    novel: bool
    prior: bool
    severe: bool
    harmful: int
    confirmed: bool

    @property
    def alarmed(self) -> bool:
        """Whether anything has to be said about this node."""
        return self.harm or self.lost or self.novel or self.prior

    @property
    def seeking(self) -> bool:
        """Whether another adapter might serve it better; a prior shift alone is no reason."""
        return self.harm or self.lost or self.novel

    @property
    def placing(self) -> bool:
        """Whether it is new and does well enough: it may start where it surely does better."""
        return self.node.newcomer and not self.seeking


def signs(node: NodeEvidence, policy: AdaptationPolicy) -> Signs:
    """Hold one node's window against the thresholds."""
    loss = node.loss - _spoilt(node, policy)
    rise = 0.0 if node.base_loss is None else loss - node.base_loss
    excess = None if node.uninformed_loss is None else loss - node.uninformed_loss
    harm = _above(node.harm_z, policy.z_loss) and rise >= policy.min_harm
    lost = excess is not None and excess > policy.min_harm
    severe = harm and lost and _contradicted(node, policy)
    last = node.recent_harm[-(policy.confirm_of - 1) :] if policy.confirm_of > 1 else ()
    harmful = sum(last) + harm
    return Signs(
        node=node,
        rise=rise,
        excess=excess,
        harm=harm,
        lost=lost,
        novel=_above(node.novelty_z, policy.z_novelty),
        prior=_above(node.prior_z, policy.z_prior),
        severe=severe,
        harmful=harmful,
        confirmed=harm and (severe or harmful >= policy.confirm),
    )


def _spoilt(node: NodeEvidence, policy: AdaptationPolicy) -> float:
    """Return what the newest version alone costs a node, if that is all that is wrong with it.

    A loss that the stable version does not have on the same rows says nothing of the data: a bad
    update made it, the gate is there for that, and no node needs another adapter.
    """
    change = node.gate_change
    if change is None or change <= policy.gate_tolerance or node.base_loss is None:
        return 0.0
    is_sure = change > policy.z_loss * (node.gate_error or 0.0)
    is_all = node.loss - change - node.base_loss < policy.min_harm
    return change if is_sure and is_all else 0.0


def _above(z: float | None, threshold: float) -> bool:
    return z is not None and z > threshold


def _contradicted(node: NodeEvidence, policy: AdaptationPolicy) -> bool:
    """Whether a node that loses more than by knowing nothing does no better than guessing.

    Below chance it does not; nor where the window is too small to tell it from chance while the
    loss is surely above the uninformed one: then many labels agree, and as many contradict.
    Without classes (a language model) there is no chance level: the loss alone says it.
    """
    if node.chance is not None and node.chance >= 1:  # one class: nothing can be told from guessing
        return False
    margin = chance_margin(node)
    if margin is None or margin < 0:
        return True
    return margin <= policy.z_loss and _is_surely_lost(node, policy)


def _is_surely_lost(node: NodeEvidence, policy: AdaptationPolicy) -> bool:
    """The error is that of the rise, so it counts the base's too: a little wide."""
    if not node.harm_z or node.base_loss is None or node.uninformed_loss is None:
        return False
    error = (node.loss - node.base_loss) / node.harm_z
    return node.loss - node.uninformed_loss > policy.z_loss * error


def chance_margin(node: NodeEvidence) -> float | None:
    """Return how far the balanced accuracy is above guessing, in standard errors of guessing."""
    if node.balanced_accuracy is None or node.chance is None:
        return None
    error = node.chance_error
    if error is None:  # recorded before this was, as if there were as many rows of each class
        error = math.sqrt(node.chance * (1 - node.chance) / node.rows)
    return (node.balanced_accuracy - node.chance) / error if error else 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A review under a policy, looked up by name.

    Attributes:
        review: the evidence.
        policy: the settings.
        members: every line by name.
        alarms: the nodes that something has to be said about, by identity.
        movable: the nodes that another adapter might serve better, by identity.
        windows: member -> nodes with a window under it.
    """

    review: Review
    policy: AdaptationPolicy
    members: Mapping[str, MemberEvidence]
    alarms: tuple[Signs, ...]
    movable: tuple[Signs, ...]
    windows: Mapping[str, int]

    @property
    def active(self) -> int:
        """Number of active members."""
        return sum(member.state == "active" for member in self.members.values())

    @property
    def total_bytes(self) -> int:
        """Bytes of all members, their pins included."""
        return sum(m.size_bytes + m.pinned_bytes for m in self.members.values())

    def is_active(self, adapter: str) -> bool:
        """Whether rounds of this member run."""
        return self.members[adapter].state == "active"


def look(review: Review, policy: AdaptationPolicy) -> Scene:
    """Read the signs of every node of a review."""
    windows = dict(review.quiet)
    for node in review.nodes:
        windows[node.adapter] = windows.get(node.adapter, 0) + 1
    every = [signs(node, policy) for node in review.nodes]
    return Scene(
        review=review,
        policy=policy,
        members={member.adapter: member for member in review.members},
        alarms=tuple(found for found in every if found.alarmed),
        movable=tuple(found for found in every if found.seeking or found.placing),
        windows=windows,
    )


def by_adapter(alarms: Iterable[Signs]) -> dict[str, list[Signs]]:
    """Group by the adapter that the nodes are on, both in order of name."""
    ordered = sorted(alarms, key=lambda found: (found.node.adapter, found.node.identity))
    return {name: list(group) for name, group in groupby(ordered, lambda s: s.node.adapter)}
