"""Tables of evidence and decisions, and of what became of each decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ._columns import Base
from ._line_tables import AdapterRow


class EvidenceRow(Base):
    """Numbers that a decision may rest on; append-only."""

    __tablename__ = "evidence"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    adapter_id: Mapped[int | None] = mapped_column(ForeignKey("adapters.id"), index=True)
    kind: Mapped[str]
    subject: Mapped[str]
    payload: Mapped[Mapping[str, Any]]
    created_at: Mapped[datetime]
    adapter: Mapped[AdapterRow | None] = relationship(lazy="joined")


class DecisionRow(Base):
    """A recorded choice; append-only."""

    __tablename__ = "decisions"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    adapter_id: Mapped[int | None] = mapped_column(ForeignKey("adapters.id"), index=True)
    kind: Mapped[str]
    subject: Mapped[str]
    reason: Mapped[str]
    payload: Mapped[Mapping[str, Any]]
    created_at: Mapped[datetime]
    adapter: Mapped[AdapterRow | None] = relationship(lazy="joined")
    evidence: Mapped[list[DecisionEvidenceRow]] = relationship(
        lazy="selectin", order_by="DecisionEvidenceRow.position"
    )
    steps: Mapped[list[DecisionLogRow]] = relationship(
        lazy="selectin", order_by="DecisionLogRow.sequence"
    )


class DecisionEvidenceRow(Base):
    """Which evidence a decision rests on."""

    __tablename__ = "decision_evidence"
    decision: Mapped[int] = mapped_column(ForeignKey("decisions.number"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    evidence: Mapped[int] = mapped_column(ForeignKey("evidence.number"), index=True)


class DecisionLogRow(Base):
    """What became of a decision, step by step; append-only."""

    __tablename__ = "decision_log"
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    decision: Mapped[int] = mapped_column(ForeignKey("decisions.number"))
    state: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (
        CheckConstraint(
            "state IN ('proposed', 'approved', 'vetoed', 'carried_out', 'failed', 'undone')",
            name="state",
        ),
        Index(None, "decision", "sequence"),
    )
