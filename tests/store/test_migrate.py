"""The schema: made by migrations, kept by the database itself."""

import contextlib
import sqlite3
import warnings

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from polyrank.store import NewDecision, SchemaTooNew, open_ledger
from polyrank.store._migrate import FOLDER, HEAD, VERSION_TABLE
from polyrank.store._tables import Base
from sqlalchemy import create_engine, event, text
from store_blobs import adapter_blob
from store_worlds import NAME, begin, open_round, task, whole_round


def fill(ledger) -> None:
    """A committed round and an open one, and a family that was reviewed."""
    epoch = begin(ledger)
    whole_round(ledger, epoch, 1, aliases=["stable"])
    open_round(ledger, epoch)
    asked = ledger.put_task(task(1, "n1", kind="evaluate"), epoch=epoch)
    ledger.close_task(asked.key, state="done", summary={"n": 1}, epoch=epoch)
    ledger.put_family(NAME, payload={}, epoch=epoch)
    ledger.record_review(
        NAME,
        number=1,
        evidence={},
        subject="",
        decisions=[NewDecision(kind="keep", reason="", state="proposed")],
        payload={},
        assignments={"n1": (NAME, {})},
        epoch=epoch,
    )


@pytest.fixture
def raw(tmp_path, sqlite_url):
    """A bare connection to a database with something in every table of the rules below."""
    with open_ledger(sqlite_url) as ledger:
        fill(ledger)
    connection = sqlite3.connect(tmp_path / "registry.db")
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_the_migrations_make_what_the_models_say(request, backend):
    if backend == "sqlite":
        url = request.getfixturevalue("sqlite_url")
    else:
        url = request.getfixturevalue("postgres").url("polyrank")
    engine = create_engine(url)
    with engine.connect() as connection, warnings.catch_warnings():
        warnings.simplefilter("error")
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_the_program_names():
    assert ScriptDirectory(str(FOLDER)).get_current_head() == HEAD


DESIGN = (
    "base_models adapters versions version_parents blobs aliases alias_log nodes rounds tasks "
    "contributions summaries evidence decisions events metrics tags drivers counters families "
    "members assignments reviews decision_log"
)


def test_every_table_of_the_design_exists(raw):
    names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    assert names >= set(DESIGN.split())


def test_the_version_table_is_our_own(raw):
    names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    assert "polyrank_alembic_version" in names
    assert "alembic_version" not in names


def test_a_newer_schema_is_refused_and_left_alone(raw, sqlite_url):
    raw.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    raw.commit()
    with pytest.raises(SchemaTooNew, match="upgrade polyrank") as caught:
        open_ledger(sqlite_url)
    assert (caught.value.found, caught.value.known) == ("9999", HEAD)
    assert raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [("9999",)]


def test_opening_again_keeps_everything(raw, sqlite_url):
    with open_ledger(sqlite_url) as ledger:
        assert ledger.registry.adapter(NAME).head == 1


def test_files_are_durable_and_strict(sqlite_url):
    with open_ledger(sqlite_url) as ledger, ledger._database.read() as session:
        pragmas = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30000,
    }


FORBIDDEN = {
    "count twice": "UPDATE contributions SET counted_in = 0 WHERE counted_in = 1",
    "uncount": "UPDATE contributions SET counted_in = NULL WHERE counted_in = 1",
    "drop a contribution": "DELETE FROM contributions",
    "rewrite the alias log": "UPDATE alias_log SET number = 0",
    "shorten the alias log": "DELETE FROM alias_log",
    "rewrite events": "UPDATE events SET kind = 'x'",
    "drop events": "DELETE FROM events",
    "rewrite evidence": "UPDATE evidence SET payload = '{}'",
    "drop decisions": "DELETE FROM decisions",
    "change a version": "UPDATE versions SET digest = digest",
    "drop a version": "DELETE FROM versions WHERE number = 1",
    "a number twice": "UPDATE versions SET number = 0 WHERE number = 1",
    "a round in no state": "UPDATE rounds SET state = 'asleep'",
    "a commit without version": "UPDATE rounds SET version = NULL",
    "two unfinished rounds": "INSERT INTO rounds SELECT adapter_id, 9, state, plan, start_number, "
    "version, reason, deadline_at, created_at, closed_at FROM rounds WHERE state = 'open'",
    "a task key twice": "INSERT INTO tasks SELECT * FROM tasks",
    "a second contribution": "INSERT INTO contributions SELECT * FROM contributions",
    "an alias of nothing": "UPDATE aliases SET number = 77",
    "rewrite the decision log": "UPDATE decision_log SET state = 'approved'",
    "shorten the decision log": "DELETE FROM decision_log",
    "a step to no state": "INSERT INTO decision_log SELECT 9, decision, 'asleep', '', '', at "
    "FROM decision_log",
    "a step of no decision": "INSERT INTO decision_log SELECT 9, 77, state, '', '', at "
    "FROM decision_log",
    "rewrite a review": "UPDATE reviews SET decisions = 0",
    "drop a review": "DELETE FROM reviews",
    "a review number twice": "INSERT INTO reviews SELECT * FROM reviews",
    "a member of no family": "UPDATE members SET family_id = 77",
    "a member in no state": "UPDATE members SET state = 'asleep'",
    "a node of a stranger": "UPDATE assignments SET adapter_id = 77",
    "a long watch": f"UPDATE assignments SET payload = '{'x' * 4097}'",
    "a family without its line": "UPDATE families SET adapter_id = 77",
    "a summary of no task": "UPDATE summaries SET task_key = 'none'",
    "a task of no kind": "UPDATE tasks SET kind = 'sleep'",
    "a version of no bytes": "DELETE FROM blobs",
    "a version of no adapter": "DELETE FROM adapters",
}


def test_the_database_itself_refuses_to_break_a_rule(raw):
    for name, statement in FORBIDDEN.items():
        try:
            raw.execute(statement)
            raw.commit()
        except sqlite3.IntegrityError:
            raw.rollback()
        else:
            pytest.fail(name)


def test_postgresql_refuses_the_same(open_local, postgres):
    import psycopg

    fill(open_local("postgresql"))
    for statement in FORBIDDEN.values():
        with pytest.raises(psycopg.errors.IntegrityError):
            postgres.run(statement)


def test_a_first_opening_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/registry.db"

    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Operations, "bulk_insert", fail)
        with pytest.raises(KeyboardInterrupt):
            open_ledger(url)
    connection = sqlite3.connect(tmp_path / "registry.db")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    with open_ledger(url) as ledger:
        begin(ledger)
        assert ledger.registry.read(NAME) == adapter_blob({"fc": (4, 0, 3)}, {"head": (2, 4)})


STEPS = {  # what the driver asks at each step, and what each of its columns must narrow down
    "open tasks": (
        lambda ledger, epoch: ledger.tasks(NAME, state="open"),
        "ix_tasks_adapter_id_state_round (adapter_id=? AND state=?",
    ),
    "waiting contributions": (
        lambda ledger, epoch: ledger.contributions(NAME, status="accepted", counted=False),
        "ix_contributions_adapter_id_status_counted_in (adapter_id=? AND status=? AND counted_in=?",
    ),
    "what to prune": (
        lambda ledger, epoch: ledger.prune_contributions(NAME, keep_rounds=1, epoch=epoch),
        "ix_contributions_kept (adapter_id=? AND counted_in",
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_what_a_driver_asks_often_does_not_read_the_whole_history(tmp_path, sqlite_url, step):
    ask, index = STEPS[step]
    said: list[tuple[str, object]] = []
    with open_ledger(sqlite_url) as ledger:
        epoch = begin(ledger)
        whole_round(ledger, epoch, 1)
        whole_round(ledger, epoch, 2)
        engine = ledger._database._engine
        event.listen(engine, "before_cursor_execute", lambda *a: said.append((a[2], a[3])))
        ask(ledger, epoch)
    (asked, values), *_ = [
        (text, values)
        for text, values in said
        if text.startswith("SELECT") and ("FROM tasks" in text or "FROM contributions" in text)
    ]
    with contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {asked}", values).fetchall()
    assert any(index in line for (*_, line) in plan), plan
