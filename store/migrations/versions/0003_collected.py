"""Bytes that were let go of, and which decision moved an alias.

Column types are written out, never taken from the program: a migration describes the past.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns that are empty for all that was written before."""
    op.add_column("blobs", sa.Column("collected_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("alias_log", sa.Column("decision", sa.Integer(), nullable=True))
