"""Old databases go on: what an older polyrank wrote is read, kept and continued by this one."""

import contextlib
import sqlite3
import warnings
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from polyrank.store import NewDecision, open_ledger
from polyrank.store._migrate import FOLDER, HEAD, VERSION_TABLE
from polyrank.store._tables import Base
from sqlalchemy import create_engine, inspect, text
from store_worlds import NAME, task

OLD = Path(__file__).parent / "assets" / "registry_0001.sql"
KEPT = (VERSION_TABLE, "counters")  # tables that a migration may add to
NEW = {"collected_at", "decision"}  # columns of blobs and alias_log since schema 0003


def unpack(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text())


@pytest.fixture
def old(tmp_path) -> Path:
    """An SQLite file as polyrank left it at schema 0001."""
    unpack(tmp_path / "registry.db")
    return tmp_path / "registry.db"


def rows_of(path: Path) -> dict[str, list[tuple]]:
    """Every row of every table, by its columns in the order of their names."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = {}
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            columns = sorted(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
            if table in ("blobs", "alias_log"):
                columns = [column for column in columns if column not in NEW]
            listed = ", ".join(f'"{column}"' for column in columns)
            found[table] = sorted(
                connection.execute(f"SELECT {listed} FROM {table}").fetchall(), key=repr
            )
        return found


def schema_of(path: Path) -> set[tuple[str, str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("SELECT type, name, sql FROM sqlite_master"))


def everything(ledger):
    registry = ledger.registry
    names = [line.name for line in registry.adapters()]
    return (
        registry.base_models(),
        registry.adapters(),
        registry.search(limit=1000).items,
        [registry.versions(name).items for name in names],
        [registry.version(f"{NAME}@{number}").profile for number in range(3)],
        [registry.aliases(name) for name in names],
        registry.alias_history(NAME, "stable"),
        registry.metrics(f"{NAME}@1"),
        registry.nodes(),
        ledger.rounds(),
        ledger.tasks(),
        [ledger.contributions(name) for name in names],
        [registry.summaries(name) for name in names],
        registry.drivers(),
        registry.evidence(),
        registry.decisions(),
        registry.events(limit=1000),
    )


def test_nothing_that_was_written_is_lost(old):
    before = rows_of(old)
    open_ledger(f"sqlite:///{old}").close()
    after = rows_of(old)
    assert after[VERSION_TABLE] == [(HEAD,)]
    assert set(before["counters"]) < set(after["counters"])
    assert sum(map(len, before.values())) > 90
    for table in before.keys() - set(KEPT):
        assert after[table] == before[table], table


def test_an_upgraded_file_has_the_schema_of_a_new_one(old, ready_sqlite):
    open_ledger(f"sqlite:///{old}").close()
    assert schema_of(old) == schema_of(ready_sqlite)
    with contextlib.closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_was_written_is_read(old):
    with open_ledger(f"sqlite:///{old}") as ledger:
        registry = ledger.registry
        assert [(s.round, s.identity, s.payload) for s in registry.summaries(NAME)] == [
            (1, "n1", {"n": 3, "sum": [1.5, -2.0]}),
            (1, "n2", {"n": 4, "sum": [0.0, 1e-7]}),
            (2, "n1", {"n": 5, "sum": [2.5, 0.0]}),
        ]
        assert [(d.kind, d.adapter, d.evidence, d.state) for d in registry.decisions()] == [
            ("keep", NAME, (1, 2), "recorded"),
            ("rollback", NAME, (2,), "recorded"),
            ("keep", None, (), "recorded"),
        ]
        assert [(a.alias, a.number) for a in registry.aliases(NAME)] == [
            ("candidate", 2),
            ("stable", 1),
        ]
        assert [(r.number, r.state) for r in ledger.rounds(NAME)] == [
            (1, "committed"),
            (2, "committed"),
            (3, "open"),
        ]
        assert {t.kind for t in ledger.tasks()} == {"train", "evaluate", "describe"}
        assert registry.families() == registry.decision_log() == []


def go_on(ledger) -> None:
    """What schema 0002 is for, on what schema 0001 left."""
    registry = ledger.registry
    epoch = ledger.take_epoch("third")
    events = registry.events(limit=1000)[-1].number
    (asked,) = [t for t in ledger.tasks(NAME, state="open") if t.kind == "evaluate"]
    ledger.close_task(asked.key, state="done", summary={"count": 80}, epoch=epoch)
    payloads = {each.task_key: each.payload for each in registry.summaries(NAME)}
    assert (len(payloads), payloads[asked.key]) == (4, {"count": 80})
    ledger.put_task(task(2, "n1", kind="probe"), epoch=epoch)
    ledger.put_family(NAME, payload={}, epoch=epoch)
    evidence, (made,) = ledger.record_review(
        NAME,
        number=1,
        evidence={"x": 1},
        subject="",
        decisions=[NewDecision(kind="merge", reason="", state="proposed")],
        payload={},
        members={"support/de": ("active", {})},
        assignments={"n1": ("support/de", {})},
        epoch=epoch,
    )
    assert (evidence.number, made.number, made.state) == (3, 4, "proposed")
    assert registry.settle(made.number, state="approved", reason="", actor="ann").sequence == 2
    assert ledger.settle(1, state="approved", epoch=epoch).sequence == 3
    numbers = [event.number for event in registry.events(since=events, limit=1000)]
    assert numbers == list(range(events + 1, events + 1 + len(numbers)))


def test_what_was_begun_goes_on(old):
    with open_ledger(f"sqlite:///{old}") as ledger:
        go_on(ledger)


@pytest.mark.parametrize("step", ["drop_table", "batch_alter_table", "create_index", "execute"])
def test_an_upgrade_that_fails_half_way_leaves_the_old_file(old, monkeypatch, step):
    before = rows_of(old), schema_of(old)
    work = getattr(Operations, step)

    def fail(*args, **kwargs):
        work(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Operations, step, fail)
        with pytest.raises(KeyboardInterrupt):
            open_ledger(f"sqlite:///{old}")
    assert (rows_of(old), schema_of(old)) == before
    open_ledger(f"sqlite:///{old}").close()


def copy_to_postgres(path: Path, url: str) -> None:
    """Make schema 0001 on PostgreSQL by its migration and copy an SQLite file's rows into it."""
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes.update(
            connection=connection, metadata=Base.metadata, version_table=VERSION_TABLE
        )
        command.upgrade(config, "0001")
    with contextlib.closing(sqlite3.connect(path)) as source, engine.begin() as target:
        target.execute(text("SET TIME ZONE 'UTC'"))
        target.execute(text("SET session_replication_role = replica"))  # no order of tables
        source.row_factory = sqlite3.Row
        for table in inspect(target).get_table_names():
            kinds = {c["name"]: str(c["type"]) for c in inspect(target).get_columns(table)}
            target.execute(text(f"DELETE FROM {table}"))
            for row in source.execute(f"SELECT * FROM {table}").fetchall():
                values = {
                    name: bool(row[name]) if kinds[name] == "BOOLEAN" else row[name]
                    for name in kinds
                }
                names = ", ".join(f'"{name}"' for name in kinds)
                given = ", ".join(f":{name}" for name in kinds)
                target.execute(text(f"INSERT INTO {table} ({names}) VALUES ({given})"), values)
            if "id" in kinds:
                target.execute(
                    text(f"SELECT setval('{table}_id_seq', (SELECT max(id) + 1 FROM {table}))")
                )
    engine.dispose()


def test_an_old_database_on_postgresql_is_upgraded_to_the_same(tmp_path, old, postgres):
    postgres.run("CREATE DATABASE upgraded")
    url = postgres.url("upgraded")
    copy_to_postgres(old, url)
    with (
        open_ledger(f"sqlite:///{old}") as one,
        open_ledger(url, blobs=tmp_path / "blobs") as two,
    ):
        assert everything(two) == everything(one)
        go_on(two)
    engine = create_engine(url)
    with engine.connect() as connection, warnings.catch_warnings():
        warnings.simplefilter("error")
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()
