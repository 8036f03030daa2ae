"""Nodes agree on a base by strict majority; sizes are those of the bytes."""

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import Adapter, Factors, encode
from polyrank.client._protocol import Card
from polyrank.coordinator._base import Base, Disagreement, agree, joins, misfit
from polyrank.coordinator._plans import round_seed

MODULES = {"q": (8, 6), "v": (8, 4)}
HEAD = {"head": (2, 8)}


def card(
    base: str = "one", modules: object = None, dense: object = None, adapters: object = ("*",)
) -> Card:
    return Card(
        name="n", max_rank=4, memory_bytes=None, device="cpu", tags={}, libraries={},
        adapters=adapters, fingerprint=hashlib.sha256(base.encode()).hexdigest(),
        modules=MODULES if modules is None else modules, dense=HEAD if dense is None else dense,
        model_loads=1, trainings=0, process_id=1, started_at="",
    )  # fmt: skip


def settled(*cards: Card, **options: object) -> Base:
    found = agree(cards, **{"fingerprint": None, "targets": None, **options})
    assert isinstance(found, Base), found
    return found


def refused(*cards: Card, **options: object) -> str:
    found = agree(cards, **{"fingerprint": None, "targets": None, **options})
    assert isinstance(found, Disagreement)
    return found.reason


def test_a_majority_settles_the_base_and_half_does_not():
    assert settled(card(), card(), card("two")).fingerprint == card().fingerprint
    assert "majority" in refused(card(), card("two"))
    assert "no node" in refused(card(), fingerprint="f" * 64)
    assert settled(card(), card("two"), fingerprint=card("two").fingerprint).modules == MODULES


def test_modules_are_the_union_and_targets_choose_among_them():
    union = settled(card(modules={"q": (8, 6)}), card(modules={"v": (8, 4)}))
    assert union.modules == MODULES
    assert settled(card(), targets=["*q*"]).modules == {"q": (8, 6)}
    assert "'k'" in refused(card(), targets=["q", "k"])
    assert "'q'" in refused(card(), card(modules={"q": (9, 6)}))
    assert "no target module" in refused(card(modules={}))
    assert "dense" in refused(card(), card(dense={}))


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (card("two"), "fingerprint"),
        (card(dense={}), "dense"),
        (card(modules={"x": (1, 1)}), "none of its target modules"),
        (card(modules={"q": (6, 8)}), "shape"),
    ],
)
def test_a_misfit_is_told_why(odd: Card, said: str):
    base = settled(card())
    assert said in misfit(odd, base)
    assert misfit(card(modules={"q": (8, 6), "extra": (3, 3)}), base) == ""


def test_a_node_joins_the_lines_that_its_patterns_match():
    assert joins(card(adapters=("support/*", "demo")), "support/en")
    assert not joins(card(adapters=("support/*", "demo")), "sales/en")


@given(rank=st.integers(0, 9))
def test_an_estimated_size_is_at_least_the_real_one_and_close(rank: int):
    base = Base("f" * 64, MODULES, HEAD)
    factors = {
        name: Factors(torch.zeros(m, min(rank, m, n)), torch.zeros(min(rank, m, n), n))
        for name, (m, n) in MODULES.items()
    }
    real = len(encode(Adapter(factors, {"head": torch.zeros(2, 8)})))
    assert real <= base.size_bytes(rank) <= real + 1000
    fitting = base.largest_rank(base.size_bytes(rank))
    assert base.size_bytes(fitting) == base.size_bytes(rank)


def test_seeds_differ_between_rounds_and_stay_small():
    seeds = {round_seed(seed, number) for seed in range(5) for number in range(50)}
    assert len(seeds) == 250
    assert all(0 <= seed < 2**31 for seed in seeds)
