"""The root command: quick, lazy, and one line per mistake."""

import subprocess
import sys
import time

import pytest
from polyrank.coordinator import _cli

HEAVY = {"torch", "flwr", "sqlalchemy", "peft", "transformers", "grpc", "alembic", "numpy"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def loaded(*arguments: str) -> tuple[set[str], str]:
    done = python("-X", "importtime", "-m", "polyrank.coordinator._cli", *arguments)
    rows = (line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line)
    return {row.split(".")[0] for row in rows}, done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["registry", "--help"], ["status", "--help"]])
def test_help_loads_no_heavy_library(arguments):
    modules, text = loaded(*arguments)
    assert "Usage" in text
    assert not modules & HEAVY


def test_help_lists_every_command_in_half_a_second():
    spent = []
    for _ in range(3):  # the best of three: other suites share these cores
        began = time.monotonic()
        done = python("-m", "polyrank.coordinator._cli", "--help")
        spent.append(time.monotonic() - began)
    assert min(spent) < 0.5
    for name in ("up", "node", "demo", "registry", "status", "doctor"):
        assert name in done.stdout.split()


@pytest.mark.parametrize("name", _cli.COMMANDS)
def test_every_command_of_the_table_is_there(name, run):
    result = run(name, "--help")
    assert result.code == 0
    assert f"polyrank {name}" in result.out


def test_an_unknown_command_is_a_usage_error_with_a_hint(run):
    result = run("statsu")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: ")
    assert "'status'" in result.err
    assert "polyrank --help" in result.err


def test_a_missing_argument_names_the_command_to_ask(run):
    result = run("registry", "versions")
    assert result.code == 2
    assert "ADAPTER" in result.err
    assert "polyrank registry versions --help" in result.err


@pytest.mark.parametrize("arguments", [(), ("registry",)])
def test_no_arguments_show_the_help_and_are_a_usage_error(run, arguments):
    result = run(*arguments)
    assert result.code == 2
    assert "Usage" in result.out


def test_a_library_that_is_not_installed_is_named_with_its_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr_that_is_missing", None)
    entry = _cli.Entry("flwr_that_is_missing:x", "help", "coordinator")
    monkeypatch.setitem(_cli.COMMANDS, "up", entry)
    result = run("up")
    assert result.code == 1
    assert "flwr_that_is_missing" in result.err
    assert "pip install 'polyrank[coordinator]'" in result.err


def test_an_error_that_is_not_the_users_keeps_its_traceback(monkeypatch):
    def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(_cli.LazyCommand, "load", lambda self: broken())
    with pytest.raises(RuntimeError, match="a bug"):
        _cli.main(["up"])


def test_a_reader_that_goes_away_is_no_traceback(server):
    command = f"{sys.executable} -m polyrank.coordinator._cli registry --registry {server.url} "
    command += "events --json | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    assert len(done.stdout) == 10
