"""The tables. Every rule that a database can keep is kept by the database.

The schema itself is made by the migrations; a test compares the two. Numbers that must be ordered
and gap-free come from `counters`, whose "events" row every writer locks first.
"""

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
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ._columns import Base, JsonText

_KEPT = text("blob IS NOT NULL")
_UNFINISHED = text("state NOT IN ('committed', 'abandoned')")


class CounterRow(Base):
    """The last number given out for events, evidence, decisions, alias_log."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class DriverRow(Base):
    """One epoch of the coordinator."""

    __tablename__ = "drivers"
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[str]
    started_at: Mapped[datetime]


class BaseModelRow(Base):
    """A frozen base model."""

    __tablename__ = "base_models"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    fingerprint: Mapped[str]
    meta: Mapped[Mapping[str, Any]] = mapped_column("metadata")
    created_at: Mapped[datetime]


class AdapterRow(Base):
    """A line of versions."""

    __tablename__ = "adapters"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    base_model_id: Mapped[int] = mapped_column(ForeignKey("base_models.id"), index=True)
    tags: Mapped[Mapping[str, Any]]
    head: Mapped[int | None]
    next_number: Mapped[int]
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    base_model: Mapped[BaseModelRow] = relationship(lazy="joined", innerjoin=True)


class BlobRow(Base):
    """A blob that is on the disk and in use."""

    __tablename__ = "blobs"
    digest: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class VersionRow(Base):
    """One immutable state of an adapter."""

    __tablename__ = "versions"
    id: Mapped[int] = mapped_column(primary_key=True)
    adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"))
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(ForeignKey("blobs.digest"), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    origin: Mapped[str]
    round: Mapped[int | None]
    rank: Mapped[int]
    modules: Mapped[list[Any]]
    dense: Mapped[list[Any]]
    profile: Mapped[Mapping[str, Any] | None] = mapped_column(JsonText, deferred=True)
    sketch: Mapped[bytes | None] = mapped_column(deferred=True)
    idempotency_key: Mapped[str | None]
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]

    adapter: Mapped[AdapterRow] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[adapter_id]
    )
    parents: Mapped[list[ParentRow]] = relationship(
        lazy="selectin", order_by="ParentRow.position", foreign_keys="ParentRow.version_id"
    )
    tags: Mapped[list[TagRow]] = relationship(lazy="selectin", order_by="TagRow.key")
    published_metrics: Mapped[list[MetricRow]] = relationship(
        lazy="selectin",
        viewonly=True,
        primaryjoin="and_(MetricRow.version_id == VersionRow.id, MetricRow.published)",
        order_by="MetricRow.name",
    )
    __table_args__ = (
        UniqueConstraint("adapter_id", "number"),
        UniqueConstraint("adapter_id", "idempotency_key"),
        UniqueConstraint("adapter_id", "round"),
        CheckConstraint("number >= 0", name="number"),
    )


class ParentRow(Base):
    """What a version was made from."""

    __tablename__ = "version_parents"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    parent_adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"))
    parent_number: Mapped[int]
    weight: Mapped[float | None]
    role: Mapped[str]
    parent_adapter: Mapped[AdapterRow] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[parent_adapter_id]
    )
    __table_args__ = (
        ForeignKeyConstraint(
            ["parent_adapter_id", "parent_number"], ["versions.adapter_id", "versions.number"]
        ),
        Index(None, "parent_adapter_id", "parent_number"),
    )


class TagRow(Base):
    """A tag of a version."""

    __tablename__ = "tags"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    __table_args__ = (Index(None, "key", "value"),)


class MetricRow(Base):
    """One measured number of a version; identity "" is the registry's owner."""

    __tablename__ = "metrics"
    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    name: Mapped[str]
    identity: Mapped[str]
    published: Mapped[bool]
    value: Mapped[float]
    created_at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("version_id", "name", "identity", "published"),
        Index(None, "name", "value"),
    )


class AliasRow(Base):
    """What an alias names now, and the log line that says so."""

    __tablename__ = "aliases"
    adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    reason: Mapped[str]
    sequence: Mapped[int] = mapped_column(ForeignKey("alias_log.sequence"), unique=True)
    updated_at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(["adapter_id", "number"], ["versions.adapter_id", "versions.number"]),
    )


class AliasLogRow(Base):
    """One change of an alias; append-only. `back_to` is the line that undoing it returns to."""

    __tablename__ = "alias_log"
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"))
    alias: Mapped[str]
    kind: Mapped[str]
    number: Mapped[int]
    previous: Mapped[int | None]
    back_to: Mapped[int | None] = mapped_column(ForeignKey("alias_log.sequence"))
    reason: Mapped[str]
    updated_at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(["adapter_id", "number"], ["versions.adapter_id", "versions.number"]),
        CheckConstraint("kind IN ('set', 'rollback')", name="kind"),
        Index(None, "adapter_id", "alias", "sequence"),
    )


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
        CheckConstraint("kind IN ('train', 'evaluate', 'describe')", name="kind"),
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
    """The statistics that came with an accepted update."""

    __tablename__ = "summaries"
    task_key: Mapped[str] = mapped_column(ForeignKey("contributions.task_key"), primary_key=True)
    adapter_id: Mapped[int] = mapped_column(ForeignKey("adapters.id"))
    round: Mapped[int]
    identity: Mapped[str]
    payload: Mapped[Mapping[str, Any]]
    created_at: Mapped[datetime]
    adapter: Mapped[AdapterRow] = relationship(lazy="joined", innerjoin=True)
    __table_args__ = (Index(None, "adapter_id", "round"),)


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


class DecisionEvidenceRow(Base):
    """Which evidence a decision rests on."""

    __tablename__ = "decision_evidence"
    decision: Mapped[int] = mapped_column(ForeignKey("decisions.number"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    evidence: Mapped[int] = mapped_column(ForeignKey("evidence.number"), index=True)


class EventRow(Base):
    """Something that happened; append-only, numbered without gaps."""

    __tablename__ = "events"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    adapter_id: Mapped[int | None] = mapped_column(ForeignKey("adapters.id"))
    subject: Mapped[str]
    payload: Mapped[Mapping[str, Any]]
    created_at: Mapped[datetime]
    adapter: Mapped[AdapterRow | None] = relationship(lazy="joined")
    __table_args__ = (Index(None, "adapter_id", "number"),)
