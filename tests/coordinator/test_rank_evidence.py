"""Where a trial of rank is, what is remembered of it, and what nodes' answers amount to. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from polyrank.aggregation import Paired, paired
from polyrank.coordinator._rank_evidence import flat_rounds, judgement, progress
from polyrank.coordinator._rank_memory import RankMemory, RankTry, after_review, stage
from polyrank.coordinator._watch import Membership
from polyrank.store import (
    AdaptationPolicy,
    DomainEvidence,
    GateEvidence,
    MemberEvidence,
    Parent,
    Review,
    RoundRecord,
    Version,
)

TRIAL = RankTry(review=5, rank=8, source=4, start=2, flat=3)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def version(number: int, *parents: int, **values: Any) -> Version:
    found = tuple(Parent(adapter="demo", number=parent) for parent in parents)
    first = {"adapter": "demo", "number": number, "parents": found, "round": 9, "origin": "round"}
    plain = {"digest": "d" * 64, "size_bytes": 1, "base_model": "base", "modules": (), "dense": ()}
    return Version(**plain | {"created_at": NOW, "retired": False} | first | values)


def round_from(start: int, state: Any) -> RoundRecord:
    return RoundRecord(adapter="demo/rank-trials", number=3, state=state, start_number=start,
                       version=None, reason="", deadline_at=None, created_at=NOW,
                       closed_at=None)  # fmt: skip


def test_a_trial_waits_for_its_members_round_and_runs_once() -> None:
    assert stage(TRIAL, None, version(4, 3)) == "waits"
    assert stage(TRIAL, round_from(0, "committed"), version(4, 3)) == "waits", "of another trial"
    assert stage(TRIAL, None, version(5, 4)) == "due"
    for state in ("planned", "open", "aggregating"):
        assert stage(TRIAL, round_from(2, state), version(5, 4)) == "runs"
    for state in ("committed", "abandoned"):
        assert stage(TRIAL, round_from(2, state), version(5, 4)) == "over"


def test_a_trial_is_over_where_the_member_went_on_from_elsewhere() -> None:
    assert stage(TRIAL, None, version(6, 5)) == "over"
    assert stage(TRIAL, None, version(5, 4, round=None, origin="merge")) == "over"


def test_a_round_whose_version_is_held_counts_neither_way() -> None:
    lost = DomainEvidence(name="a", rows=80, identities=2, loss_change=0.5, standard_error=0.01)
    common = {"adapter": "demo", "candidate": 7, "stable": 6, "identities": 2, "compared": 1}
    gates = [
        GateEvidence(**common, loss_change=change, standard_error=0.01, domains=domains)
        for change, domains in ((0.5, (lost,)), (0.0, ()), (-0.5, ()))
    ]
    policy, root = AdaptationPolicy(), MemberEvidence(adapter="demo", version=7, root=True)
    made = [Review(family="demo", number=9, members=(root,), gates=(gate,)) for gate in gates]
    assert [progress(review, policy) for review in made] == [{}, {"demo": False}, {"demo": True}]


def test_progress_starts_the_count_anew_and_silence_leaves_it() -> None:
    memory = RankMemory(flat=2)
    assert [flat_rounds(memory, is_better=better) for better in (True, False, None)] == [0, 3, 2]


def test_what_is_remembered_survives_a_restart_and_older_records_are_read() -> None:
    memory = RankMemory(rank=4, changed="demo@7", flat=1)
    asked = after_review(memory, flat=3, has_ended=False, asked=TRIAL)
    assert (asked.trial, asked.tried, asked.flat, asked.rank) == (TRIAL, 5, 3, 4)
    assert after_review(asked, flat=4, has_ended=False, asked=None).trial == TRIAL
    ended = after_review(asked, flat=4, has_ended=True, asked=None)
    assert (ended.trial, ended.tried) == (None, 5)
    for kept in (asked, ended):
        member = Membership(ranks=kept)
        assert Membership.from_json(member.to_json()) == member
    assert Membership.from_json({"age": 3}).ranks == RankMemory()


def answer(mean: float, spread: float = 0.1, rows: int = 50) -> Paired:
    return paired([mean - spread, mean + spread] * (rows // 2))


def test_each_node_has_one_vote_and_one_alone_does_not_pass_for_all() -> None:
    trial = version(3, 2, adapter="demo/rank-trials")
    found = judgement((trial, [answer(0.5), answer(0.3, rows=1000), answer(0.9)]))
    assert found["gain"] == pytest.approx(0.4)
    assert found["standard_error"] == pytest.approx(0.1), "they differ by more than their rows do"
    assert (found["trial"], found["identities"]) == ("demo/rank-trials@3", 3)
    for honest in range(1, 6):
        liar = [answer(9.0), *(answer(0.001) for _ in range(honest))]
        said = judgement((trial, liar))
        assert said["gain"] == pytest.approx(0.001, abs=1e-6)
        assert said["gain"] < said["standard_error"] < 0.1, "it neither decides nor hides"
    assert judgement((trial, [])) == {"trial": "demo/rank-trials@3"}
    assert judgement(None) == {}
    alone = judgement((trial, [answer(0.5)]))
    assert alone["identities"] == 1
