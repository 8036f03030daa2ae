"""A loop of a driver and toy nodes in this process, closed at the end of the test."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ready_store import ready_stores as ready_stores

with warnings.catch_warnings():  # flwr imports typer, which uses what click will drop
    warnings.simplefilter("ignore", DeprecationWarning)
    from .loop import Loop, LoopNode

MakeLoop = Callable[..., Loop]


@pytest.fixture
def make_loop(tmp_path: Path) -> Iterator[MakeLoop]:
    """Return `make(nodes, line settings…)`; nodes are keyword dicts for LoopNode by name."""
    made: list[Loop] = []

    def make(
        nodes: dict[str, dict[str, Any]], *, lines: Any = None, limits: Any = None, **line: Any
    ):
        found = [LoopNode(name, tmp_path / "nodes", **options) for name, options in nodes.items()]
        settings = lines or {"line": {"rounds": 2, "min_nodes": len(found), **line}}
        loop = Loop(tmp_path / "daemon", found, settings, limits=limits)
        made.append(loop)
        return loop

    yield make
    for loop in made:
        loop.close()
