"""The edge to the database programs: all that differs between SQLite and PostgreSQL is here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from ._errors import StorageFailure, UrlError

BUSY_SECONDS = 30.0
WRITES = "polyrank_writes"
_MIGRATION_LOCK = 0x706F6C79  # any fixed number, the same in every process


def parse_url(url: str) -> tuple[str, URL]:
    """Say which backend ("sqlite", "memory", "postgresql") an address means.

    Raises UrlError.
    """
    if url in ("memory://", "memory:"):
        return "memory", make_url("sqlite://")
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UrlError(
            url, "not understood; use sqlite:///PATH, postgresql+psycopg://... or memory://"
        ) from None
    if parsed.drivername == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise UrlError(url, "no file; write sqlite:///PATH, or memory:// for one in memory")
        return "sqlite", parsed
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return "postgresql", parsed.set(drivername="postgresql+psycopg")
    raise UrlError(
        url, "not supported; use sqlite:///PATH, postgresql+psycopg://..., grpc://HOST:PORT"
    )


def open_engine(url: str) -> tuple[str, Engine]:
    """Make the engine for an address; an SQLite file's folder must exist.

    Raises UrlError, StorageFailure.
    """
    backend, parsed = parse_url(url)
    if backend == "postgresql":
        try:
            return backend, create_engine(parsed, pool_pre_ping=True)
        except (ImportError, NoSuchModuleError):
            raise UrlError(
                parsed.render_as_string(), "psycopg is missing; pip install 'polyrank[postgres]'"
            ) from None
    if backend == "sqlite":
        folder = Path(parsed.database or "").parent
        if not folder.is_dir():
            raise StorageFailure(str(folder), "no such folder for the database; make it first")
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS}}
    if backend == "memory":
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    engine = create_engine(parsed, **options)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return backend, engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    """Take over transactions from the driver, and make the file durable and strict."""
    connection.isolation_level = None  # else the driver hides BEGIN and splits DDL off
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except Exception:  # a switch to WAL does not wait for locks by itself
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where a write is coming: no deadlock by upgrade later."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def for_reading(connection: Connection) -> Connection:
    """Let a transaction of several reads see one state (SQLite's always do)."""
    if connection.dialect.name == "postgresql":
        return connection.execution_options(isolation_level="REPEATABLE READ")
    return connection.execution_options(**{WRITES: False})


def for_writing(connection: Connection) -> Connection:
    """Let a transaction write; it sees what others committed before it got the lock."""
    return connection.execution_options(**{WRITES: True})


def lock_for_migration(connection: Connection) -> None:
    """Keep other processes' migrations out until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")


def is_busy(error: DBAPIError) -> bool:
    """Say whether an error means that a lock was held for too long."""
    said = str(error.orig)
    return "database is locked" in said or "database table is locked" in said
