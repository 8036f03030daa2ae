"""Reading families, their members and assignments, and what became of decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from . import _rows
from ._database import now
from ._family_records import (
    AssignmentRecord,
    DecisionStep,
    FamilyRecord,
    MemberRecord,
    MemberState,
    Proposal,
    StepState,
)
from ._find import decision_row, family_row
from ._lists import MAX_LIMIT
from ._names import whole
from ._records import Decision
from ._tables import (
    AdapterRow,
    AssignmentRow,
    DecisionLogRow,
    DecisionRow,
    EvidenceRow,
    FamilyRow,
    MemberRow,
    ReviewRow,
    SummaryRow,
)

_BATCH = 500


def family_of(row: FamilyRow) -> FamilyRecord:
    """Copy a family."""
    return FamilyRecord(
        root=row.root.name, reviews=row.reviews, payload=row.payload, updated_at=row.updated_at
    )


def member_of(row: MemberRow, root: str) -> MemberRecord:
    """Copy a member."""
    return MemberRecord(
        adapter=row.adapter.name,
        family=root,
        state=cast("MemberState", row.state),
        payload=row.payload,
        updated_at=row.updated_at,
    )


def step_of(row: DecisionLogRow) -> DecisionStep:
    """Copy a line of the decision log."""
    return DecisionStep(
        sequence=row.sequence,
        decision=row.decision,
        state=cast("StepState", row.state),
        reason=row.reason,
        actor=row.actor,
        at=row.at,
    )


def families(session: Session) -> list[FamilyRecord]:
    """List families by root."""
    query = select(FamilyRow).join(FamilyRow.root).order_by(AdapterRow.name)
    return [family_of(row) for row in session.scalars(query)]


def members(session: Session, root: str) -> list[MemberRecord]:
    """List a family's members by name."""
    query = (
        select(MemberRow)
        .join(MemberRow.adapter)
        .where(MemberRow.family_id == family_row(session, root).adapter_id)
        .order_by(AdapterRow.name)
    )
    return [member_of(row, root) for row in session.scalars(query)]


def assignments(session: Session, root: str) -> list[AssignmentRecord]:
    """List a family's assignments by identity; columns alone, since there may be thousands."""
    query = (
        select(
            AssignmentRow.identity,
            AdapterRow.name,
            AssignmentRow.payload,
            AssignmentRow.updated_at,
        )
        .join(AdapterRow, AdapterRow.id == AssignmentRow.adapter_id)
        .where(AssignmentRow.family_id == family_row(session, root).adapter_id)
        .order_by(AssignmentRow.identity)
    )
    return [
        AssignmentRecord(
            family=root, identity=identity, adapter=name, payload=payload, updated_at=at
        )
        for identity, name, payload, at in session.execute(query)
    ]


def decision_log(
    session: Session, decision: int | None, since: int, limit: int
) -> list[DecisionStep]:
    """List steps by sequence; raise NotFound for a decision that is unknown."""
    whole("since", since)
    whole("limit", limit, least=1, most=MAX_LIMIT)
    query = (
        select(DecisionLogRow)
        .where(DecisionLogRow.sequence > since)
        .order_by(DecisionLogRow.sequence)
        .limit(limit)
    )
    if decision is not None:
        number = decision_row(session, whole("decision", decision)).number
        query = query.where(DecisionLogRow.decision == number)
    return [step_of(row) for row in session.scalars(query)]


def open_decisions(session: Session, root: str) -> list[Decision]:
    """List a family's decisions that wait for the driver, by number."""
    asked = (DecisionLogRow.state == "undone") & (DecisionLogRow.actor != "")
    wanted = asked | (DecisionLogRow.state == "approved")
    family = family_row(session, root)
    return [_rows.decision(row) for row, _ in session.execute(_standing(family, wanted))]


def proposals(session: Session, root: str, rest: int) -> list[Proposal]:
    """List a family's proposals that are open, or were vetoed within so many reviews."""
    family = family_row(session, root)
    number = family.reviews - whole("rest", rest) + 1
    began = session.scalar(_times(family).where(ReviewRow.number == number)) if rest else now()
    recent = DecisionLogRow.state == "vetoed"
    if began is not None:
        recent &= DecisionLogRow.at >= began
    wanted = recent | (DecisionLogRow.state == "proposed")
    return [
        Proposal(
            decision=_rows.decision(row),
            vetoed=None if step.state == "proposed" else _reviews_since(session, family, step.at),
        )
        for row, step in session.execute(_standing(family, wanted))
    ]


def _standing(
    family: FamilyRow, wanted: ColumnElement[bool]
) -> Select[DecisionRow, DecisionLogRow]:
    """Select a family's decisions whose newest step is as wanted, with that step, by number."""
    later = aliased(DecisionLogRow)
    newest = ~exists().where(
        later.decision == DecisionLogRow.decision, later.sequence > DecisionLogRow.sequence
    )
    return (
        select(DecisionRow, DecisionLogRow)
        .join(DecisionLogRow, DecisionLogRow.decision == DecisionRow.number)
        .join(MemberRow, MemberRow.adapter_id == DecisionRow.adapter_id)
        .where(MemberRow.family_id == family.adapter_id, newest, wanted)
        .order_by(DecisionRow.number)
    )


def _times(family: FamilyRow) -> Select[datetime]:
    """Select when a family's reviews were recorded."""
    return (
        select(EvidenceRow.created_at)
        .join(ReviewRow, ReviewRow.evidence == EvidenceRow.number)
        .where(ReviewRow.family_id == family.adapter_id)
    )


def _reviews_since(session: Session, family: FamilyRow, at: datetime) -> int:
    later = _times(family).where(EvidenceRow.created_at > at).subquery()
    return session.scalar(select(func.count()).select_from(later)) or 0


def summaries_of(session: Session, task_keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return payloads by task key, in the order of the keys.

    Asked for in batches: databases bound a query's parameters.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(task_keys), _BATCH):
        query = select(SummaryRow.task_key, SummaryRow.payload).where(
            SummaryRow.task_key.in_(task_keys[start : start + _BATCH])
        )
        found.update((key, payload) for key, payload in session.execute(query))
    return {key: found[key] for key in task_keys if key in found}
