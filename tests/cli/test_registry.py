"""`polyrank registry …` against a real server and a real database file."""

import json
import os
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from small_blobs import blob

QUERIES = {
    "adapters": ("adapters",),
    "versions demo": ("versions", "next_page_token"),
    "search": ("versions", "next_page_token"),
    "search 'rank >= 3'": ("versions", "next_page_token"),
    "show demo": ("version",),
    "show demo@stable": ("version",),
    "lineage demo@1": ("lineage",),
    "similar demo@1": ("similar",),
    "metrics demo": ("metrics",),
    "aliases demo": ("aliases",),
    "alias-history demo stable": ("alias_history",),
    "nodes": ("nodes",),
    "rounds": ("rounds",),
    "rounds demo": ("rounds",),
    "contributions demo": ("contributions",),
    "contributions demo --round 1": ("contributions",),
    "events": ("events",),
    "decisions": ("decisions",),
    "evidence demo": ("evidence",),
}


@pytest.mark.parametrize("line", QUERIES)
def test_a_query_prints_one_json_document_with_its_keys(line, run, server):
    result = run("registry", "--registry", server.url, *shlex.split(line), "--json")
    assert (result.code, result.err) == (0, "")
    assert tuple(json.loads(result.out)) == QUERIES[line]


@pytest.mark.parametrize("line", QUERIES)
def test_a_query_prints_a_table_without_escapes_from_outside(line, run, server):
    result = run("registry", *shlex.split(line), "--registry", server.url)
    assert (result.code, result.err) == (0, "")
    assert result.out.strip()
    assert "\x1b" not in result.out


def test_versions_have_the_documented_fields(run, server, ledger):
    result = run("registry", "--registry", server.url, "versions", "demo", "--json")
    newest, oldest = json.loads(result.out)["versions"]
    assert (newest["number"], oldest["number"]) == (1, 0)
    assert newest["ref"] == "demo@1"
    assert newest["rank"] == 3
    assert newest["digest"] == ledger.registry.version("demo@1").digest
    assert newest["metrics"] == {"accuracy": 0.75}
    assert newest["modules"] == [{"name": "fc", "rank": 3, "shape": [4, 3], "dtype": "F32"}]
    assert newest["created_at"].endswith("Z")
    read = datetime.fromisoformat(newest["created_at"])
    assert read == ledger.registry.version("demo@1").created_at


def test_pages_follow_each_other(run, server):
    first = run("registry", "--registry", server.url, "versions", "demo", "--limit", "1", "--json")
    token = json.loads(first.out)["next_page_token"]
    text = run("registry", "--registry", server.url, "versions", "demo", "--limit", "1").out
    assert f"--page-token {token}" in text
    rest = run("registry", "--registry", server.url, "versions", "demo", "--page-token", token,
               "--json")  # fmt: skip
    assert [v["number"] for v in json.loads(rest.out)["versions"]] == [0]


def test_the_database_file_answers_too(run, ledger, tmp_path):
    url = f"sqlite:///{tmp_path}/registry.db"
    result = run("registry", "--registry", url, "versions", "demo", "--json")
    assert [v["number"] for v in json.loads(result.out)["versions"]] == [1, 0]


def test_pruning_says_what_goes_does_it_and_needs_the_database_itself(
    run, server, ledger, tmp_path
):
    line = ledger.registry
    for fill in (2, 3, 4):
        line.publish("demo", blob(rank=5, fill=fill))
    url = f"sqlite:///{tmp_path}/registry.db"
    asked = ("registry", "--registry", url, "prune", "--keep-versions", "2")
    tried = run(*asked, "--dry-run")
    assert not line.version("demo@2").retired
    assert "demo@2" in tried.out
    assert "would be freed" in tried.out
    assert json.loads(run(*asked, "--json").out)["pruned"]["collected"] == ["demo@2"]
    assert line.version("demo@2").retired
    refused = run("registry", "--registry", server.url, "prune")
    assert refused.code == 1
    assert "sqlite:///PATH" in refused.err


def test_the_environment_names_the_registry(run, server, monkeypatch):
    monkeypatch.setenv("POLYRANK_REGISTRY", server.url)
    assert "demo" in run("registry", "adapters").out


def test_the_running_daemons_address_is_the_default(run, server, monkeypatch, tmp_path):
    monkeypatch.setenv("POLYRANK_DATA_DIR", str(tmp_path))
    (tmp_path / "run").mkdir()
    facts = {"pid": os.getpid(), "registry": server.url, "superlink_port": 1, "epoch": 1,
             "started_at": ""}  # fmt: skip
    (tmp_path / "run" / "daemon.json").write_text(json.dumps(facts))
    assert "demo" in run("registry", "adapters").out


# ---- changes


def test_promote_and_rollback_move_the_alias_and_its_history(run, server, ledger):
    ask = ("registry", "--registry", server.url)
    assert run(*ask, "promote", "demo", "stable", "0", "--reason", "worse").code == 0
    assert ledger.registry.version("demo@stable").number == 0
    back = json.loads(run(*ask, "rollback", "demo", "stable", "--json").out)
    assert back["alias"]["number"] == 1
    history = json.loads(run(*ask, "alias-history", "demo", "stable", "--json").out)
    assert [c["number"] for c in history["alias_history"]] == [0, 1, 0, 1]
    assert history["alias_history"][2]["reason"] == "worse"


def test_set_alias_honours_what_it_expects(run, server, ledger):
    ask = ("registry", "--registry", server.url, "set-alias", "demo")
    conflict = run(*ask, "stable", "0", "--expect", "0")
    assert conflict.code == 1
    assert conflict.err.startswith("error: ")
    assert ledger.registry.version("demo@stable").number == 1
    assert run(*ask, "stable", "0", "--expect", "1").code == 0
    assert run(*ask, "stable", "1", "--expect", "none").code == 1
    assert run(*ask, "candidate", "1", "--expect", "none").code == 0
    assert run(*ask, "candidate", "1", "--expect", "soon").code == 2


# ---- export


def test_an_export_as_safetensors_is_the_versions_bytes(run, server, tmp_path):
    result = run("registry", "--registry", server.url, "export", "demo@0", str(tmp_path / "out"),
                 "--format", "safetensors", "--json")  # fmt: skip
    path = json.loads(result.out)["export"]["path"]
    assert Path(path).read_bytes() == blob(fill=0)
    assert list((tmp_path / "out").iterdir()) == [Path(path)]


def test_an_export_for_peft_is_what_peft_reads(run, server, tmp_path):
    from safetensors.torch import load_file

    out = tmp_path / "out"
    result = run("registry", "--registry", server.url, "export", "demo@0", str(out),
                 "--task-type", "SEQ_CLS")  # fmt: skip
    assert (result.code, result.err) == (0, "")
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["peft_type"], config["task_type"], config["r"]) == ("LORA", "SEQ_CLS", 2)
    tensors = load_file(out / "adapter_model.safetensors")
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "base_model.model.fc.lora_A.weight": (2, 3),
        "base_model.model.fc.lora_B.weight": (4, 2),
    }


def test_an_export_to_a_place_that_cannot_be_written_says_so(run, server, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("registry", "--registry", server.url, "export", "demo", str(tmp_path / "file"),
                 "--format", "safetensors")  # fmt: skip
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert str(tmp_path / "file") in result.err


# ---- what goes wrong


MISTAKES = {
    "versions nobody": "nobody",
    "show demo@99": "99",
    "show demo@": "demo@",
    "search 'colour = 1'": "colour",
    "versions demo --page-token x": "page_token",
    "alias-history demo never": "never",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(line, run, server):
    result = run("registry", "--registry", server.url, *shlex.split(line))
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: ")
    assert MISTAKES[line] in result.err


@pytest.mark.parametrize(
    ("url", "part"),
    [("grpc://127.0.0.1:1", "polyrank up"), ("sqlite:///nowhere.db", "nowhere.db"),
     ("ftp://x", "ftp://x"), ("grpc://x", "HOST:PORT")],
)  # fmt: skip
def test_a_registry_that_is_not_there_is_one_line(url, part, run):
    result = run("registry", "--registry", url, "adapters")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1
    assert part in result.err


def test_a_limit_out_of_range_is_a_usage_error(run, server):
    assert run("registry", "--registry", server.url, "versions", "demo", "--limit", "0").code == 2


def test_follow_prints_events_as_they_come(server, ledger):
    command = [sys.executable, "-m", "polyrank.coordinator._cli", "registry", "--registry",
               server.url, "events", "--follow", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            first = json.loads(process.stdout.readline())
            assert first["number"] == 1
            epoch = ledger.epoch()
            ledger.record_event("said", subject="now", epoch=epoch)
            event = first
            while event["kind"] != "said":
                event = json.loads(process.stdout.readline())
            assert event["subject"] == "now"
        finally:
            process.terminate()
