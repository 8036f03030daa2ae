"""The first schema: every table of the registry.

Column types are written out, never taken from the program: a migration describes the past.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# (table, event, columns that may not change or "" for all, further condition, what it protects)
GUARDS = (
    ("alias_log", "UPDATE", "", "", "alias_log is append-only"),
    ("alias_log", "DELETE", "", "", "alias_log is append-only"),
    ("events", "UPDATE", "", "", "events is append-only"),
    ("events", "DELETE", "", "", "events is append-only"),
    ("evidence", "UPDATE", "", "", "evidence is append-only"),
    ("evidence", "DELETE", "", "", "evidence is append-only"),
    ("decisions", "UPDATE", "", "", "decisions is append-only"),
    ("decisions", "DELETE", "", "", "decisions is append-only"),
    ("versions", "DELETE", "", "", "versions are immutable"),
    (
        "versions",
        "UPDATE",
        "adapter_id, number, digest, size_bytes, origin, round, rank, modules, dense",
        "",
        "versions are immutable",
    ),
    (
        "contributions",
        "UPDATE",
        "counted_in",
        "OLD.counted_in IS NOT NULL",
        "counted_in is set once",
    ),
    ("contributions", "DELETE", "", "", "contributions are kept"),
)


def upgrade() -> None:
    """Create everything."""
    _base_models()
    _blobs()
    _counters()
    _drivers()
    _nodes()
    _adapters()
    _decisions()
    _events()
    _evidence()
    _tasks()
    _versions()
    _alias_log()
    _decision_evidence()
    _metrics()
    _rounds()
    _tags()
    _version_parents()
    _aliases()
    _contributions()
    _summaries()
    op.bulk_insert(
        sa.table("counters", sa.column("name", sa.Text()), sa.column("value", sa.Integer())),
        [{"name": name, "value": 0} for name in ("events", "evidence", "decisions", "alias_log")],
    )
    for position, guard in enumerate(GUARDS):
        _guard(f"guard_{position}_{guard[0]}", *guard)


def _guard(name: str, table: str, event: str, columns: str, when: str, problem: str) -> None:
    """Let the database itself refuse a change, whatever program makes it."""
    of = f" OF {columns}" if columns else ""
    condition = f" WHEN ({when})" if when else ""
    head = f"CREATE TRIGGER {name} BEFORE {event}{of} ON {table} FOR EACH ROW{condition}"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE integrity_constraint_violation USING MESSAGE = '{problem}'; END $$"
        )
        op.execute(f"{head} EXECUTE FUNCTION {name}()")
    else:
        op.execute(f"{head} BEGIN SELECT RAISE(ABORT, '{problem}'); END")


def _base_models() -> None:
    op.create_table(
        "base_models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_base_models")),
        sa.UniqueConstraint("name", name=op.f("uq_base_models_name")),
    )


def _blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )


def _counters() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )


def _drivers() -> None:
    op.create_table(
        "drivers",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_drivers")),
    )


def _nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('live', 'gone', 'refused')", name=op.f("ck_nodes_status")),
        sa.PrimaryKeyConstraint("identity", name=op.f("pk_nodes")),
    )


def _adapters() -> None:
    op.create_table(
        "adapters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base_model_id", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("head", sa.Integer(), nullable=True),
        sa.Column("next_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["base_model_id"], ["base_models.id"], name=op.f("fk_adapters_base_model_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adapters")),
        sa.UniqueConstraint("name", name=op.f("uq_adapters_name")),
    )
    op.create_index(op.f("ix_adapters_base_model_id"), "adapters", ["base_model_id"], unique=False)


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_decisions_adapter_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_adapter_id"), "decisions", ["adapter_id"], unique=False)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["adapter_id"], ["adapters.id"], name=op.f("fk_events_adapter_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
    )
    op.create_index(
        op.f("ix_events_adapter_id_number"), "events", ["adapter_id", "number"], unique=False
    )


def _evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_evidence_adapter_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_evidence")),
    )
    op.create_index(op.f("ix_evidence_adapter_id"), "evidence", ["adapter_id"], unique=False)


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
        sa.CheckConstraint("kind IN ('train', 'evaluate', 'describe')", name=op.f("ck_tasks_kind")),
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


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=True),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("modules", sa.Text(), nullable=False),
        sa.Column("dense", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.Column("sketch", sa.LargeBinary(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("number >= 0", name=op.f("ck_versions_number")),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_versions_adapter_id")
        ),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name=op.f("fk_versions_digest")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint(
            "adapter_id", "idempotency_key", name=op.f("uq_versions_adapter_id_idempotency_key")
        ),
        sa.UniqueConstraint("adapter_id", "number", name=op.f("uq_versions_adapter_id_number")),
        sa.UniqueConstraint("adapter_id", "round", name=op.f("uq_versions_adapter_id_round")),
    )
    op.create_index(op.f("ix_versions_digest"), "versions", ["digest"], unique=False)


def _alias_log() -> None:
    op.create_table(
        "alias_log",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("back_to", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('set', 'rollback')", name=op.f("ck_alias_log_kind")),
        sa.ForeignKeyConstraint(
            ["adapter_id", "number"],
            ["versions.adapter_id", "versions.number"],
            name=op.f("fk_alias_log_adapter_id_number"),
        ),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_alias_log_adapter_id")
        ),
        sa.ForeignKeyConstraint(
            ["back_to"], ["alias_log.sequence"], name=op.f("fk_alias_log_back_to")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_alias_log")),
    )
    op.create_index(
        op.f("ix_alias_log_adapter_id_alias_sequence"),
        "alias_log",
        ["adapter_id", "alias", "sequence"],
        unique=False,
    )


def _decision_evidence() -> None:
    op.create_table(
        "decision_evidence",
        sa.Column("decision", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision"], ["decisions.number"], name=op.f("fk_decision_evidence_decision")
        ),
        sa.ForeignKeyConstraint(
            ["evidence"], ["evidence.number"], name=op.f("fk_decision_evidence_evidence")
        ),
        sa.PrimaryKeyConstraint("decision", "position", name=op.f("pk_decision_evidence")),
    )
    op.create_index(
        op.f("ix_decision_evidence_evidence"), "decision_evidence", ["evidence"], unique=False
    )


def _metrics() -> None:
    op.create_table(
        "metrics",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("value", sa.Double[float](), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_metrics_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metrics")),
        sa.UniqueConstraint(
            "version_id",
            "name",
            "identity",
            "published",
            name=op.f("uq_metrics_version_id_name_identity_published"),
        ),
    )
    op.create_index(op.f("ix_metrics_name_value"), "metrics", ["name", "value"], unique=False)


def _rounds() -> None:
    op.create_table(
        "rounds",
        sa.Column("adapter_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("start_number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'committed') = (version IS NOT NULL)", name=op.f("ck_rounds_committed")
        ),
        sa.CheckConstraint(
            "state IN ('planned', 'open', 'aggregating', 'committed', 'abandoned')",
            name=op.f("ck_rounds_state"),
        ),
        sa.CheckConstraint("number >= 1", name=op.f("ck_rounds_number")),
        sa.ForeignKeyConstraint(
            ["adapter_id", "start_number"],
            ["versions.adapter_id", "versions.number"],
            name=op.f("fk_rounds_adapter_id_start_number"),
        ),
        sa.ForeignKeyConstraint(
            ["adapter_id", "version"],
            ["versions.adapter_id", "versions.number"],
            name=op.f("fk_rounds_adapter_id_version"),
        ),
        sa.ForeignKeyConstraint(["adapter_id"], ["adapters.id"], name=op.f("fk_rounds_adapter_id")),
        sa.PrimaryKeyConstraint("adapter_id", "number", name=op.f("pk_rounds")),
    )
    op.create_index(op.f("ix_rounds_state"), "rounds", ["state"], unique=False)
    op.create_index(
        "uq_rounds_unfinished",
        "rounds",
        ["adapter_id"],
        unique=True,
        sqlite_where=sa.text("state NOT IN ('committed', 'abandoned')"),
        postgresql_where=sa.text("state NOT IN ('committed', 'abandoned')"),
    )


def _tags() -> None:
    op.create_table(
        "tags",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_tags_version_id")),
        sa.PrimaryKeyConstraint("version_id", "key", name=op.f("pk_tags")),
    )
    op.create_index(op.f("ix_tags_key_value"), "tags", ["key", "value"], unique=False)


def _version_parents() -> None:
    op.create_table(
        "version_parents",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parent_adapter_id", sa.Integer(), nullable=False),
        sa.Column("parent_number", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Double[float](), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_adapter_id", "parent_number"],
            ["versions.adapter_id", "versions.number"],
            name=op.f("fk_version_parents_parent_adapter_id_parent_number"),
        ),
        sa.ForeignKeyConstraint(
            ["parent_adapter_id"],
            ["adapters.id"],
            name=op.f("fk_version_parents_parent_adapter_id"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_version_parents_version_id")
        ),
        sa.PrimaryKeyConstraint("version_id", "position", name=op.f("pk_version_parents")),
    )
    op.create_index(
        op.f("ix_version_parents_parent_adapter_id_parent_number"),
        "version_parents",
        ["parent_adapter_id", "parent_number"],
        unique=False,
    )


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("adapter_id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter_id", "number"],
            ["versions.adapter_id", "versions.number"],
            name=op.f("fk_aliases_adapter_id_number"),
        ),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_aliases_adapter_id")
        ),
        sa.ForeignKeyConstraint(
            ["sequence"], ["alias_log.sequence"], name=op.f("fk_aliases_sequence")
        ),
        sa.PrimaryKeyConstraint("adapter_id", "alias", name=op.f("pk_aliases")),
        sa.UniqueConstraint("sequence", name=op.f("uq_aliases_sequence")),
    )


def _contributions() -> None:
    op.create_table(
        "contributions",
        sa.Column("task_key", sa.Text(), nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("blob", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("num_examples", sa.BigInteger(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("start_digest", sa.Text(), nullable=False),
        sa.Column("start_number", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("approximate", sa.Boolean(), nullable=False),
        sa.Column("counted_in", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "counted_in IS NULL OR status = 'accepted'", name=op.f("ck_contributions_counted")
        ),
        sa.CheckConstraint(
            "status IN ('accepted', 'rejected')", name=op.f("ck_contributions_status")
        ),
        sa.CheckConstraint("num_examples >= 0", name=op.f("ck_contributions_num_examples")),
        sa.ForeignKeyConstraint(
            ["adapter_id", "counted_in"],
            ["versions.adapter_id", "versions.number"],
            name=op.f("fk_contributions_adapter_id_counted_in"),
        ),
        sa.ForeignKeyConstraint(
            ["adapter_id", "round"],
            ["rounds.adapter_id", "rounds.number"],
            name=op.f("fk_contributions_adapter_id_round"),
        ),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_contributions_adapter_id")
        ),
        sa.ForeignKeyConstraint(["blob"], ["blobs.digest"], name=op.f("fk_contributions_blob")),
        sa.ForeignKeyConstraint(
            ["task_key"], ["tasks.key"], name=op.f("fk_contributions_task_key")
        ),
        sa.PrimaryKeyConstraint("task_key", name=op.f("pk_contributions")),
    )
    op.create_index(
        op.f("ix_contributions_adapter_id_status_counted_in"),
        "contributions",
        ["adapter_id", "status", "counted_in"],
        unique=False,
    )
    op.create_index(
        "ix_contributions_kept",
        "contributions",
        ["adapter_id", "counted_in"],
        unique=False,
        sqlite_where=sa.text("blob IS NOT NULL"),
        postgresql_where=sa.text("blob IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_contributions_adapter_id_round"),
        "contributions",
        ["adapter_id", "round"],
        unique=False,
    )
    op.create_index(op.f("ix_contributions_blob"), "contributions", ["blob"], unique=False)


def _summaries() -> None:
    op.create_table(
        "summaries",
        sa.Column("task_key", sa.Text(), nullable=False),
        sa.Column("adapter_id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_summaries_adapter_id")
        ),
        sa.ForeignKeyConstraint(
            ["task_key"], ["contributions.task_key"], name=op.f("fk_summaries_task_key")
        ),
        sa.PrimaryKeyConstraint("task_key", name=op.f("pk_summaries")),
    )
    op.create_index(
        op.f("ix_summaries_adapter_id_round"), "summaries", ["adapter_id", "round"], unique=False
    )
