"""Evidence: what is known of a family of adapters when its next step is chosen.

Losses and gains are means in nats per row; errors are standard errors of those means; z is a
difference over its standard error, or the normal quantile that belongs to a p-value. Ages and
times are counted in reviews. Every value is checked when it is made (`_decide_fields.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ._decide_fields import (
    Bytes,
    Checked,
    Count,
    Identity,
    Name,
    Nats,
    Number,
    Positive,
    Ref,
    Share,
)
from ._decide_order import in_order as _order
from ._decide_order import known as _known
from ._errors import InvalidValue
from ._gate_evidence import GateEvidence, RecallEvidence
from ._json import EMPTY
from ._proposal_evidence import ProposalEvidence

Drift = Literal["", "label_prior", "concept", "sudden", "gradual", "recurring"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEvidence(Checked):
    """One line of the family.

    Attributes:
        adapter: its name.
        state: "active" (rounds run) or "archived" (stored: nodes may be moved back to it).
        version: number of its newest version, the one that windows and probes were scored under.
        rank: largest rank of that version.
        size_bytes: of its newest version.
        pinned_bytes: of its pinned versions, the newest one not among them.
        users: nodes that are assigned to it and have not been away for long.
        idle: reviews in a row, this one included, in which it had no user.
        age: reviews since it was made; 0 in the first one after it was made.
        parent: the member that it was started from; None for the root.
        root: whether the family began with it. A family has one root, which is always active.
        provisional: no merge trial has decided yet whether it stays.
        trials: other member -> number of the review that had their last trial.
        pinned: number of the review that last pinned a version of it; None: none did.
        stable: the version that its nodes serve; None where versions are not gated.
        previous: the version that was stable before that one; None: there is none.
        recalled: number of the review that last looked whether `previous` does better.
    """

    adapter: Name
    state: Literal["active", "archived"] = "active"
    version: Count
    rank: Count = 0
    size_bytes: Bytes = 0
    pinned_bytes: Bytes = 0
    users: Count = 0
    idle: Count = 0
    age: Count = 0
    parent: Name | None = None
    root: bool = False
    provisional: bool = False
    trials: Mapping[Name, Count] = EMPTY
    pinned: Count | None = None
    stable: Count | None = None
    previous: Count | None = None
    recalled: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeEvidence(Checked):
    """Another stored adapter, scored on the rows of a node's window, row by row against its own.

    Attributes:
        adapter: the other member.
        version: the version that was scored.
        rows: how many rows were.
        gain: mean of (loss under the node's own adapter - loss under this one).
        standard_error: of the gain.
    """

    adapter: Name
    version: Count
    rows: Positive
    gain: Number
    standard_error: Nats


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvidence(Checked):
    """One node's newest window under its present adapter.

    What could not be tested is None.

    Attributes:
        identity: the node.
        adapter: the member that it trains and serves now.
        rows: rows of the window.
        base_windows: earlier windows that its loss is compared with.
        loss: mean loss of the window.
        base_loss: mean loss of the base.
        harm_z: how surely the loss is above the base.
        novelty_z: how surely the features differ from the adapter's reference.
        prior_z: how surely the label frequencies differ from the reference's.
        uninformed_loss: the loss of knowing nothing: the entropy of the window's own label
            frequencies, or the base model's loss for a language model.
        balanced_accuracy: mean accuracy of the classes.
        chance: the balanced accuracy of guessing.
        chance_error: standard error of that, by the rows of each class.
        recent_harm: whether each of its last windows was harmful, newest last, this one not
            included, none from before its last move.
        since_move: reviews between this one and the one that moved it here, so 0 in the first
            review after a move; None: it never was moved.
        newcomer: whether this is its first window in the family, so that it has no place yet.
        former: the member that it was assigned to, where that was archived while it was away: it
            begins anew, as a newcomer does.
        recent_moves: its moves less than `refractory` reviews ago.
        gate_change: its loss under the newest version less that under the stable one; None: it
            could not compare, or they are the same.
        gate_error: standard error of that change.
        drift: the name of what its last windows show; "": no test is above its threshold, or it
            cannot be told yet what the change is. No rule reads it.
        probes: answers to what `questions` asked.
    """

    identity: Identity
    adapter: Name
    rows: Positive
    base_windows: Count = 0
    loss: Number
    base_loss: Number | None = None
    harm_z: Number | None = None
    novelty_z: Number | None = None
    prior_z: Number | None = None
    uninformed_loss: Number | None = None
    balanced_accuracy: Share | None = None
    chance: Share | None = None
    chance_error: Nats | None = None
    recent_harm: tuple[bool, ...] = ()
    since_move: Count | None = None
    recent_moves: Count = 0
    drift: Drift = ""
    newcomer: bool = False
    former: Name | None = None
    gate_change: Number | None = None
    gate_error: Nats | None = None
    probes: tuple[ProbeEvidence, ...] = ()

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        _order(self, "probes", lambda probe: (probe.adapter,))
        if self.adapter in {probe.adapter for probe in self.probes}:
            raise InvalidValue("probes", f"{self.adapter} is the node's own adapter")


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEvidence(Checked):
    """What one side's nodes lose by a trial merge.

    Attributes:
        adapter: the side: one of the two members.
        rows: fresh rows that its nodes scored.
        identities: distinct nodes that did.
        loss_change: mean of (loss under the merge - loss under their own adapter), the most
            favourable node left out where there are several.
        standard_error: of the change.
    """

    adapter: Name
    rows: Positive
    identities: Positive
    loss_change: Number
    standard_error: Nats


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEvidence(Checked):
    """A trial merge of two members.

    Attributes:
        keep: the line that would go on.
        absorb: the line that would end in it; never the root.
        trial: reference of the merge that was tried, such as "demo/trials@4".
        sides: the judgement of each side whose nodes answered.
    """

    keep: Name
    absorb: Name
    trial: Ref
    sides: tuple[SideEvidence, ...] = ()

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        _order(self, "sides", lambda side: (side.adapter,))
        if self.keep == self.absorb:
            raise InvalidValue("absorb", f"{self.absorb} cannot be merged with itself")
        _known(self.sides, lambda s: s.adapter, {self.keep, self.absorb}, "sides")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankEvidence(Checked):
    """How well a member's rank fits what it has learned.

    Attributes:
        adapter: the member.
        rank: its rank budget.
        saturated_share: share of its modules that need 0.9 of the budget or more for 99 % energy.
        flat_rounds: rounds in a row in which its loss did not surely fall; where a trial is
            judged, up to the review that asked for it.
        trainable: the largest rank that one of its nodes can train; None: not known.
        tried: number of the review that last asked for a trial at twice the rank; None: none did.
        trial: the version that was trained at twice the rank, such as "demo/rank-trials@4".
        gain: mean of (loss at its rank - loss at twice the rank) on held-out rows; None: not tried.
        standard_error: of that gain.
        identities: distinct nodes that judged it.
        elbow: rank at the first gap of its spectrum, the largest over its modules; None: no gap.
        energy_rank: rank at 99 % energy, the largest over its modules.
        shrink_error: relative Frobenius error of a cut at that rank (the elbow where there is one).
    """

    adapter: Name
    rank: Positive
    saturated_share: Share = 0.0
    flat_rounds: Count = 0
    trainable: Positive | None = None
    tried: Count | None = None
    trial: Ref | None = None
    gain: Number | None = None
    standard_error: Nats | None = None
    identities: Count = 0
    elbow: Count | None = None
    energy_rank: Count
    shrink_error: Nats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review(Checked):
    """One look at a whole family: everything that `decide` rests on.

    The order of what it is made from does not matter: everything is kept sorted by name.

    Attributes:
        family: the root's name.
        number: of the review, from 1.
        members: every active or archived line.
        nodes: the nodes with something to report: harm, novelty, a prior shift, a loss above the
            uninformed one, a probe, or a first window.
        quiet: member -> number of its other nodes with a window in this review.
        trials: the merge trials that were made for this review.
        ranks: the spectra that are worth a choice.
        gates: candidates against the stable versions, one for each member that has both.
        recalls: earlier versions, tried where nodes are in harm.
        proposals: what operators have been asked: what is open, and what they vetoed lately.
    """

    family: Name
    number: Positive
    members: tuple[MemberEvidence, ...]
    nodes: tuple[NodeEvidence, ...] = ()
    quiet: Mapping[Name, Count] = EMPTY
    trials: tuple[TrialEvidence, ...] = ()
    ranks: tuple[RankEvidence, ...] = ()
    gates: tuple[GateEvidence, ...] = ()
    recalls: tuple[RecallEvidence, ...] = ()
    proposals: tuple[ProposalEvidence, ...] = ()

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        _order(self, "members", lambda member: (member.adapter,))
        _order(self, "nodes", lambda node: (node.identity,))
        _order(self, "trials", lambda trial: tuple(sorted((trial.keep, trial.absorb))))
        _order(self, "ranks", lambda rank: (rank.adapter,))
        _order(self, "gates", lambda gate: (gate.adapter,))
        _order(self, "recalls", lambda recall: (recall.adapter,))
        _order(self, "proposals", lambda proposal: (f"{proposal.decision:020}",))
        self._check_root()
        self._check_names()

    def _check_root(self) -> None:
        roots = [member for member in self.members if member.root]
        if len(roots) != 1 or roots[0].adapter != self.family or roots[0].state != "active":
            raise InvalidValue("members", f"{self.family} is not their one root, and active")
        if self.family in {trial.absorb for trial in self.trials}:
            raise InvalidValue("trials", f"the root {self.family} is never absorbed")

    def _check_names(self) -> None:
        members = {member.adapter for member in self.members}
        _known(self.nodes, lambda node: node.adapter, members, "nodes")
        _known(self.ranks, lambda rank: rank.adapter, members, "ranks")
        _known(self.gates, lambda gate: gate.adapter, members, "gates")
        _known(self.recalls, lambda recall: recall.adapter, members, "recalls")
        _known(self.quiet, lambda name: name, members, "quiet")
        for i, node in enumerate(self.nodes):
            _known(node.probes, lambda probe: probe.adapter, members, f"nodes[{i}].probes")
            _known([node.former] if node.former else [], str, members, f"nodes[{i}].former")
        for i, trial in enumerate(self.trials):
            _known((trial.keep, trial.absorb), lambda name: name, members, f"trials[{i}]")
