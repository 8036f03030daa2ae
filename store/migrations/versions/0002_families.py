"""Families: members, assignments, reviews, what became of decisions; summaries of evaluations.

Column types are written out, never taken from the program: a migration describes the past.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("decision_log", "reviews")
KINDS = "kind IN ('train', 'evaluate', 'probe', 'describe')"


def upgrade() -> None:
    """Let tasks be probes, let every task bring a summary, and add the tables of families."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_tasks_kind"), "tasks", type_="check")
        op.create_check_constraint(op.f("ck_tasks_kind"), "tasks", KINDS)
    else:
        _tasks_anew()
    with op.batch_alter_table("summaries") as batch:
        batch.drop_constraint(op.f("fk_summaries_task_key"), type_="foreignkey")
        batch.create_foreign_key(op.f("fk_summaries_task_key"), "tasks", ["task_key"], ["key"])
    _families()
    _members()
    _assignments()
    _reviews()
    _decision_log()
    op.execute("INSERT INTO counters (name, value) VALUES ('decision_log', 0)")
    for table in APPEND_ONLY:
        for event in ("UPDATE", "DELETE"):
            _guard(f"guard_{table}_{event.lower()}", table, event)


def _tasks_anew() -> None:
    """Make SQLite's table of tasks anew, since no constraint of it can be changed.

    Not by batch mode: contributions refer to this table. What refers to nothing while the table
    is away is checked at the commit only, and SQLite takes it as mended when the rows come back
    into a table of that name, but not when another table gets that name.
    """
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TABLE tasks_0001 AS SELECT * FROM tasks")
    op.drop_table("tasks")
    _tasks()
    columns = "key, kind, adapter_id, round, identity, start_digest, config_digest, rank, state"
    op.execute(
        f"INSERT INTO tasks ({columns}, created_at) SELECT {columns}, created_at FROM tasks_0001"
    )
    op.drop_table("tasks_0001")


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("start_digest", sa.Text(), nullable=False),
        sa.Column("config_digest", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind = 'describe' OR adapter_id IS NOT NULL", name=op.f("ck_tasks_adapter")
        ),
        sa.CheckConstraint(KINDS, name=op.f("ck_tasks_kind")),
        sa.CheckConstraint(
            "state IN ('open', 'done', 'rejected', 'expired')", name=op.f("ck_tasks_state")
        ),
        sa.ForeignKeyConstraint(["adapter_id"], ["adapters.id"], name=op.f("fk_tasks_adapter_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_tasks")),
    )
    op.create_index(
        op.f("ix_tasks_adapter_id_round"), "tasks", ["adapter_id", "round"], unique=False
    )
    op.create_index(
        op.f("ix_tasks_adapter_id_state_round"),
        "tasks",
        ["adapter_id", "state", "round"],
        unique=False,
    )


def _families() -> None:
    op.create_table(
        "families",
        sa.Column("adapter_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("reviews >= 0", name=op.f("ck_families_reviews")),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_families_adapter_id")
        ),
        sa.PrimaryKeyConstraint("adapter_id", name=op.f("pk_families")),
    )


def _members() -> None:
    op.create_table(
        "members",
        sa.Column("adapter_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("family_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('active', 'archived')", name=op.f("ck_members_state")),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_members_adapter_id")
        ),
        sa.ForeignKeyConstraint(
            ["family_id"], ["families.adapter_id"], name=op.f("fk_members_family_id")
        ),
        sa.PrimaryKeyConstraint("adapter_id", name=op.f("pk_members")),
        sa.UniqueConstraint(
            "family_id", "adapter_id", name=op.f("uq_members_family_id_adapter_id")
        ),
    )


def _assignments() -> None:
    op.create_table(
        "assignments",
        sa.Column("family_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(payload) <= 4096", name=op.f("ck_assignments_payload")),
        sa.ForeignKeyConstraint(
            ["family_id", "adapter_id"],
            ["members.family_id", "members.adapter_id"],
            name=op.f("fk_assignments_family_id_adapter_id"),
        ),
        sa.PrimaryKeyConstraint("family_id", "identity", name=op.f("pk_assignments")),
    )


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("family_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evidence", sa.Integer(), nullable=False),
        sa.Column("decisions", sa.Integer(), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_reviews_number")),
        sa.CheckConstraint("decisions >= 0", name=op.f("ck_reviews_decisions")),
        sa.ForeignKeyConstraint(
            ["evidence"], ["evidence.number"], name=op.f("fk_reviews_evidence")
        ),
        sa.ForeignKeyConstraint(
            ["family_id"], ["families.adapter_id"], name=op.f("fk_reviews_family_id")
        ),
        sa.PrimaryKeyConstraint("family_id", "number", name=op.f("pk_reviews")),
        sa.UniqueConstraint("evidence", name=op.f("uq_reviews_evidence")),
    )


def _decision_log() -> None:
    op.create_table(
        "decision_log",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("decision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('proposed', 'approved', 'vetoed', 'carried_out', 'failed', 'undone')",
            name=op.f("ck_decision_log_state"),
        ),
        sa.ForeignKeyConstraint(
            ["decision"], ["decisions.number"], name=op.f("fk_decision_log_decision")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_decision_log")),
    )
    op.create_index(
        op.f("ix_decision_log_decision_sequence"),
        "decision_log",
        ["decision", "sequence"],
        unique=False,
    )


def _guard(name: str, table: str, event: str) -> None:
    """Let the database itself refuse a change, whatever program makes it."""
    problem = f"{table} is append-only"
    head = f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE integrity_constraint_violation USING MESSAGE = '{problem}'; END $$"
        )
        op.execute(f"{head} EXECUTE FUNCTION {name}()")
    else:
        op.execute(f"{head} BEGIN SELECT RAISE(ABORT, '{problem}'); END")
