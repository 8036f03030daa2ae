"""Databases for tests: one schema is made and copied, since making it costs most of a test."""

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest
from polyrank.store import _engine, _sql, open_ledger
from polyrank.store._tables import Base
from sqlalchemy import Engine
from store_worlds import NAME, begin

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
TABLES = sorted(Base.metadata.tables)
HINT = "needs PostgreSQL's server programs (apt-get install postgresql)"


def server_programs() -> Path | None:
    found = shutil.which("initdb")
    candidates = [PROGRAMS, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if found:
        candidates.insert(0, Path(found).parent)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def as_postgres(*command: str | Path) -> None:
    """The server refuses to run as root, so root runs it as user postgres."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run(
        [*user, *map(str, command)],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )


class Postgres:
    """A running server with one database that holds the schema."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://polyrank@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "polyrank") -> None:
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user=polyrank dbname={database}"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement)

    def emptied(self) -> str:
        """The one database, without its rows: making one for each test would cost 7 MB each."""
        self.run("TRUNCATE " + ", ".join(TABLES) + " RESTART IDENTITY CASCADE")
        self.run(
            "INSERT INTO counters VALUES ('events', 0), ('evidence', 0), ('decisions', 0), "
            "('alias_log', 0), ('decision_log', 0)"
        )
        return self.url("polyrank")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    programs = server_programs()
    if programs is None:
        pytest.skip(HINT)
    pytest.importorskip("psycopg")
    with tempfile.TemporaryDirectory(prefix="polyrank-pg-") as name:
        home = Path(name)
        if os.geteuid() == 0:
            shutil.chown(home, "postgres")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        data = home / "data"
        as_postgres(programs / "initdb", "-D", data, "-A", "trust", "-U", "polyrank", "-N")
        options = f"-k {home} -p {port} -c listen_addresses=127.0.0.1"
        options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        control = [programs / "pg_ctl", "-D", data, "-w"]
        as_postgres(*control, "-o", options, "-l", home / "log", "start")
        try:
            server = Postgres(port)
            server.run("CREATE DATABASE polyrank", "postgres")
            blobs = tmp_path_factory.mktemp("blobs")
            open_ledger(server.url("polyrank"), blobs=blobs).close()
            yield server
        finally:
            as_postgres(*control, "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def ready_sqlite(tmp_path_factory) -> Path:
    """An SQLite file that holds the schema alone."""
    path = tmp_path_factory.mktemp("ready") / "registry.db"
    open_ledger(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(tmp_path, ready_sqlite) -> str:
    shutil.copy(ready_sqlite, tmp_path / "registry.db")
    return f"sqlite:///{tmp_path}/registry.db"


class Engines:
    """One engine per kind of database for all tests: each new one compiles its SQL anew, which
    took most of the time of this suite. Every test gets an empty database behind it."""

    def __init__(self, folder: Path, ready: Path) -> None:
        self.folder = folder
        self.ready = ready
        self.engines: dict[str, tuple[str, Engine]] = {}

    def open_engine(self, url: str) -> tuple[str, Engine]:
        if url not in self.engines:
            self.engines[url] = _engine.open_engine(url)
        return self.engines[url]

    def empty_sqlite(self) -> str:
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        shutil.copy(self.ready, self.folder / "registry.db")
        return f"sqlite:///{self.folder}/registry.db"

    def fill_memory(self, engine: Engine, _url: str) -> None:
        with engine.connect() as connection, sqlite3.connect(self.ready) as ready:
            ready.backup(connection.connection.dbapi_connection)
        ready.close()


@pytest.fixture(scope="session")
def engines(tmp_path_factory, ready_sqlite):
    return Engines(tmp_path_factory.mktemp("sqlite"), ready_sqlite)


@pytest.fixture
def open_local(request, tmp_path, engines):
    """open_local(backend) -> Ledger on an empty database, closed after the test or by the next."""
    opened = []

    def open_(backend: str):
        while opened:
            opened.pop().close()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(_sql, "open_engine", engines.open_engine)
            if backend == "memory":
                patched.setattr(_sql, "migrate", engines.fill_memory)
                ledger = open_ledger("memory://")
            elif backend == "sqlite":
                ledger = open_ledger(engines.empty_sqlite())
            else:
                url = request.getfixturevalue("postgres").emptied()
                ledger = open_ledger(url, blobs=tmp_path / "blobs")
        opened.append(ledger)
        return ledger

    yield open_
    while opened:
        opened.pop().close()


@pytest.fixture(scope="session")
def begin_family():
    """begin_family(ledger) -> epoch: an adapter that is a family's root, and a line "…/2"."""

    def begin_(ledger) -> int:
        epoch = begin(ledger)
        ledger.create_adapter(f"{NAME}/2", base_model="base", epoch=epoch)
        ledger.put_family(NAME, payload={"spec": {"seed": 7}}, epoch=epoch)
        return epoch

    return begin_


LOCAL = ("memory", "sqlite", "postgresql")


@pytest.fixture(params=LOCAL)
def ledger(request, open_local):
    """A ledger on each local database in turn."""
    return open_local(request.param)
