"""The demo's story: stages begin, end with their decision or without it, and are told in order."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._assets_texts import Row, balanced, sentiment
from polyrank.coordinator._demo_plan import (
    ADAPTER,
    MINILM_PLAN,
    PLANS,
    Layout,
    Ports,
    daemon_toml,
    quiet_reviews,
)
from polyrank.coordinator._demo_prepare import begin_stage, prepare, turned
from polyrank.coordinator._demo_story import (
    MEANWHILE,
    Data,
    Facts,
    Stage,
    Teller,
    expected,
    patient,
    whole_story,
)
from polyrank.coordinator._demo_tell import FamilyLook
from polyrank.store import Decision, MemberEvidence, NewDecision, Review, open_ledger
from polyrank.store._records import DecisionState

NAMES = {"1" * 64: "ann", "2" * 64: "bob"}
ADAPTERS = {"demo": ("ann", "bob")}
FIRST = Stage("first", {"ann": Data("tweets")}, kind="pin", patience=2)
SECOND = Stage("second", {"bob": Data("tweets")}, kind="merge", patience=2)


def decision(
    number: int, kind: str, *nodes: str, state: DecisionState = "carried_out", absorb: str = ""
) -> Decision:
    identities = [i for i, name in NAMES.items() if name in nodes]
    return Decision(
        number=number,
        adapter=ADAPTER,
        kind=kind,
        subject=ADAPTER,
        reason=f"reason {number}",
        payload={"nodes": identities, "absorb": absorb},
        state=state,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def facts(reviews: int, *decisions: tuple[int, Decision]) -> Facts:
    return Facts(reviews, decisions, NAMES, ADAPTERS)


def test_a_stage_begins_when_enough_reviews_are_there_and_ends_with_its_decision():
    teller = Teller([FIRST, SECOND], quiet=3)
    assert teller.step(facts(2)) is None
    assert teller.step(facts(3)) is FIRST
    assert teller.step(facts(3)) is None, "it is begun once"
    approved = decision(1, "pin", "ann", state="approved")
    assert teller.step(facts(4, (4, approved))) is None
    assert not teller.told, "not before it has been carried out"
    done = (4, decision(1, "pin", "ann"))
    assert teller.step(facts(4, done)) is None
    (told,) = teller.told
    assert (told.since, told.review, told.kind, told.reason) == (3, 4, "pin", "reason 1")
    assert told.adapters == ADAPTERS
    assert teller.step(facts(4, done)) is SECOND


def test_a_rest_lets_reviews_pass_before_the_next_stage():
    rested = Stage("first", FIRST.data, kind="pin", rest=2)
    teller = Teller([rested, SECOND], quiet=1)
    done = (2, decision(1, "pin", "ann"))
    assert teller.step(facts(1)) is rested
    teller.step(facts(2, done))
    assert teller.step(facts(3, done)) is None
    assert teller.step(facts(4, done)) is SECOND


def test_a_stage_that_is_not_decided_in_time_ends_the_story_and_says_so():
    teller = Teller([FIRST, SECOND], quiet=1)
    teller.step(facts(1))
    teller.step(facts(2))
    assert not teller.is_over
    teller.step(facts(3))
    assert teller.is_over
    assert [line.note for line in teller.told] == ["no pin in 2 reviews", "not begun"]
    assert not any(line.is_decided for line in teller.told)


def test_a_decision_on_its_way_is_waited_for_even_when_patience_has_ended():
    teller = Teller([FIRST], quiet=1)
    teller.step(facts(1))
    teller.step(facts(3, (3, decision(1, "pin", "ann", state="approved"))))
    assert not teller.is_over
    teller.step(facts(3, (3, decision(1, "pin", "ann"))))
    assert teller.told[0].is_decided


@pytest.mark.parametrize(
    "found",
    [
        (1, decision(1, "pin", "ann")),
        (2, decision(1, "keep", "ann")),
        (2, decision(1, "pin", "bob")),
        (2, decision(1, "pin", "ann", state="failed")),
    ],
    ids=["before", "another kind", "other nodes", "failed"],
)
def test_what_a_stage_does_not_wait_for(found: tuple[int, Decision]):
    assert expected(FIRST, facts(2, found), since=1) is None


def test_a_merge_is_known_by_its_kind_and_all_decisions_of_one_review_count():
    assert expected(SECOND, facts(2, (2, decision(1, "merge"))), since=1) is not None
    both = [(2, decision(1, "pin", "ann")), (2, decision(2, "pin", "ann", "bob"))]
    found = expected(FIRST, facts(2, *both), since=1)
    assert found is not None
    assert [one.number for one in found[1]] == [1, 2]


def test_the_whole_story_has_what_else_happened_to_adapters_in_its_place():
    trial = decision(2, "keep", absorb="demo/2")
    seen = [
        (2, decision(1, "pin", "ann")),
        (3, trial),
        (3, decision(3, "keep", "ann")),
        (4, decision(4, "merge")),
    ]
    teller = Teller([FIRST, SECOND], quiet=1)
    teller.step(facts(1))
    teller.step(facts(2, *seen[:1]))
    teller.step(facts(2, *seen[:1]))
    teller.step(facts(4, *seen))
    lines = whole_story(teller.told, facts(4, *seen))
    assert [(line.happened, line.reason) for line in lines] == [
        ("first", "reason 1"),
        (MEANWHILE, "reason 2"),
        ("second", "reason 4"),
    ]


def test_a_look_says_reasons_with_the_names_of_nodes():
    (ann, *_) = NAMES
    held = f"{ann[:12]}\u2026 loses 0.40 nats; it stays a candidate."
    review = Review(
        family=ADAPTER, number=1, members=(MemberEvidence(adapter=ADAPTER, version=0, root=True),)
    )
    with open_ledger("memory://") as ledger:
        epoch = ledger.take_epoch("test")
        ledger.register_base_model("base", fingerprint="f" * 64, epoch=epoch)
        ledger.create_adapter(ADAPTER, base_model="base", epoch=epoch)
        for identity, name in NAMES.items():
            ledger.put_node(identity, name=name, card={}, address="1", status="live", epoch=epoch)
        ledger.put_family(ADAPTER, payload={}, epoch=epoch)
        ledger.record_review(
            ADAPTER, number=1, subject="review 1", payload={}, epoch=epoch,
            evidence={"review": review.to_json()},
            decisions=[NewDecision(kind="hold", adapter=ADAPTER, reason=held)],
            assignments={ann: (ADAPTER, {})},
        )  # fmt: skip
        seen = FamilyLook(ledger.registry)()
    assert [(number, found.reason) for number, found in seen.decisions] == [
        (1, "ann loses 0.40 nats; it stays a candidate.")
    ]
    assert seen.adapters == {ADAPTER: ("ann",)}


def test_the_story_needs_the_daemon_to_act_and_more_rounds_than_it_can_take(tmp_path: Path):
    plan, layout = MINILM_PLAN, Layout(tmp_path)
    ports = Ports(superlink=19092, registry=19093)
    layout.daemon_config.write_text(daemon_toml(plan, layout, ports, 5, story=True), "utf-8")
    line = CoordinatorConfig.load(layout.daemon_config).adapters[ADAPTER]
    assert line.continual.mode == "act"
    assert dict(line.continual.policy) == dict(plan.policy)
    assert line.rounds is not None
    assert line.rounds >= max(5, quiet_reviews(plan)) + patient(plan.story)
    assert PLANS["smollm2"].story == (), "the language model's demo has no story"


def test_every_stage_has_fresh_rows_or_the_ones_that_it_returns_to(
    tmp_path: Path, minilm_dir: Path, sentiment_dir: Path
):
    plan, layout = MINILM_PLAN, Layout(tmp_path / "demo")
    prepare(plan, layout, Ports(superlink=1, registry=2), 5, lambda line: None, story=True)
    first = {node.domain: _rows(layout.node_data(node.domain)) for node in plan.nodes}
    texts = {name: {text for text, _ in rows} for name, rows in first.items()}
    for stage in plan.story:
        begin_stage(plan, layout, stage)
        for name, data in stage.data.items():
            rows = _rows(layout.node_data(name))
            assert len(rows) == len(first[name])
            others = [texts[other] for other in texts if other != name]
            assert not any(text in seen for text, _ in rows for seen in others)
            assert (rows == first[name]) == (data == Data(name)), stage.happened


def test_turned_labels_are_the_asked_share(sentiment_dir: Path):
    rows = balanced(sentiment(sentiment_dir, "tweets"))[:500]
    assert sum(row.label or 0 for row in rows) == 250
    for share, least, most in ((0.0, 0, 0), (0.35, 140, 210), (1.0, 500, 500)):
        pairs = zip(rows, turned(rows, share), strict=True)
        assert least <= sum(a.label != b.label for a, b in pairs) <= most
    assert turned(rows, 0.35) == turned(rows, 0.35)
    assert balanced([Row("a", 1), Row("b", 1), Row("c", 0)]) == [Row("c", 0), Row("a", 1)]


def _rows(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return [(row["text"], row["label"]) for row in csv.DictReader(source)]
