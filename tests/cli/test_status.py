"""`polyrank status` reports what the registry knows."""

import json
import os


def test_status_tells_epoch_adapters_nodes_and_open_rounds(run, server):
    report = json.loads(run("status", "--registry", server.url, "--json").out)
    assert report["epoch"] == 1
    assert report["driver"]["owner"] == "test driver"
    assert report["registry"] == server.url
    assert report["daemon"] is None
    (adapter,) = report["adapters"]
    assert (adapter["name"], adapter["head"]) == ("demo", 1)
    assert adapter["aliases"] == {"stable": 1}
    assert adapter["rounds"] == {"open": 1}
    node = next(node for node in report["nodes"] if node["name"] == "ward-1")
    assert node["identity"] == "a" * 64
    assert (node["max_rank"], node["model_loads"], node["trainings"]) == (8, 1, 5)
    assert node["status"] == "live"
    (one,) = report["open_rounds"]
    assert (one["adapter"], one["number"], one["state"]) == ("demo", 1, "open")
    assert (one["tasks"], one["accepted"], one["rejected"]) == (2, 1, 1)
    assert one["deadline_at"].endswith("Z")


def test_the_table_is_short_and_lets_no_node_steer_the_terminal(run, server):
    text = run("status", "--registry", server.url).out
    assert "a" * 12 in text
    assert "a" * 13 not in text
    assert "\x1b" not in text
    assert "[bold]" in text  # printed, not obeyed
    assert "1 of 2" in text


def test_status_finds_the_daemon_of_a_data_directory(run, server, tmp_path):
    facts = {"pid": os.getpid(), "registry": server.url, "superlink_port": 7, "epoch": 1,
             "started_at": "2026-11-22T00:00:00Z"}  # fmt: skip
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "daemon.json").write_text(json.dumps(facts))
    report = json.loads(run("status", "--data-dir", str(tmp_path), "--json").out)
    assert report["daemon"]["pid"] == os.getpid()
    assert report["daemon"]["running"] is True
    assert report["daemon"]["superlink_port"] == 7


def test_status_without_a_daemon_is_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("POLYRANK_REGISTRY", "grpc://127.0.0.1:1")
    result = run("status", "--json")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1


def test_an_empty_registry_has_an_empty_status(run, tmp_path):
    from polyrank.store import connect

    url = f"sqlite:///{tmp_path}/empty.db"
    connect(url).close()
    report = json.loads(run("status", "--registry", url, "--json").out)
    assert report["epoch"] == 0
    assert report["driver"] is None
    assert (report["adapters"], report["nodes"], report["open_rounds"]) == ([], [], [])
    assert run("status", "--registry", url).code == 0
