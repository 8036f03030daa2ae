"""`polyrank report`: one page from any registry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from polyrank.store import AdaptationPolicy, MemberEvidence, NewDecision, NodeEvidence, Review

POLICY = AdaptationPolicy()


@pytest.fixture
def family(ledger: Any) -> Any:
    """One review on record, with one node in alarm and a proposal; its neighbour is hostile."""
    epoch = ledger.epoch()
    root = MemberEvidence(adapter="demo", version=1, users=2, root=True)
    nodes = tuple(
        NodeEvidence(identity=name * 64, adapter="demo", rows=80, loss=1.9, harm_z=9.0)
        for name in ("a", "b")
    )
    review = Review(family="demo", number=1, members=(root,), nodes=nodes)
    ledger.put_family("demo", payload={}, epoch=epoch)
    ledger.record_review(
        "demo", number=1, subject="review 1", payload={}, epoch=epoch,
        evidence={"review": review.to_json(), "policy": POLICY.to_json()},
        decisions=[
            NewDecision(kind="archive", adapter="demo", subject="demo", state="proposed",
                        reason="two nodes lose <b>much</b>")
        ],
        assignments={"a" * 64: ("demo", {}), "b" * 64: ("demo", {})},
    )  # fmt: skip
    return ledger


def test_the_page_is_the_same_from_a_file_and_over_grpc(run, family, server, tmp_path) -> None:
    pages: list[str] = []
    for url in (f"sqlite:///{tmp_path}/registry.db", server.url):
        path = tmp_path / "page.html"
        done = run("report", "--registry", url, "--output", str(path))
        assert (done.code, done.err) == (0, "")
        assert str(path) in done.out
        assert "After 1 review: 2 nodes on demo" in done.out
        pages.append(re.sub(r"Written by.*UTC", "", path.read_text()))
    assert pages[0] == pages[1]
    assert "two nodes lose &lt;b&gt;much&lt;/b&gt;" in pages[0]
    assert "ward-1" in pages[0]
    assert "\x1b" not in pages[0]
    assert "last 0.5" in pages[0], "what the node measured is in the chart of losses"


def test_json_is_one_document_that_says_what_was_written(run, family, server, tmp_path) -> None:
    path = tmp_path / "page.html"
    done = run(
        "report", "--family", "demo", "--json", "--registry", server.url, "--output", str(path)
    )
    told = json.loads(done.out)["report"]
    assert told["path"] == str(path)
    assert told["size_bytes"] == path.stat().st_size
    (found,) = told["families"]
    counts = {name: found[name] for name in ("reviews", "members", "nodes", "decisions")}
    assert counts == {"reviews": 1, "members": 1, "nodes": 2, "decisions": 1}


def test_an_unknown_family_and_a_folder_that_is_not_there_are_one_line(
    run, family, server, tmp_path
) -> None:
    path = tmp_path / "page.html"
    where = ("--registry", server.url, "--output")
    for arguments in (("--family", "nobody", *where, path), (*where, tmp_path / "no" / "page")):
        done = run("report", *map(str, arguments))
        assert done.code == 1
        assert done.err.startswith("error: ")
        assert len(done.err.splitlines()) == 1
    assert not path.exists()


def test_a_registry_without_families_gives_a_page_that_says_so(run, server, tmp_path) -> None:
    path = tmp_path / "page.html"
    assert run("report", "--registry", server.url, "--output", str(path)).code == 0
    assert "No family of adapters yet" in path.read_text()


def test_it_needs_no_more_than_the_store() -> None:
    code = (
        "import sys; from polyrank.coordinator import _cli_report, _report;"
        "sys.exit(' '.join({'torch', 'flwr', 'transformers'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path("/")
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
