"""The report on a family that the daemon's own driver has run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from polyrank.coordinator._report import report
from polyrank.coordinator._report_assignment import histories
from polyrank.coordinator._report_records import Recorded, read_family
from polyrank.coordinator._report_time import Timeline, marks
from polyrank.coordinator._report_tree import knots
from polyrank.store import Ledger, open_ledger

from .family_world import World


def assigned(ledger: Ledger) -> dict[str, str]:
    return {a.identity: a.adapter for a in ledger.registry.assignments("line")}


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Recorded, dict[int, dict[str, str]], str]]:
    """Let two nodes get their own adapter, and undo that; with what was assigned when."""
    with open_ledger("memory://") as ledger:
        world = World(ledger)
        seen: dict[int, dict[str, str]] = {}
        split = world.split()
        for _ in range(2):
            before = assigned(ledger)
            world.review()
            seen[world.reviews] = before
        ledger.registry.settle(split.number, state="undone", reason="a mistake", actor="op")
        world.simulation.run(until=lambda: not world.open_decisions())
        before = assigned(ledger)
        world.review()
        seen[world.reviews] = before
        yield read_family(ledger.registry, "line"), seen, report(ledger.registry).html


def test_the_assignments_told_are_those_that_the_registry_had(
    told: tuple[Recorded, dict[int, dict[str, str]], str],
) -> None:
    recorded, seen, _ = told
    found = histories(recorded)
    assert len({member for snapshot in seen.values() for member in snapshot.values()}) == 2
    for review, snapshot in seen.items():
        assert {identity: history[review - 1] for identity, history in found.items()} == snapshot


def test_the_expansion_is_marked_drawn_and_told(
    told: tuple[Recorded, dict[int, dict[str, str]], str],
) -> None:
    recorded, _, page = told
    timeline = Timeline.of(recorded.reviews)
    kinds = [mark.kind for mark in marks(recorded, timeline)]
    assert kinds.index("expand_adapter") < kinds.index("undo")
    expanded = next(knot for knot in knots(recorded, timeline) if knot.kind == "expand")
    assert (expanded.place, expanded.source) == (1, 0)
    assert "a mistake" in page
    for name in ("ann", "bob", "fay"):
        assert f">{name}<" in page
