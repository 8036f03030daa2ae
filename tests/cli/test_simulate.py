"""`polyrank simulate`: the files of a daemon and its nodes, run in one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from polyrank.client import PeftSettings, SharedBase
from polyrank.client._peft_node import SharedBases

from ..client.models import save_bert, texts_of

DAEMON = """
[daemon]
data_dir = "{folder}/daemon"
[registry]
url = "postgresql+psycopg://somebody@nowhere.invalid/production"
[adapters."support/en"]
base_model = "tiny"
min_nodes = 2
{rounds}
[adapters."support/en".training]
steps = 2
batch_size = 4
"""
NODE = """
[node]
name = "{name}"
state_dir = "state-{name}"
max_rank = {rank}
[model]
dir = "{model}"
task = "sequence-classification"
num_labels = 2
layers = "top-1"
[data]
file = "{name}.jsonl"
label = "label"
held_out = 0.25
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("model"))


def write_node(folder: Path, model: Path, name: str, rank: int, file: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"text": t, "label": y} for t, y in zip(*texts_of(16, seed=rank), strict=True)]
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = folder / (file or f"{name}.toml")
    path.write_text(NODE.format(name=name, rank=rank, model=model))
    return path


@pytest.fixture
def files(tmp_path: Path, model: Path) -> Path:
    """A daemon's file; its nodes' are in `nodes`, one of them in a folder of its own."""
    write_node(tmp_path / "nodes", model, "ann", 4)
    write_node(tmp_path / "nodes" / "bob", model, "bob", 2, "node.toml")
    daemon = tmp_path / "polyrank.toml"
    daemon.write_text(DAEMON.format(folder=tmp_path, rounds="rounds = 2"))
    return daemon


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_nodes_share_one_model_and_make_the_bytes_of_nodes_that_do_not(
    run, files: Path, monkeypatch: pytest.MonkeyPatch
):
    loads: list[SharedBase] = []
    load = SharedBase.__init__

    def counted(own: SharedBase, settings: PeftSettings) -> None:
        loads.append(own)
        load(own, settings)

    monkeypatch.setattr(SharedBase, "__init__", counted)
    shared = run("simulate", str(files))
    assert (shared.code, len(loads)) == (0, 1)
    monkeypatch.setattr(SharedBases, "of", lambda own, settings: SharedBase(settings))
    apart = run("simulate", str(files))
    assert len(loads) == 3
    assert shared.out == apart.out  # with the digests of all versions, and what was measured


def test_it_prints_a_table_of_versions_and_writes_nothing(run, files: Path):
    before = listing(files.parent)
    result = run("simulate", str(files))
    assert result.code == 0, result.err
    assert listing(files.parent) == before
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["support/en", "(means", "over", "its", "nodes)"]
    assert lines[2][:6] == ["version", "rank", "size", "digest", "updates", "nodes"]
    assert {"accuracy", "loss"} <= set(lines[2][6:])
    rows = [line for line in lines if line and line[0].isdigit()]
    assert [row[:2] for row in rows] == [["0", "0"], ["1", "3"], ["2", "3"]]
    assert [row[5:7] for row in rows] == [["-", "2"], ["2", "2"], ["2", "2"]]
    assert "support/en@2: rank 3" in result.err
    assert run("simulate", str(files)).out == result.out


def test_its_registry_is_asked_with_the_commands_it_prints(run, files: Path, tmp_path: Path):
    folder = tmp_path / "made"
    nodes = tmp_path / "nodes"
    made = run(
        "simulate", str(files), "--nodes", str(nodes / "ann.toml"), "-n", str(nodes / "bob"),
        "--rounds", "1", "--data-dir", str(folder), "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    found = json.loads(made.out)["simulation"]
    assert {node["name"] for node in found["nodes"]} == {"ann", "bob"}
    (adapter,) = found["adapters"]
    assert found["registry"] == f"sqlite:///{folder}/registry.db"
    asked = run("registry", "versions", "support/en", "--registry", found["registry"], "--json")
    known = {version["ref"]: version for version in json.loads(asked.out)["versions"]}
    assert {v["ref"]: v["digest"] for v in adapter["versions"]} == {
        ref: version["digest"] for ref, version in known.items()
    }
    assert [(v["updates"], v["nodes"]) for v in adapter["versions"]] == [(0, 2), (2, 2)]
    asked = run("registry", "metrics", "support/en@1", "--registry", found["registry"], "--json")
    losses = [
        m["value"]
        for m in json.loads(asked.out)["metrics"]
        if m["identity"] and m["name"] == "loss"
    ]
    assert adapter["versions"][1]["mean"]["loss"] == pytest.approx(sum(losses) / 2)
    assert any(command.endswith(f"--registry {found['registry']}") for command in found["commands"])
    again = run("simulate", str(files), "--rounds", "1", "--data-dir", str(folder), "--json")
    assert json.loads(again.out)["simulation"]["adapters"] == [adapter]


def fails(result, *said: str) -> None:
    assert result.code in (1, 2)
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    for words in said:
        assert words in result.err


def test_a_mistake_in_the_files_is_one_line_that_names_the_file(run, files: Path, model: Path):
    nodes = files.parent / "nodes"
    fails(run("simulate", str(files.parent / "none.toml")), "none.toml", "cannot be read")
    fails(run("simulate", str(files), "--nodes", str(nodes / "none")), "none: does not exist")
    empty = files.parent / "empty"
    empty.mkdir()
    fails(run("simulate", str(files), "-n", str(empty)), "empty: no *.toml")
    twin = write_node(files.parent / "more", model, "ann", 1)
    fails(
        run("simulate", str(files), "-n", str(nodes), "-n", str(twin)),
        str(twin), "'ann'", str(nodes / "ann.toml"),
    )  # fmt: skip
    twin.write_text(twin.read_text().replace("max_rank", "max_ranks"))
    fails(run("simulate", str(files), "-n", str(twin)), f"{twin}: node.max_rank")


def test_without_an_end_it_says_so_before_a_model_is_loaded(run, files: Path, monkeypatch):
    files.write_text(DAEMON.format(folder=files.parent, rounds=""))
    monkeypatch.setattr("polyrank.client._peft_node.trainer_of", None)
    fails(run("simulate", str(files)), 'adapters."support/en".rounds is not set')


def test_a_federation_that_cannot_go_on_is_one_line(run, files: Path):
    only = files.parent / "nodes" / "ann.toml"
    fails(run("simulate", str(files), "-n", str(only)), "stands still", "1 of 2 nodes")


def test_ctrl_c_ends_it_with_a_word_on_how_to_go_on(run, files: Path, tmp_path: Path, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("polyrank.coordinator._simulation.SimulatedDriver.tick", interrupted)
    result = run("simulate", str(files), "--data-dir", str(tmp_path / "made"))
    assert result.code == 130
    assert "Traceback" not in result.err
    assert "the same command goes on" in result.err
