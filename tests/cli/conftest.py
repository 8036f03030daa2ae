"""A real registry with a little history, served on a port, and the command line to ask it."""

import shutil
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from small_blobs import blob

with warnings.catch_warnings():
    # typer 0.20 (the newest that flwr allows) imports a name that click 8.5 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from polyrank.coordinator._cli import main
from polyrank.store import NewTask, open_ledger, serve


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run `polyrank ARGUMENTS` in this process."""
    monkeypatch.setenv("POLYRANK_DATA_DIR", str(tmp_path / "no-such-data"))
    monkeypatch.delenv("POLYRANK_REGISTRY", raising=False)

    def call(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as done:
            main(arguments)
        captured = capsys.readouterr()
        return Result(done.value.code or 0, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """One adapter with versions 0 and 1, an open round, two nodes, one of them hostile."""
    folder = tmp_path_factory.mktemp("template")
    with open_ledger(f"sqlite:///{folder}/registry.db") as ledger:
        epoch = ledger.take_epoch("test driver")
        registry = ledger.registry
        registry.register_base_model("base", fingerprint="f" * 64)
        registry.create_adapter("demo", base_model="base")
        registry.publish("demo", blob(fill=0), origin="init")
        registry.publish("demo", blob(rank=3, fill=1), metrics={"accuracy": 0.75})
        registry.set_alias("demo", "stable", 0, reason="first")
        registry.set_alias("demo", "stable", 1, reason="better")
        ledger.put_node(
            "a" * 64, name="ward-1", address="1", epoch=epoch,
            card={"max_rank": 8, "device": "cpu", "model_loads": 1, "trainings": 5},
        )  # fmt: skip
        ledger.put_node("b" * 64, name="evil\x1b[2J[bold]", address=None, card={}, epoch=epoch)
        ledger.plan_round("demo", plan={}, start_number=1, epoch=epoch)
        ledger.move_round(
            "demo", 1, state="open", expect="planned", epoch=epoch,
            deadline_at=datetime.now(UTC) + timedelta(minutes=5),
        )  # fmt: skip
        for key, identity in (("1" * 64, "a" * 64), ("2" * 64, "b" * 64)):
            task = NewTask(
                key=key, kind="train", adapter="demo", round=1, identity=identity,
                start_digest=registry.version("demo").digest, config_digest="c" * 64, rank=2,
            )  # fmt: skip
            ledger.put_task(task, epoch=epoch)
        ledger.accept("1" * 64, data=blob(fill=2), num_examples=10, metrics={}, epoch=epoch)
        ledger.reject("2" * 64, reason="NaN in fc/a", epoch=epoch)
        ledger.record_metrics("demo@1", {"loss": 0.5}, identity="a" * 64, epoch=epoch)
    return folder


@pytest.fixture
def ledger(template, tmp_path):
    """A copy of the template, to read and to change."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    with open_ledger(f"sqlite:///{tmp_path}/registry.db") as ledger:
        yield ledger


@pytest.fixture
def server(ledger):
    running = serve(ledger.registry, "127.0.0.1:0")
    yield running
    running.stop()
