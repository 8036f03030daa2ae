"""The matrix's undisturbed run, and its table at the end of the test run.

``POLYRANK_CRASH_REPORT=FILE make soak`` also writes the table's rows to a JSON file.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .audit import Facts, audit
from .nursery import Nursery
from .report import Row, table, write_json
from .world import BOTH, opened

REPORT_VARIABLE = "POLYRANK_CRASH_REPORT"
ROWS = pytest.StashKey[list[Row]]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section("crash matrix")
    terminalreporter.write_line(table(rows))
    path = os.environ.get(REPORT_VARIABLE)
    if path:
        write_json(Path(path), rows)
        terminalreporter.write_line(f"written to {path}")


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return request.config.stash.setdefault(ROWS, [])


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as made:
        yield made


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Facts:
    """The facts of a run of both lines in which nothing is harmed."""
    with opened(tmp_path_factory.mktemp("undisturbed"), BOTH, nursery) as world:
        world.start_all()
        world.await_end()
        world.end()
        return audit(world)
