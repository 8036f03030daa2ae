"""`polyrank registry` commands about families: an operator reads, approves, vetoes, undoes."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from polyrank.coordinator._cli_registry_families import Forced, force
from polyrank.store import (
    AdaptationPolicy,
    MemberEvidence,
    NewDecision,
    NodeEvidence,
    Review,
    decide,
)
from polyrank.store._decide_choice import ChoiceKind

POLICY = AdaptationPolicy()


def harmed(name: str) -> NodeEvidence:
    """Labels that contradict what the node's adapter knows."""
    return NodeEvidence(
        identity=name * 64, adapter="demo", rows=80, base_windows=4, loss=1.9, base_loss=0.5,
        harm_z=9.0, uninformed_loss=0.69, balanced_accuracy=0.2, chance=0.5,
    )  # fmt: skip


@pytest.fixture
def family(ledger: Any) -> Any:
    """One review on record: two nodes in conflict, an expansion proposed."""
    epoch = ledger.epoch()
    root = MemberEvidence(adapter="demo", version=1, users=6, root=True)
    nodes = (harmed("a"), harmed("b"))
    review = Review(family="demo", number=1, members=(root,), nodes=nodes, quiet={"demo": 4})
    choices = decide(review, POLICY)
    assert [choice.kind for choice in choices] == ["expand_adapter"]
    ledger.put_family("demo", payload={}, epoch=epoch)
    ledger.record_review(
        "demo",
        number=1,
        evidence={"review": review.to_json(), "policy": POLICY.to_json()},
        subject="review 1",
        decisions=[
            NewDecision(
                kind=choice.kind, adapter=choice.adapter, subject=choice.target,
                reason=choice.reason, payload=choice.to_json(), state="proposed",
            )
            for choice in choices
        ],
        payload={},
        assignments={"a" * 64: ("demo", {}), "b" * 64: ("demo", {})},
        epoch=epoch,
    )  # fmt: skip
    return ledger


def test_families_members_and_assignments_are_listed(run, family, server) -> None:
    where = ("--registry", server.url)
    found = run("registry", "families", *where)
    assert (found.code, found.err) == (0, "")
    assert "demo" in found.out
    assert "active" in found.out
    nodes = json.loads(run("registry", "assignments", "demo", "--json", *where).out)["assignments"]
    assert [(n["identity"][0], n["adapter"]) for n in nodes] == [("a", "demo"), ("b", "demo")]
    assert "ward-1" in run("registry", "assignments", "demo", *where).out


def test_a_registry_without_families_says_how_to_get_one(run, server) -> None:
    found = run("registry", "families", "--registry", server.url)
    assert (found.code, "continual" in found.out) == (0, True)


def test_a_proposal_is_read_vetoed_and_stays_so(run, family, server) -> None:
    where = ("--registry", server.url)
    listed = json.loads(run("registry", "decisions", "--json", *where).out)["decisions"]
    assert [(d["kind"], d["state"]) for d in listed] == [("expand_adapter", "proposed")]
    assert "worse than knowing nothing" in listed[0]["reason"]
    done = run("registry", "veto", "1", "--reason", "a mislabelled batch", *where)
    assert (done.code, "vetoed" in done.out) == (0, True)
    log = json.loads(run("registry", "decision-log", "1", "--json", *where).out)["decision_log"]
    assert [step["state"] for step in log] == ["proposed", "vetoed"]
    assert log[1]["reason"] == "a mislabelled batch"
    assert log[1]["actor"], "who said it is on record"
    again = run("registry", "approve", "1", *where)
    assert again.code == 1
    assert again.err.startswith("error: ")
    assert len(again.err.splitlines()) == 1


def test_a_proposal_can_be_approved_but_not_undone_before_it_was_carried_out(
    run, family, server
) -> None:
    where = ("--registry", server.url)
    assert run("registry", "undo", "1", *where).code == 1
    assert run("registry", "approve", "1", "--json", *where).code == 0
    assert [d.number for d in family.open_decisions("demo")] == [1]


def test_an_unknown_decision_is_one_line(run, family, server) -> None:
    found = run("registry", "veto", "99", "--registry", server.url)
    assert (found.code, len(found.err.splitlines())) == (1, 1)
    assert "99" in found.err


def test_replay_decides_again_and_finds_a_change(run, family, server) -> None:
    where = ("--registry", server.url)
    found = run("registry", "decisions", "--replay", "--json", *where)
    assert found.code == 0
    assert [(r["decisions"], r["same"]) for r in json.loads(found.out)["replay"]] == [(1, True)]
    assert "yes" in run("registry", "decisions", "--replay", *where).out
    evidence = family.registry.evidence()[-1].number
    family.record_decision(
        "keep", adapter="demo", reason="not what decide says", payload={"kind": "keep"},
        evidence=[evidence], epoch=family.epoch(),
    )  # fmt: skip
    changed = run("registry", "decisions", "--replay", *where)
    assert (changed.code, "NO" in changed.out) == (1, True)


def test_an_operator_decides_without_evidence_under_their_name(run, family, server) -> None:
    where = ("--registry", server.url)
    done = run(
        "registry", "force", "expand_adapter", "demo", "--target", "demo@0", "--nodes", "ward-1",
        "--reason", "ward 1 has another protocol", "--json", *where,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    decision = json.loads(done.out)["decision"]
    assert (decision["kind"], decision["state"]) == ("expand_adapter", "approved")
    assert decision["payload"]["nodes"] == ["a" * 64]
    assert decision["reason"] == "ward 1 has another protocol"
    log = json.loads(run("registry", "decision-log", "--json", *where).out)["decision_log"]
    assert log[-1]["actor"]
    assert run("registry", "decisions", "--replay", *where).code == 0, "it rests on no evidence"


def test_an_operator_names_the_rank_of_a_change(run, family, server) -> None:
    done = run("registry", "force", "expand_rank", "demo", "--rank", "16", "--json",
               "--registry", server.url)  # fmt: skip
    assert (done.code, done.err) == (0, "")
    payload = json.loads(done.out)["decision"]["payload"]
    assert (payload["kind"], payload["numbers"]) == ("expand_rank", {"new_rank": 16})


def test_an_operator_sends_a_stable_version_back(run, family, server) -> None:
    where = ("--registry", server.url)
    done = run("registry", "force", "rollback", "demo", "--target", "demo@0", "--json", *where)
    assert (done.code, done.err) == (0, "")
    decision = json.loads(done.out)["decision"]
    assert (decision["kind"], decision["state"]) == ("rollback", "approved")
    assert decision["payload"]["target"] == decision["subject"] == "demo@0"
    assert decision["number"] in [d.number for d in family.open_decisions("demo")]


def test_every_choice_that_changes_something_can_be_forced_and_is_in_the_help() -> None:
    assert set(Forced) == set(get_args(ChoiceKind)) - {"keep", "hold"}
    assert all(kind in (force.__doc__ or "") for kind in Forced)


@pytest.mark.parametrize(
    "arguments",
    [
        ("hold", "demo", "--target", "demo@1"),
        ("merge", "nobody", "--absorb", "demo"),
        ("reroute", "demo", "--nodes", "no such node"),
        ("keep", "demo"),
        ("pin", "not a name!"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_in_one_line(run, family, server, arguments) -> None:
    found = run("registry", "force", *arguments, "--registry", server.url)
    assert found.code in (1, 2)
    assert found.err.strip().splitlines()[-1].startswith("error: ")
