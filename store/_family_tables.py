"""Tables of families: their members, who trains which, and the reviews of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ._columns import Base
from ._line_tables import AdapterRow


class FamilyRow(Base):
    """The lines that began as one line, the root, whose key is the family's."""

    __tablename__ = "families"
    adapter_id: Mapped[int] = mapped_column(
        ForeignKey("adapters.id"), primary_key=True, autoincrement=False
    )
    reviews: Mapped[int]
    payload: Mapped[Mapping[str, Any]]
    updated_at: Mapped[datetime]
    root: Mapped[AdapterRow] = relationship(lazy="joined", innerjoin=True)
    __table_args__ = (CheckConstraint("reviews >= 0", name="reviews"),)


class MemberRow(Base):
    """One line of a family; a line is in one family at most."""

    __tablename__ = "members"
    adapter_id: Mapped[int] = mapped_column(
        ForeignKey("adapters.id"), primary_key=True, autoincrement=False
    )
    family_id: Mapped[int] = mapped_column(ForeignKey("families.adapter_id"))
    state: Mapped[str]
    payload: Mapped[Mapping[str, Any]]
    updated_at: Mapped[datetime]
    adapter: Mapped[AdapterRow] = relationship(lazy="joined", innerjoin=True)
    __table_args__ = (
        UniqueConstraint("family_id", "adapter_id"),
        CheckConstraint("state IN ('active', 'archived')", name="state"),
    )


class AssignmentRow(Base):
    """Which member of a family a node trains and serves."""

    __tablename__ = "assignments"
    family_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(primary_key=True)
    adapter_id: Mapped[int]
    payload: Mapped[Mapping[str, Any]]
    updated_at: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(
            ["family_id", "adapter_id"], ["members.family_id", "members.adapter_id"]
        ),
        CheckConstraint("length(payload) <= 4096", name="payload"),
    )


class ReviewRow(Base):
    """One look at a whole family: its evidence, and how many decisions it led to; append-only."""

    __tablename__ = "reviews"
    family_id: Mapped[int] = mapped_column(
        ForeignKey("families.adapter_id"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    evidence: Mapped[int] = mapped_column(ForeignKey("evidence.number"), unique=True)
    decisions: Mapped[int]
    __table_args__ = (
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("decisions >= 0", name="decisions"),
    )
