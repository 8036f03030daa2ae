"""Tables of rounds: nodes, what they were asked, what they answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ._columns import Base
from ._line_tables import AdapterRow

_KEPT = text("blob IS NOT NULL")
_UNFINISHED = text("state NOT IN ('committed', 'abandoned')")


class NodeRow(Base):
    """A participant."""

    __tablename__ = "nodes"
    identity: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    card: Mapped[Mapping[str, Any]]
    address: Mapped[str | None]
    status: Mapped[str]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    __table_args__ = (CheckConstraint("status IN ('live', 'gone', 'refused')", name="status"),)


class RoundRow(Base):
    """One federated iteration of one adapter."""

    __tablename__ = "rounds"
    adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(index=True)
    plan: Mapped[Mapping[str, Any]]
    start_number: Mapped[int]
    version: Mapped[int | None]
    reason: Mapped[str]
    deadline_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    adapter: Mapped[AdapterRow] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[adapter_id]
    )
    __table_args__ = (
        ForeignKeyConstraint(
            ["adapter_id", "start_number"], ["versions.adapter_id", "versions.number"]
        ),
        ForeignKeyConstraint(["adapter_id", "version"], ["versions.adapter_id", "versions.number"]),
        CheckConstraint(
            "state IN ('planned', 'open', 'aggregating', 'committed', 'abandoned')", name="state"
        ),
        CheckConstraint("(state = 'committed') = (version IS NOT NULL)", name="committed"),
        CheckConstraint("number >= 1", name="number"),
        Index(  # at most one unfinished round per adapter
            "uq_rounds_unfinished",
            "adapter_id",
            unique=True,
            sqlite_where=_UNFINISHED,
            postgresql_where=_UNFINISHED,
        ),
    )


class TaskRow(Base):
    """One request to one node."""

    __tablename__ = "tasks"
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    adapter_id: Mapped[int | None] = mapped_column(ForeignKey("adapters.id"))
    round: Mapped[int]
    identity: Mapped[str]
    start_digest: Mapped[str]
    config_digest: Mapped[str]
    rank: Mapped[int]
    state: Mapped[str]
    created_at: Mapped[datetime]
    adapter: Mapped[AdapterRow | None] = relationship(lazy="joined")
    __table_args__ = (
        CheckConstraint("kind IN ('train', 'evaluate', 'probe', 'describe')", name="kind"),
        CheckConstraint("state IN ('open', 'done', 'rejected', 'expired')", name="state"),
        CheckConstraint("kind = 'describe' OR adapter_id IS NOT NULL", name="adapter"),
        Index(None, "adapter_id", "round"),
        Index(None, "adapter_id", "state", "round"),
    )


class ContributionRow(Base):
    """The one outcome of a train task. `blob` is NULL when rejected or pruned."""

    __tablename__ = "contributions"
    task_key: Mapped[str] = mapped_column(ForeignKey("tasks.key"), primary_key=True)
    adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"))
    round: Mapped[int]
    identity: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    digest: Mapped[str]
    blob: Mapped[str | None] = mapped_column(ForeignKey("blobs.digest"), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    num_examples: Mapped[int] = mapped_column(BigInteger)
    metrics: Mapped[Mapping[str, Any]]
    start_digest: Mapped[str]
    start_number: Mapped[int]
    rank: Mapped[int]
    approximate: Mapped[bool]
    counted_in: Mapped[int | None]
    created_at: Mapped[datetime]
    adapter: Mapped[AdapterRow] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[adapter_id]
    )
    __table_args__ = (
        ForeignKeyConstraint(["adapter_id", "round"], ["rounds.adapter_id", "rounds.number"]),
        ForeignKeyConstraint(
            ["adapter_id", "counted_in"], ["versions.adapter_id", "versions.number"]
        ),
        CheckConstraint("status IN ('accepted', 'rejected')", name="status"),
        CheckConstraint("counted_in IS NULL OR status = 'accepted'", name="counted"),
        CheckConstraint("num_examples >= 0", name="num_examples"),
        Index(None, "adapter_id", "round"),
        Index(None, "adapter_id", "status", "counted_in"),
        Index(  # what pruning looks through: never the whole history
            "ix_contributions_kept",
            "adapter_id",
            "counted_in",
            sqlite_where=_KEPT,
            postgresql_where=_KEPT,
        ),
    )


class SummaryRow(Base):
    """The statistics that came with an accepted update, or with an evaluation."""

    __tablename__ = "summaries"
    task_key: Mapped[str] = mapped_column(ForeignKey("tasks.key"), primary_key=True)
    adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"))
    round: Mapped[int]
    identity: Mapped[str]
    payload: Mapped[Mapping[str, Any]]
    created_at: Mapped[datetime]
    adapter: Mapped[AdapterRow] = relationship(lazy="joined", innerjoin=True)
    __table_args__ = (Index(None, "adapter_id", "round"),)
