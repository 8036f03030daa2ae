"""Addresses, and what can go wrong before the first call."""

import sqlite3
import subprocess
import sys

import pytest
from polyrank.store import StorageFailure, StoreBusy, UrlError, _engine, connect, open_ledger
from sqlalchemy.exc import DBAPIError
from store_worlds import begin


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "memory://x", "file.db",
     "http://localhost"],
)  # fmt: skip
def test_an_address_that_means_nothing_says_what_would(url):
    with pytest.raises(UrlError, match="sqlite:///PATH") as caught:
        connect(url)
    assert caught.value.url == url


def test_a_ledger_is_local_and_a_token_is_remote():
    with pytest.raises(UrlError, match="local"):
        open_ledger("grpc://127.0.0.1:1")
    with pytest.raises(UrlError, match="token"):
        connect("memory://", token="x")


def test_a_postgresql_registry_must_name_its_blobs():
    with pytest.raises(UrlError, match="blobs=FOLDER") as caught:
        connect("postgresql://user:secret@127.0.0.1:1/d")
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_a_storage_failure(tmp_path):
    with pytest.raises(StorageFailure, match=r"127\.0\.0\.1"):
        connect("postgresql://u@127.0.0.1:1/d?connect_timeout=2", blobs=tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageFailure, match="no such folder"):
        connect(f"sqlite:///{tmp_path}/missing/registry.db")


def test_a_file_that_is_no_database_is_a_storage_failure(tmp_path):
    path = tmp_path / "registry.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageFailure, match=r"registry\.db.*not a database"):
        connect(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"no database")


def test_blobs_lie_beside_the_file_or_where_they_are_asked_for(tmp_path, ready_sqlite):
    connect(f"sqlite:///{tmp_path}/a.db").close()
    assert (tmp_path / "blobs").is_dir()
    connect(f"sqlite:///{tmp_path}/a.db", blobs=tmp_path / "elsewhere").close()
    assert (tmp_path / "elsewhere").is_dir()


def test_a_folder_with_a_percent_sign_works(tmp_path):
    folder = tmp_path / "100%s"
    folder.mkdir()
    connect(f"sqlite:///{folder}/registry.db").close()
    assert (folder / "registry.db").is_file()


def test_two_memory_registries_are_strangers():
    with open_ledger("memory://") as one, open_ledger("memory://") as two:
        begin(one)
        assert two.registry.adapters() == []


def test_a_lock_held_too_long_is_busy_and_says_so(sqlite_url, monkeypatch):
    monkeypatch.setattr(_engine, "BUSY_SECONDS", 0.1)
    path = sqlite_url.removeprefix("sqlite:///")
    with open_ledger(sqlite_url) as ledger:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="locked by another process"):
            ledger.take_epoch("x")
        assert ledger.epoch() == 0  # readers never wait
        holder.execute("ROLLBACK")
        holder.close()
        assert ledger.take_epoch("x") == 1


def test_no_error_of_the_database_gets_out(sqlite_url):
    with open_ledger(sqlite_url) as ledger:
        raw = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
        raw.execute("DROP TABLE nodes")
        raw.close()
        with pytest.raises(StorageFailure, match="no such table: nodes") as caught:
            ledger.registry.nodes()
        assert isinstance(caught.value.__cause__, DBAPIError)


LIGHT = """
import sys
import polyrank.store as store
assert "sqlalchemy" not in sys.modules
store.Version, store.StoreError, store.Registry, store.connect
heavy = {"sqlalchemy", "alembic", "grpc", "numpy", "torch", "flwr"} & set(sys.modules)
assert not heavy, heavy
store.connect(f"sqlite:///{sys.argv[1]}").adapters()
heavy = {"alembic", "grpc", "torch", "flwr", "peft", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""


def test_only_what_is_needed_is_imported(sqlite_url):
    path = sqlite_url.removeprefix("sqlite:///")
    subprocess.run([sys.executable, "-c", LIGHT, path], check=True, timeout=60)
