"""A family that is reviewed for years keeps what it needs, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from polyrank.coordinator import CoordinatorConfig
from polyrank.store import Ledger, open_ledger, replays

from .family_world import NAMES, World

KEPT = 2


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


def test_old_summaries_and_trials_go_and_decisions_can_still_be_replayed(ledger: Ledger) -> None:
    world = World(ledger, merge_every=1, merge_tolerance=0.0, z_pair=30.0)
    values = world.config.model_dump()
    values["adapters"]["line"]["keep_rounds"] = KEPT
    world.config = CoordinatorConfig.parse(values)
    world.restart()
    world.split()
    world.review(5)
    registry = ledger.registry
    watches = [a.payload for a in registry.assignments("line")]
    kept = {key for watch in watches for key in (*watch["reference"], watch["seen"])}
    for name in ("line", "line/2", "line/trials"):
        tasks = {task.key: task for task in ledger.tasks(name)}
        rounds = [r.number for r in registry.rounds(name)] if name != "line/trials" else []
        for summary in registry.summaries(name):
            kind = tasks[summary.task_key].kind
            newest = world.reviews if kind == "probe" else max(rounds) - 1  # one may have begun
            assert summary.round > newest - KEPT or summary.task_key in kept, summary
    assert len(registry.summaries("line")) < len(NAMES) * (KEPT + 5)

    trials = registry.versions("line/trials").items
    made_in = {int(v.tags["review"]): v.retired for v in trials}
    assert min(made_in) <= world.reviews - KEPT, "there are old ones"
    for number, is_retired in made_in.items():
        is_recent = number > world.reviews - KEPT or number == max(made_in)
        assert is_retired != is_recent

    for evidence in registry.evidence(limit=1000):
        if evidence.kind == "review":
            own = [d.payload for d in world.decisions() if evidence.number in d.evidence]
            assert replays(evidence.payload, own)
