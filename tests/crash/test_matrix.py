"""Kill anything at any instant: afterwards the records are those of an undisturbed run.

Six telling cells run in `make test`, with processes that share their imports (nursery.py); all
cells run in `make soak`, each process by its own command line. Every run must end with the very
bytes of the undisturbed one: the trainer is deterministic, the nodes' keys are fixed, and no
round is closed without all of its nodes, so no crash may change which round counts an update.
"""

import time
from pathlib import Path

import pytest

from .audit import Facts, audit
from .cells import CELLS, Cell
from .nursery import Nursery
from .report import Row
from .world import FIRST, ROUNDS, opened

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]
TELLING = (
    "daemon / between replies, two adapters",
    "daemon / during aggregation",
    "daemon / during commit",
    "superlink / between replies",
    "node / before first reply",
    "old daemon / before accept",
)


def by_name(*names: str) -> list:
    return [pytest.param(c, id=c.name) for c in CELLS if c.name in names or not names]


@pytest.mark.parametrize("cell", by_name(*TELLING))
def test_a_telling_crash_changes_nothing(cell: Cell, undisturbed, nursery, rows, tmp_path: Path):
    run(cell, undisturbed, rows, tmp_path, nursery)


@pytest.mark.soak
@pytest.mark.parametrize("cell", by_name())
def test_no_crash_changes_anything(cell: Cell, undisturbed, rows, tmp_path: Path):
    run(cell, undisturbed, rows, tmp_path)


@pytest.mark.soak
def test_a_line_alone_makes_what_it_makes_beside_another(undisturbed, tmp_path: Path):
    """So that the undisturbed run of both lines is a measure for cells with one line, too."""
    with opened(tmp_path, FIRST) as world:
        world.start_all()
        world.await_end()
        world.end()
        assert audit(world).versions["left"] == undisturbed.versions["left"]


def run(
    cell: Cell, expected: Facts, rows: list[Row], folder: Path, nursery: Nursery | None = None
) -> None:
    began = time.monotonic()
    with opened(folder, cell.lines, nursery) as world:
        cell.drive(world)
        if world.mended_at < world.harmed_at:
            world.mended()
        world.await_end()
        recovered = world.recover_seconds(cell.recovered_by)
        world.end()
        found = audit(world)
    same = all(found.versions[line] == expected.versions[line] for line in cell.lines)
    rows.append(
        Row(
            cell=cell.name,
            harm=cell.harm,
            versions=sum(map(len, found.versions.values())),
            expected_versions=(ROUNDS + 1) * len(cell.lines),
            contributions=found.accepted,
            counted=found.counted,
            tasks=found.tasks,
            trainings=found.finished,
            repeated=found.repeated,
            given_up=found.begun - found.finished,
            from_cache=found.from_cache,
            same_bytes=same,
            recover_seconds=recovered,
            cpu_seconds=world.cpu_seconds,
            wall_seconds=time.monotonic() - began,
        )
    )
    assert same, f"{found.versions} is not {expected.versions}"
    assert found.from_cache == cell.from_cache, "updates out of the nodes' caches"
    assert found.begun - found.finished == cell.given_up, "trainings begun and not finished"
