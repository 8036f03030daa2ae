"""The ledger's writes about families, under the driver's epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from . import _decisions, _families, _family_lists, _rows, _summaries
from ._aliases import alias_changes, alias_tip, changes_by, move_alias, undo_alias_to
from ._family_records import (
    AliasTip,
    DecisionStep,
    FamilyRecord,
    MemberRecord,
    MemberState,
    NewAlias,
    NewDecision,
    Proposal,
    StepState,
)
from ._family_reviews import NewReview, record_review
from ._find import adapter_row, family_row
from ._guarded import GuardedWrites
from ._json import EMPTY
from ._left_out import drop_unused, leave_out_tasks
from ._names import whole
from ._records import Alias, AliasChange, Decision, Evidence, Version
from ._retire import retire_version


class GuardedFamilies(GuardedWrites):
    """The part of a ledger that is about families; see FamilyWrites for the contract."""

    def put_family(self, root: str, *, payload: Mapping[str, Any], epoch: int) -> FamilyRecord:
        """See FamilyWrites."""
        with self._database.write(epoch) as session:
            return _family_lists.family_of(_families.put_family(session, root, payload))

    def put_member(
        self,
        family: str,
        adapter: str,
        *,
        state: MemberState,
        payload: Mapping[str, Any],
        epoch: int,
    ) -> MemberRecord:
        """See FamilyWrites."""
        with self._database.write(epoch) as session:
            found = family_row(session, family)
            row = _families.put_member(session, found, adapter, state, payload)
            return _family_lists.member_of(row, family)

    def assign(
        self,
        family: str,
        assignments: Mapping[str, tuple[str, Mapping[str, Any]]],
        *,
        epoch: int,
    ) -> None:
        """See FamilyWrites."""
        checked = _families.checked_assignments(assignments)
        with self._database.write(epoch) as session:
            digests = _families.assign(session, family_row(session, family), checked)
        self._drop(digests, epoch)

    def leave_out(
        self, adapter: str, task_keys: Collection[str], *, reason: str, epoch: int
    ) -> None:
        """See FamilyWrites."""
        with self._database.write(epoch) as session:
            line = adapter_row(session, adapter)
            digests = leave_out_tasks(session, line, frozenset(task_keys), reason)
        self._drop(digests, epoch)

    def _drop(self, digests: Collection[str], epoch: int) -> None:
        if digests:
            with self._database.write(epoch) as session:
                drop_unused(session, self._blobs, digests)

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
        """See FamilyWrites."""
        review = NewReview(
            number=number,
            evidence=evidence,
            subject=subject,
            decisions=decisions,
            payload=payload,
            members=members,
            assignments=_families.checked_assignments(assignments),
            aliases=aliases,
        )
        with self._database.write(epoch) as session:
            recorded, left_out = record_review(session, family, review)
        self._drop(left_out, epoch)
        return recorded

    def settle(
        self, decision: int, *, state: StepState, reason: str = "", actor: str = "", epoch: int
    ) -> DecisionStep:
        """See FamilyWrites."""
        with self._database.write(epoch) as session:
            step = _decisions.settle_as_driver(session, decision, state, reason, actor)
            return _family_lists.step_of(step)

    def summaries_of(self, task_keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """See FamilyWrites."""
        with self._database.read() as session:
            return _family_lists.summaries_of(session, task_keys)

    def prune_summaries(
        self,
        adapter: str,
        *,
        kind: Literal["evaluate", "probe"],
        before_round: int,
        keep: Collection[str] = (),
        epoch: int,
    ) -> int:
        """See FamilyWrites."""
        with self._database.read() as session:
            found = _summaries.prunable(session, adapter, kind, before_round, frozenset(keep))
        for start in range(0, len(found), _summaries.BATCH):
            with self._database.write(epoch) as session:
                _summaries.prune(session, adapter, found[start : start + _summaries.BATCH])
        return len(found)

    def retire(self, ref: str, *, reason: str = "", epoch: int) -> Version:
        """See FamilyWrites."""
        with self._database.write(epoch) as session:
            return _rows.version(retire_version(session, ref, reason), profile=True)

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
        """See FamilyWrites."""
        whole("number", number)
        with self._database.write(epoch) as session:
            line = adapter_row(session, adapter)
            row = move_alias(session, line, alias, number, reason=reason, decision=decision)
            return _rows.alias(row, adapter)

    def proposals(self, family: str, *, rest: int) -> list[Proposal]:
        """See FamilyWrites."""
        with self._database.read() as session:
            return _family_lists.proposals(session, family, rest)

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
        """See FamilyWrites."""
        whole("number", number)
        with self._database.write(epoch) as session:
            line = adapter_row(session, adapter)
            row = undo_alias_to(session, line, alias, number, reason=reason, decision=decision)
            return _rows.alias(row, adapter)

    def changes_by(self, decision: int, adapter: str, alias: str) -> list[AliasChange]:
        """See FamilyWrites."""
        with self._database.read() as session:
            rows = changes_by(session, adapter_row(session, adapter), alias, decision)
            return [_rows.alias_change(row, adapter) for row in rows]

    def alias_tip(self, adapter: str, alias: str) -> AliasTip | None:
        """See FamilyWrites."""
        with self._database.read() as session:
            return alias_tip(session, adapter_row(session, adapter), alias)

    def alias_changes(self) -> int:
        """See FamilyWrites."""
        with self._database.read() as session:
            return alias_changes(session)

    def open_decisions(self, family: str) -> list[Decision]:
        """See FamilyWrites."""
        with self._database.read() as session:
            return _family_lists.open_decisions(session, family)
