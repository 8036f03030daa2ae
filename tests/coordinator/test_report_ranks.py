"""What a report says of ranks, and of versions that a gate held or that went back."""

from __future__ import annotations

import pytest
from polyrank.coordinator._report import written
from polyrank.coordinator._report_labels import spoken
from polyrank.coordinator._report_losses import losses
from polyrank.coordinator._report_ranks import Ranks, ranks
from polyrank.coordinator._report_summary import summary
from polyrank.coordinator._report_time import Timeline, marks
from polyrank.coordinator._report_tree import knots

from .report_world import NOW, World, gates_and_ranks, story


@pytest.fixture(scope="module")
def world() -> World:
    return gates_and_ranks()


@pytest.fixture(scope="module")
def page(world: World) -> str:
    return written([world.recorded()], NOW).html


def of(world: World) -> Ranks:
    recorded = world.recorded()
    return ranks(recorded, Timeline.of(recorded.reviews))


def test_a_hold_a_rollback_and_changes_of_rank_are_marked_and_say_what_became_of_them(
    world: World,
) -> None:
    recorded = world.recorded()
    found = marks(recorded, Timeline.of(recorded.reviews))
    assert [(m.word, m.edge, m.is_done, m.state) for m in found] == [
        ("hold", 2, True, "held"),
        ("rank up", 3, True, "carried out"),
        ("roll back", 5, True, "carried out"),
        ("rank down", 7, True, "undone"),
        ("undo", 8, True, "undone"),
    ]


def test_the_levels_are_the_ranks_that_reviews_saw_with_what_was_needed_where_measured(
    world: World,
) -> None:
    (levels,) = of(world).levels.values()
    assert [one.rank for one in levels] == [4, 4, 4, 8, 8, 8, 8, 3, 8]
    assert {one.review: one.needed for one in levels if one.needed} == {3: 4, 6: 7, 7: 2}


def test_each_change_and_each_trial_is_told_once_in_time_with_its_figures(world: World) -> None:
    grown, vain, cut = of(world).changes
    assert (grown.words, grown.edge, grown.decision, grown.is_made) == ("4 to 8", 3, 2, True)
    assert (grown.gain, grown.error, grown.nodes) == (0.05, 0.01, 3)
    assert (vain.words, vain.edge, vain.decision, vain.gain) == ("8 to 16", 6, None, 0.001)
    assert (cut.words, cut.edge, cut.state, cut.is_made) == ("8 to 3", 7, "undone", False)


def test_a_rank_that_an_operator_sets_begins_at_the_one_that_the_review_saw() -> None:
    world = World(2)
    world.review()
    world.decide(kind="expand_rank", adapter="line", numbers={"new_rank": 6.0})
    (forced,) = of(world).changes
    assert forced.words == "4 to 6"


def test_where_no_rank_was_tried_or_changed_there_is_a_sentence_and_no_chart(page: str) -> None:
    assert of(story()).is_still
    assert "No rank was tried" in written([story().recorded()], NOW).html
    assert "No rank was tried" not in page
    assert 'id="f1-rank-title"' in page


def test_the_version_that_a_gate_held_is_a_hollow_point_and_named_in_the_head() -> None:
    world = gates_and_ranks()
    points = losses(world.recorded()).points["line"]
    assert [point.version for point in points if point.is_held] == [2]
    assert "held by" not in summary(world.recorded()).sentence, "later ones were let through"
    world.decide(None, kind="hold", adapter="line", target="line@11")
    head = summary(world.recorded()).sentence
    assert "held by its gate: line@11" in head
    assert "last change was decision 4" in head, "a hold changes nothing"


def test_a_version_that_came_with_a_change_of_rank_is_in_the_tree(world: World) -> None:
    recorded = world.recorded()
    told = [k.title for k in knots(recorded, Timeline.of(recorded.reviews))]
    assert told == ["line@0: initial", "line@4: more rank", "line@9: less rank"]


def test_a_reason_names_nodes_and_not_their_identities(world: World, page: str) -> None:
    (first, *_) = world.names
    assert "node-0 loses 0.40 nats" in page
    assert first not in page
    names = {"ab" * 32: "ann", "cd" * 32: "bob", "cd" * 31 + "00": "cleo"}
    assert spoken(f"{'ab' * 6}\u2026 and {'ab' * 32} lose", names) == "ann and ann lose"
    for other in (f"{'cd' * 6}\u2026 loses", f"{'ef' * 32} loses", "abababababab and ab"):
        assert spoken(other, names) == other, "of two, unknown, or not an identity"
