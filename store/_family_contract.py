"""The contracts about families: what a registry reads of them, and what a ledger writes.

A family is the adapter lines that began as one line, its root. Each line of it is a member:
"active" (its rounds run) or "archived" (stored). Each node is assigned to one member.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from ._decide_choice import Choice
from ._family_records import (
    AliasTip,
    AssignmentRecord,
    DecisionStep,
    FamilyRecord,
    MemberRecord,
    MemberState,
    NewAlias,
    NewDecision,
    OperatorState,
    Proposal,
    StepState,
)
from ._json import EMPTY
from ._records import Alias, AliasChange, Decision, Evidence, Version
from ._route_records import Fit, Routing, RoutingTable


class FamilyReads(ABC):
    """The part of a registry that is about families and about what became of decisions."""

    @abstractmethod
    def families(self) -> list[FamilyRecord]:
        """List the families by root."""

    @abstractmethod
    def family(self, root: str) -> FamilyRecord:
        """Return the family of a root. NotFound, also for a member that is not the root."""

    @abstractmethod
    def members(self, family: str) -> list[MemberRecord]:
        """List a family's members by name, archived ones too; a family is named by its root."""

    @abstractmethod
    def assignments(self, family: str) -> list[AssignmentRecord]:
        """List a family's assignments by identity."""

    @abstractmethod
    def decision_log(
        self, decision: int | None = None, *, since: int = 0, limit: int = 100
    ) -> list[DecisionStep]:
        """List steps with a sequence above `since`, in order; limit is 1 to 1000.

        Of all decisions, or of one (NotFound if there is none of this number).
        """

    @abstractmethod
    def settle(
        self, decision: int, *, state: OperatorState, reason: str, actor: str
    ) -> DecisionStep:
        """Write down an operator's word on a decision; `actor` is who says it.

        A proposed decision becomes "approved" or "vetoed". One that was carried out becomes
        "undone", which is a request: the driver does it and writes down what happened. Raises
        Conflict for a decision that stands elsewhere.
        """

    @abstractmethod
    def force(self, choice: Choice, *, actor: str) -> Decision:
        """Record an operator's own choice, approved at once: no evidence, but a reason and a name.

        The driver carries it out before the family's next round, or writes down why it cannot.
        NotFound unless the choice is about a member of a family and nodes that the registry knows;
        InvalidValue for a "keep".
        """

    @abstractmethod
    def routes(self, family: str) -> RoutingTable:
        """Return what batches are compared with in a family: its members by name.

        NotFound for a family that is unknown.
        """

    @abstractmethod
    def route(self, family: str, summary: Mapping[str, Any], *, own: str | None = None) -> Routing:
        """Say which members in service fit a batch, given its summary by the family's spec.

        `own` is preferred among members that the batch cannot tell apart. The mathematics is not
        here: a daemon's registry has it, and connect(url, router=...) brings it to a local one.

        NotFound for a family that is unknown; InvalidValue for a summary that does not fit;
        Conflict if fewer than two members in service have a reference (and there are two);
        Unsupported without a router.
        """

    @abstractmethod
    def fitting(
        self, card: Mapping[str, Any], *, family: str | None = None, limit: int = 20
    ) -> list[Fit]:
        """List the adapters that fit a node's card, the best first; limit is 1 to 1000.

        Of a card (NodeRecord.card) count `max_rank`, and where they are given `fingerprint` (same
        base model), `memory_bytes` (most bytes of the adapter) and `tags`. Of each line, of one
        family or of all: its stable version, else its newest; of higher rank, its best part of the
        rank that fits. Lines whose smallest part is too large, retired and merged lines and trials
        are left out. More matching tags come first, then better quality.

        InvalidValue for a card that cannot be read, NotFound for an unknown family.
        """


class FamilyWrites(ABC):
    """The part of a ledger that is about families: guarded by the epoch, each one transaction."""

    @abstractmethod
    def put_family(self, root: str, *, payload: Mapping[str, Any], epoch: int) -> FamilyRecord:
        """Create the family of a line, its root and only member, active; or replace its payload.

        Raises Conflict if the line is a member of another family. Appends the event
        "family_created" if it made one.
        """

    @abstractmethod
    def put_member(
        self,
        family: str,
        adapter: str,
        *,
        state: MemberState,
        payload: Mapping[str, Any],
        epoch: int,
    ) -> MemberRecord:
        """Write down what a member is now; a line that is in no family yet becomes one.

        Raises Conflict if it is in another family, or on another base model than the root.
        Archiving a member moves no node: one that was away may still be assigned to it. The
        payload is the coordinator's own, but for `merged_into`: the reference of a version of
        another line ("demo@7"). As long as an archived member has it, the line's aliases are
        redirected to that other line. Appends the event member_STATE, with `merged_into` if there
        is one, if the state is another one than before. Raises InvalidValue for a `merged_into`
        that names no version.
        """

    @abstractmethod
    def assign(
        self,
        family: str,
        assignments: Mapping[str, tuple[str, Mapping[str, Any]]],
        *,
        epoch: int,
    ) -> None:
        """Assign nodes, by identity: to a member, with what is remembered of the node.

        The payload is at most 4 KB of JSON. Nodes that are not named stay as they are. Of a node
        that moves, updates that wait to be counted in its other lines are left out. Raises
        NotFound for an adapter that is no member of this family. Appends the event
        "nodes_assigned" if a node moved.
        """

    @abstractmethod
    def leave_out(
        self, adapter: str, task_keys: Collection[str], *, reason: str, epoch: int
    ) -> None:
        """Settle accepted updates that no version will count: rejected after all, with the reason.

        Their bytes go; what was counted, or is unknown, stays as it is, so it may be repeated.
        Appends the event "contribution_rejected" for each.
        """

    @abstractmethod
    def record_review(
        self,
        family: str,
        *,
        number: int,
        evidence: Mapping[str, Any],
        subject: str,
        decisions: Sequence[NewDecision],
        payload: Mapping[str, Any],
        members: Mapping[str, tuple[MemberState, Mapping[str, Any]]] = EMPTY,
        assignments: Mapping[str, tuple[str, Mapping[str, Any]]] = EMPTY,
        aliases: Sequence[NewAlias] = (),
        epoch: int,
    ) -> tuple[Evidence, tuple[Decision, ...]]:
        """Record one look at a whole family, in one transaction.

        The evidence (of kind "review", about the root), the decisions, each resting on it and
        with its first step, the family's new payload, and what changed of its members and
        assignments, as put_member and assign would, and aliases: all or nothing. An alias that
        somebody has moved since, or whose version was retired, stays as it is. `number` is one
        more than the family's `reviews`, which it becomes. A number that was recorded already,
        with the same evidence, returns what was recorded then and changes nothing; with other
        evidence, and for any other number, it raises Conflict. Appends the events of its parts
        and "review_recorded" with the number and the kinds of the decisions.
        """

    @abstractmethod
    def settle(
        self, decision: int, *, state: StepState, reason: str = "", actor: str = "", epoch: int
    ) -> DecisionStep:
        """Write down what became of a decision.

        From "recorded" to "proposed" or "approved"; from "proposed" to "approved" or "vetoed";
        from "approved" to "carried_out" or "failed"; from "carried_out" to "undone"; and from an
        operator's "undone", which is a request, to "undone" (it was done) or "carried_out" (it
        could not be). Raises Conflict for every other move, InvalidValue for an "undone" with
        an actor, which would be a request. Appends the event decision_STATE.
        """

    @abstractmethod
    def summaries_of(self, task_keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the payloads of these tasks' summaries by task key, in the order of the keys.

        Tasks without a summary are left out.
        """

    @abstractmethod
    def prune_summaries(
        self,
        adapter: str,
        *,
        kind: Literal["evaluate", "probe"],
        before_round: int,
        keep: Collection[str] = (),
        epoch: int,
    ) -> int:
        """Delete the summaries of a line's tasks of one kind, of rounds before one.

        Those of the tasks in `keep` (their keys) stay. The tasks themselves stay on record. Done in
        transactions of 500 rows at most: an interrupted call has done a part, and is called again.
        Appends the event "summaries_pruned" for each. Returns how many were deleted.
        """

    @abstractmethod
    def retire(self, ref: str, *, reason: str = "", epoch: int) -> Version:
        """Do what Registry.retire does, under the epoch."""

    @abstractmethod
    def set_alias(
        self,
        adapter: str,
        alias: str,
        number: int,
        *,
        reason: str = "",
        decision: int | None = None,
        epoch: int,
    ) -> Alias:
        """Do what Registry.set_alias does, under the epoch; names that begin with "pin-" too.

        `decision` is the one that the change carries out, or undoes: see `changes_by`.
        """

    @abstractmethod
    def proposals(self, family: str, *, rest: int) -> list[Proposal]:
        """List the decisions about members of a family that wait for an operator, by number.

        And those that were vetoed after all but the last `rest` reviews.
        """

    @abstractmethod
    def roll_back(
        self,
        adapter: str,
        alias: str,
        number: int,
        *,
        reason: str = "",
        decision: int | None = None,
        epoch: int,
    ) -> Alias:
        """Do what Registry.rollback does, under the epoch, if that leads to version `number`.

        An alias that names it already stays as it is, so a repeated call changes nothing. Raises
        Conflict if it would go back to another version.
        """

    @abstractmethod
    def changes_by(self, decision: int, adapter: str, alias: str) -> list[AliasChange]:
        """List the changes of an alias that carried a decision out, or undid it, oldest first."""

    @abstractmethod
    def alias_tip(self, adapter: str, alias: str) -> AliasTip | None:
        """Return what an alias names and where it would go back to; None if it is not set."""

    @abstractmethod
    def alias_changes(self) -> int:
        """Return how many changes of aliases are on record, of all adapters: it only rises."""

    @abstractmethod
    def open_decisions(self, family: str) -> list[Decision]:
        """List the decisions about members of a family that wait for the driver, by number.

        They are "approved", or "undone" at an operator's request and not yet in fact.
        """
