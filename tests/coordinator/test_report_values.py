"""What a report says, compared with the history that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from polyrank.coordinator import _report_records
from polyrank.coordinator._report_assignment import MAX_BANDS, bands, histories
from polyrank.coordinator._report_drift import MAX_ROWS, drift
from polyrank.coordinator._report_labels import figure, node_names
from polyrank.coordinator._report_losses import losses
from polyrank.coordinator._report_records import MAX_REVIEWS, evaluated, read_family
from polyrank.coordinator._report_summary import summary
from polyrank.coordinator._report_time import Timeline, marks
from polyrank.coordinator._report_tree import knots, lanes
from polyrank.coordinator._report_trials import tried
from polyrank.store import (
    Ledger,
    MemberEvidence,
    MetricRecord,
    NewDecision,
    NotFound,
    Review,
    open_ledger,
)
from small_blobs import blob

from .report_world import NOW, POLICY, START, World, at, crowd, identity, story


@pytest.mark.parametrize("world", [story(), *(crowd(60, 80, seed=seed) for seed in range(5))])
def test_the_assignments_told_from_decisions_are_those_that_were(world: World) -> None:
    told = histories(world.recorded())
    for place, snapshot in enumerate(world.snapshots):
        assert {node: history[place] for node, history in told.items()} == snapshot


def test_an_undone_move_an_undone_expansion_and_a_refused_undo_are_told() -> None:
    world = World()
    a, b, c, *_ = world.names
    world.review()
    second = world.expand(a, b)
    world.review()
    moved = world.move(c, target=second)
    world.review()
    world.step(moved, "undone", 30, actor="op")
    world.step(moved, "undone", 31)
    world.where[c] = "line"
    world.review()
    world.step(1, "undone", 30, actor="op")
    world.step(1, "carried_out", 31, reason="not possible")
    world.review()
    world.step(1, "undone", 40, actor="op")
    world.step(1, "undone", 41)
    world.where.update({a: "line", b: "line"})
    world.review()
    told = histories(world.recorded())
    assert told[c] == ("line", "line", second, "line", "line", "line")
    assert told[a] == ("line", second, second, second, second, "line")


def test_a_reviews_word_on_a_node_counts_more_than_the_decisions() -> None:
    world = World()
    a, *_ = world.names
    second = world.expand(a)
    world.where[a] = "line"  # somebody moved it, without a decision
    world.review()
    world.review(world.window(a))
    world.review()
    assert histories(world.recorded())[a] == (second, "line", "line")


def test_a_node_has_no_member_before_it_was_there() -> None:
    world = story()
    recorded = world.recorded()
    late = identity(5)
    newcomer = replace(recorded.nodes[late], first_seen=at(3, 30))
    told = histories(replace(recorded, nodes={**recorded.nodes, late: newcomer}))
    assert told[late][:4] == ("", "", "", "line")


def test_nodes_with_one_history_share_a_band_when_there_are_many() -> None:
    few, left_out = bands(story().recorded())
    assert (len(few), left_out) == (6, 0)
    world = crowd(300, 200)
    many, left_out = bands(world.recorded())
    assert len(many) <= MAX_BANDS
    assert sum(len(band.identities) for band in many) + left_out == 300
    told = histories(world.recorded())
    for band in many:
        assert {told[i] for i in band.identities} == {band.history}
        assert {world.where[i] for i in band.identities} == {band.now}


def test_stretches_cover_the_history_and_the_present_in_order() -> None:
    for band in bands(crowd(60, 80).recorded())[0]:
        whole = [m for start, end, m in band.stretches() for _ in range(start, end)]
        assert whole == [*band.history, band.now]
        members = [member for _, _, member in band.stretches()]
        assert all(before != after for before, after in pairwise(members))


def test_drift_is_the_largest_z_over_its_threshold() -> None:
    world = World()
    a, b, c, d, *_ = world.names
    world.review(
        world.window(a, harm_z=POLICY.z_loss * 1.5, novelty_z=1.0),
        world.window(b, novelty_z=POLICY.z_novelty * 3, prior_z=POLICY.z_prior * 2),
        world.window(c, prior_z=POLICY.z_prior * 40 / 3),
        world.window(d, loss=0.8, uninformed_loss=0.69),
    )
    found = {row.identity: row.cells[0] for row in drift(world.recorded()).rows}
    assert [(found[n].test, found[n].level) for n in (a, b, c, d)] == [
        ("harm", 1), ("novelty", 2), ("prior", 3), ("none", 0),
    ]  # fmt: skip
    assert found[b].ratio == pytest.approx(3)
    assert [found[n].is_uninformed for n in (a, b, c, d)] == [False, False, False, True]
    assert drift(world.recorded()).silent == 2


def test_a_threshold_of_zero_is_passed_by_anything_above_it() -> None:
    world = World()
    a, b, *_ = world.names
    world.review(world.window(a, harm_z=0.1), world.window(b, harm_z=0.0))
    look = replace(world.reviews[0], policy=replace(POLICY, z_loss=0.0))
    rows = {row.identity: row for row in drift(world.recorded(reviews=(look,))).rows}
    assert (rows[a].cells[0].level, rows[b].cells[0].level) == (3, 0)


def test_beyond_a_number_of_rows_the_weaker_nodes_are_summed_up() -> None:
    world = crowd(300, 50, listed=0.5)
    found = drift(world.recorded())
    assert len(found.rows) == MAX_ROWS
    assert found.others is not None
    assert found.others.count + MAX_ROWS + found.silent == 300
    weakest = min(max(cell.ratio for cell in row.cells) for row in found.rows)
    assert max(cell.ratio for cell in found.others.cells) <= weakest
    first = [min(c.review for c in row.cells if c.level) for row in found.rows]
    assert first == sorted(first), "rows are in the order of their first alarms"


def test_losses_are_means_over_nodes_weighted_by_rows_of_versions_that_are_new() -> None:
    world = World(2)
    a, b = world.names
    world.review()
    world.review()
    record = {"created_at": START}
    measured = {
        "line@1": (
            MetricRecord(name="loss", value=9.0, identity=a, **record),
            MetricRecord(name="loss", value=1.0, identity=a, **record),
            MetricRecord(name="loss", value=4.0, identity=b, **record),
            MetricRecord(name="num_examples", value=30.0, identity=a, **record),
            MetricRecord(name="num_examples", value=10.0, identity=b, **record),
        )
    }
    (point,) = losses(world.recorded(measured=measured)).points["line"]
    assert (point.review, point.version, point.low, point.high) == (1, 1, 1.0, 4.0)
    assert point.mean == pytest.approx((30 * 1.0 + 10 * 4.0) / 40)


def test_without_a_loss_the_metric_that_nodes_measured_is_shown() -> None:
    world = World(1)
    world.review()
    (a,) = world.names
    names = ("num_examples", "perplexity", "accuracy")
    measured = {
        "line@1": tuple(
            MetricRecord(name=name, value=0.5, identity=a, created_at=START) for name in names
        )
    }
    assert losses(world.recorded(measured=measured)).metric == "accuracy"
    assert losses(world.recorded(measured={})).points == {}


def test_the_tree_has_a_lane_for_each_member_and_the_versions_that_matter() -> None:
    world = story()
    recorded = world.recorded()
    timeline = Timeline.of(recorded.reviews)
    root, second = lanes(recorded, timeline)
    assert [(s.start, s.end, s.is_active) for s in root.stretches] == [(0, 12, True)]
    assert [(s.start, s.end, s.is_active) for s in second.stretches] == [
        (5, 8, True), (8, 9, False), (9, 12, True),
    ]  # fmt: skip
    found = [(k.kind, k.edge, k.place, k.source) for k in knots(recorded, timeline)]
    assert found == [
        ("initial", 0, 0, None), ("expand", 5, 1, 0), ("pin", 7, 0, None), ("merge", 8, 0, 1),
    ]  # fmt: skip


def test_marks_lie_after_their_review_and_an_undoing_where_it_was_done() -> None:
    recorded = story().recorded()
    found = marks(recorded, Timeline.of(recorded.reviews))
    assert [(m.word, m.edge, m.is_done, m.state) for m in found] == [
        ("expand", 5, True, "carried out"),
        ("pin", 7, True, "carried out"),
        ("merge", 8, True, "undone"),
        ("undo", 9, True, "undone"),
        ("move", 10, True, "carried out"),
        ("archive", 11, False, "proposed"),
    ]


def test_choices_to_keep_get_no_mark() -> None:
    world = World()
    world.review()
    world.decide(None, kind="keep", adapter="line")
    recorded = world.recorded()
    assert marks(recorded, Timeline.of(recorded.reviews)) == []


def test_a_trial_tells_the_cost_of_each_side_and_what_came_of_it() -> None:
    (one,) = tried(story().recorded())
    assert [(side.adapter, side.loss_change) for side in one.sides] == [
        ("line", 0.02), ("line/2", -0.01),
    ]  # fmt: skip
    assert one.outcome == "merge, undone (decision 3)"


def test_a_trial_beyond_the_tolerance_says_so() -> None:
    world = story()
    (review,) = [look for look in world.reviews if look.review.trials]
    recorded = world.recorded(
        decisions=(), reviews=(replace(review, policy=replace(POLICY, merge_tolerance=0.01)),)
    )
    assert tried(recorded)[0].outcome == "not merged: too dear"


def test_the_head_says_the_state_now_in_one_sentence() -> None:
    head = summary(story().recorded())
    assert head.sentence == (
        "After 11 reviews: 3 nodes on line and 3 nodes on line/2; 1 decision waiting for an "
        "operator; the last change was decision 4 (move, carried out)."
    )
    assert dict(head.facts)["nodes"] == "6 assigned, 6 live"


def test_what_is_not_shown_is_said() -> None:
    head = summary(story().recorded(earlier=40, unreadable=1))
    assert "40 are older" in head.left_out[0]
    assert head.left_out[1].startswith("1 review was written by another version")


def test_two_nodes_of_one_name_are_told_apart_and_numbers_are_short() -> None:
    world = World(2)
    a, b = (world.node(identity(n) if n else "a" * 64, "ward") for n in (0, 1))
    assert set(node_names({a.identity: a, b.identity: b}).values()) == {
        "ward aaaaaa", "ward 000000",
    }  # fmt: skip
    assert [figure(v) for v in (0.12345, -2.0, 0.0)] == ["0.123", "\u22122", "0"]
    assert figure(float("inf")) == "\u221e"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        opened.registry.register_base_model("base", fingerprint="f" * 64)
        opened.registry.create_adapter("line", base_model="base")
        opened.registry.publish("line", blob(), origin="initial")
        yield opened


def record(ledger: Ledger, count: int) -> None:
    epoch = ledger.take_epoch("test")
    ledger.put_family("line", payload={}, epoch=epoch)
    for number in range(1, count + 1):
        root = MemberEvidence(adapter="line", version=0, root=True)
        review = Review(family="line", number=number, members=(root,))
        ledger.record_review(
            "line", number=number, subject=f"review {number}", payload={}, epoch=epoch,
            evidence={"review": review.to_json(), "policy": POLICY.to_json()},
            decisions=[NewDecision(kind="keep", adapter="line", reason="quiet")],
        )  # fmt: skip


def test_all_pages_are_read_the_newest_reviews_are_kept_and_the_others_counted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_report_records, "MAX_REVIEWS", 5)
    record(ledger, 40)
    ledger.registry.record_evidence("review", adapter="line", payload={"review": "of the future"})
    found = read_family(ledger.registry, "line")
    assert [look.review.number for look in found.reviews] == [36, 37, 38, 39, 40]
    assert (found.earlier, found.unreadable, len(found.decisions)) == (35, 1, 40)
    assert MAX_REVIEWS >= 200, "a report of 200 reviews is complete"


def test_a_family_that_is_not_there_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        read_family(ledger.registry, "line")


def test_measurements_of_too_many_versions_are_read_for_some_reviews_only(
    ledger: Ledger,
) -> None:
    readings = evaluated(crowd(20, 100).reviews)
    kept, every = _report_records._thinned(readings, 50)
    assert len(kept) <= 50
    assert {review for review, _, _ in kept} == set(range(every, 101, every))
    assert _report_records._thinned(readings, 10_000) == (readings, 1)


def test_time_before_the_first_review_and_after_the_last_is_at_the_ends() -> None:
    timeline = Timeline.of(story().reviews)
    assert timeline.after(START - timedelta(days=1)) == timeline.first == 0
    assert timeline.after(NOW) == timeline.last == 11
    assert timeline.after(at(4, 30)) == 4
    assert Timeline.of(()).last == 0
