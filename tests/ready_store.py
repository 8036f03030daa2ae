"""Registries in memory that are ready at once: a schema made once, and engines used again.

To make the schema takes about 0.15 s, and each new engine compiles every statement anew: together
that was most of the time of a small test of the coordinator. The database itself is a new one each
time, with the same tables, and what the migrations make is held against in tests/store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from polyrank.store import Ledger, _engine, _migrate, _sql, open_ledger
from sqlalchemy import Engine, event


class ReadyStores:
    """Opens memory:// with an engine that nobody uses any more, and copies the schema into it."""

    def __init__(self, template: Path) -> None:
        open_ledger(f"sqlite:///{template}").close()
        with closing(sqlite3.connect(template)) as ready:
            ready.execute("PRAGMA journal_mode = DELETE")  # a copy in memory cannot have WAL
        self._template = template
        self._free: list[tuple[str, Engine]] = []

    def open_engine(self, url: str) -> tuple[str, Engine]:
        if _engine.parse_url(url)[0] != "memory":
            return _engine.open_engine(url)
        if self._free:
            return self._free.pop()
        opened = _engine.open_engine(url)
        # its connection, and with it the database, is gone then
        event.listen(opened[1], "engine_disposed", lambda _: self._free.append(opened))
        return opened

    def migrate(self, engine: Engine, url: str) -> None:
        if url != "memory://":
            _migrate.migrate(engine, url)
            return
        with engine.connect() as connection, closing(sqlite3.connect(self._template)) as ready:
            ready.backup(connection.connection.dbapi_connection)


class Saved:
    """What a ledger in memory holds: its tables and its blobs, to be loaded into another."""

    def __init__(self, ledger: Ledger) -> None:
        with ledger._database._engine.connect() as connection:  # type: ignore[attr-defined]
            self._tables: bytes = connection.connection.dbapi_connection.serialize()
        self._blobs = dict(ledger._blobs._blobs)  # type: ignore[attr-defined]

    def load(self, ledger: Ledger) -> None:
        with ledger._database._engine.connect() as connection:  # type: ignore[attr-defined]
            connection.connection.dbapi_connection.deserialize(self._tables)
        ledger._blobs._blobs.update(self._blobs)  # type: ignore[attr-defined]


_made: list[ReadyStores] = []


@pytest.fixture(scope="module", autouse=True)
def ready_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let registries in memory be ready at once, in the suites whose conftest has this fixture."""
    if not _made:
        _made.append(ReadyStores(tmp_path_factory.mktemp("ready") / "registry.db"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_sql, "open_engine", _made[0].open_engine)
        patched.setattr(_sql, "migrate", _made[0].migrate)
        yield
