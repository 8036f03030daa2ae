"""`polyrank doctor` finds what is wrong and says what to do."""

import json
import os
import socket
import sqlite3
from importlib.metadata import PackageNotFoundError

import pytest
from polyrank.coordinator import _doctor
from polyrank.coordinator._doctor import check_data_dir, check_libraries, check_port


def checks(result) -> dict[str, dict[str, str]]:
    return {check["check"]: check for check in json.loads(result.out)["checks"]}


@pytest.fixture
def free_ports(monkeypatch):
    """Another session on this machine may hold the default ports."""
    from polyrank.coordinator import _cli_doctor

    for name in ("SUPERLINK_PORT", "DEFAULT_REGISTRY_PORT"):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            monkeypatch.setattr(_cli_doctor, name, holder.getsockname()[1])


def test_a_healthy_machine_passes(run, server, tmp_path, free_ports):
    result = run("doctor", "--data-dir", str(tmp_path), "--registry", server.url, "--json")
    assert result.code == 0, result.out
    found = checks(result)
    assert found["registry"]["found"].startswith(server.url)
    assert "schema 0" in found["registry"]["found"]
    assert {check["status"] for check in found.values()} == {"ok"}


def test_no_daemon_is_a_warning_and_nothing_is_created(run, tmp_path, monkeypatch, free_ports):
    monkeypatch.setenv("POLYRANK_REGISTRY", "grpc://127.0.0.1:1")
    folder = tmp_path / "later" / "data"
    result = run("doctor", "--data-dir", str(folder), "--json")
    assert result.code == 0, result.out
    assert checks(result)["registry"]["status"] == "warn"
    assert not (tmp_path / "later").exists()


def test_a_registry_that_was_named_must_answer(run, tmp_path, free_ports):
    result = run("doctor", "--data-dir", str(tmp_path), "--registry", "grpc://127.0.0.1:1")
    assert result.code == 1
    assert "polyrank up" in result.out


def test_a_database_of_a_newer_schema_fails_and_is_not_touched(run, ledger, tmp_path, free_ports):
    ledger.close()
    path = tmp_path / "registry.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE polyrank_alembic_version SET version_num = '9999'")
    database.close()
    before = path.read_bytes()
    result = run("doctor", "--data-dir", str(tmp_path), "--json")
    assert result.code == 1
    schema = checks(result)["schema"]
    assert "9999" in schema["found"]
    assert "upgrade polyrank" in schema["todo"]
    assert path.read_bytes() == before


def test_a_current_database_is_fine_without_a_daemon(run, ledger, tmp_path, free_ports):
    result = run("doctor", "--data-dir", str(tmp_path), "--json")
    assert checks(result)["schema"]["status"] == "ok"


def test_a_file_that_is_no_database_fails_without_a_traceback(run, tmp_path, free_ports):
    (tmp_path / "registry.db").write_bytes(b"no database at all, really not" * 100)
    result = run("doctor", "--data-dir", str(tmp_path), "--json")
    assert result.code == 1
    assert checks(result)["schema"]["status"] == "fail"


def test_a_port_that_is_taken_fails_and_names_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as other:
        finding = check_port(other.getsockname()[1], key="[registry] port")
    assert finding.status == "fail"
    assert "[registry] port" in finding.todo
    assert check_port(0, key="x").status == "ok"


def test_ports_held_by_our_own_daemon_are_fine(run, server, tmp_path):
    (tmp_path / "run").mkdir()
    facts = {"pid": os.getpid(), "registry": server.url, "superlink_port": 1, "epoch": 1,
             "started_at": ""}  # fmt: skip
    (tmp_path / "run" / "daemon.json").write_text(json.dumps(facts))
    result = run("doctor", "--data-dir", str(tmp_path), "--json")
    assert str(os.getpid()) in checks(result)["ports"]["found"]


def test_a_data_directory_that_is_a_file_fails(tmp_path):
    (tmp_path / "file").write_text("")
    (finding,) = check_data_dir(tmp_path / "file")
    assert finding.status == "fail"


def test_a_data_directory_that_cannot_be_written_fails(tmp_path, monkeypatch):
    def refuse(place):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_doctor, "_write_durably", refuse)  # root may write everywhere
    (finding,) = check_data_dir(tmp_path)
    assert finding.status == "fail"
    assert "Permission denied" in finding.found


def test_little_space_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(_doctor, "LOW_SPACE_BYTES", 1 << 60)
    (finding,) = check_data_dir(tmp_path)
    assert finding.status == "warn"


INSTALLED = {"sqlalchemy": "2.1.9", "typer": "0.21.0", "flwr": "1.42.0", "torch": "2.13.0+cpu"}


def installed(name: str) -> str:
    if name not in INSTALLED:
        raise PackageNotFoundError(name)
    return INSTALLED[name]


@pytest.mark.parametrize(
    ("requirement", "status"),
    [
        ("sqlalchemy<3,>=2.0.36", "ok"),
        ("sqlalchemy>=2.1.10", "fail"),
        ("typer<0.21,>=0.12.5", "fail"),
        ('flwr==1.41.0; extra == "client"', "fail"),
        ('torch>=2.6; extra == "aggregation"', "ok"),
        ("grpcio>=1.70", "fail"),
        ('peft>=0.17; extra == "client"', "warn"),
    ],
)
def test_libraries_are_compared_with_the_pins(requirement, status):
    (summary, *bad) = check_libraries([requirement], installed)
    assert summary.status == "ok"
    assert [finding.status for finding in bad] == ([] if status == "ok" else [status])
    if bad:
        assert "pip install" in bad[0].todo


def test_extras_of_developers_are_not_asked_for():
    assert check_libraries(['ruff; extra == "dev"'], installed)[1:] == []
