"""A stream with kills ends as its simulation does: the same decisions, bytes and assignments."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from .nursery import Nursery
from .streams import STORIES, TELLING, Account, Story, account, members, settings, simulated
from .world import World, opened

with warnings.catch_warnings():
    # typer 0.20 (the newest that flwr allows) imports a name that click 8.5 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from polyrank.coordinator._cli import main

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


def test_a_stream_that_is_killed_again_and_again_decides_as_its_simulation(
    nursery: Nursery, tmp_path: Path
) -> None:
    run(TELLING, tmp_path, nursery)


@pytest.mark.soak
@pytest.mark.parametrize("story", [pytest.param(s, id=s.name) for s in STORIES])
def test_no_crash_changes_what_is_decided(story: Story, tmp_path: Path) -> None:
    run(story, tmp_path)


def run(story: Story, folder: Path, nursery: Nursery | None = None) -> None:
    given = settings(story.rounds, story.policy)
    expected = simulated(given, story.flipped)
    assert story.must in expected.kinds
    with opened(folder, {"line": members(story.flipped)}, nursery, given) as world:
        for harm in story.harms:
            harm(world)
        world.start_daemon()
        found = to_the_end(world, expected)
        replay(world)
    assert found.kinds == expected.kinds
    for name, value in vars(expected).items():
        assert getattr(found, name) == value, f"{name} differ from the simulation's"


def to_the_end(world: World, expected: Account) -> Account:
    world.wait_event("family_reviewed", number=expected.reviews)
    for entry in expected.decisions:
        if entry[5] == "carried_out":
            world.wait_event("decision_settled", number=entry[0])
    world.end()
    with world.registry() as registry:
        return account(registry)


def replay(world: World) -> None:
    """Decide again from the evidence that is on record."""
    url = f"sqlite:///{world.data_dir}/registry.db"
    with pytest.raises(SystemExit) as done:
        main(["registry", "decisions", "--replay", "--registry", url])
    assert not done.value.code
