"""The rank of a line's versions where none is configured, and what nodes then train."""

import pytest
from polyrank.coordinator._plans import usual_state_rank

from .conftest import MakeLoop
from .test_driver import accepted

NODES = {"ann": {"rank": 6}, "bob": {"rank": 2}, "cyn": {"rank": 2}}


@pytest.mark.parametrize(
    ("method", "ranks", "rank"),
    [
        ("stacking", [32, 16, 8, 4], 15),
        ("stacking", [8, 8], 8),
        ("stacking", [4, 10**6], 194),  # no delta has a rank above 384
        ("stacking", [], 1),
        ("fedit", [32, 16, 8, 4], 32),
        ("florist", [], 1),
        ("fedex", [4, 4], 384),
    ],
)
def test_stacking_keeps_the_mean_rank_and_its_rivals_the_largest(method, ranks, rank):
    assert usual_state_rank(method, ranks, 384) == rank


@pytest.mark.parametrize(
    ("settings", "kept", "trained"),
    [
        ({}, 4, [4, 2, 2]),
        ({"state_rank": 6}, 6, [6, 2, 2]),
        ({"state_rank": 1}, 1, [1, 1, 1]),
        ({"rank": 3}, 3, [3, 2, 2]),
        ({"method": "fedit"}, 6, [6, 2, 2]),
    ],
)
def test_no_node_trains_more_than_the_state_keeps(make_loop: MakeLoop, settings, kept, trained):
    loop = make_loop(NODES, rounds=1, **settings)
    loop.run()
    (planned,) = loop.registry.rounds("line")
    assert planned.plan["state_rank"] == kept
    assert sorted((record.rank for record in accepted(loop)), reverse=True) == trained
    assert loop.registry.version("line@1").rank == kept
