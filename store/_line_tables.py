"""Tables of adapter lines: versions, what they are made of, aliases, events."""

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
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ._columns import Base, JsonText


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
    base_model: Mapped[BaseModelRow] = relationship()


class BlobRow(Base):
    """A blob: on the disk and in use, or collected, so that only its digest is left."""

    __tablename__ = "blobs"
    digest: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    collected_at: Mapped[datetime | None]


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
        order_by="ParentRow.position", foreign_keys="ParentRow.version_id"
    )
    tags: Mapped[list[TagRow]] = relationship(order_by="TagRow.key")
    published_metrics: Mapped[list[MetricRow]] = relationship(
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
    """One change of an alias; append-only. `back_to` is the line that undoing it returns to.

    `decision` is the number of the decision that it carries out or undoes.
    """

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
    decision: Mapped[int | None]
    __table_args__ = (
        ForeignKeyConstraint(["adapter_id", "number"], ["versions.adapter_id", "versions.number"]),
        CheckConstraint("kind IN ('set', 'rollback')", name="kind"),
        Index(None, "adapter_id", "alias", "sequence"),
    )


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
