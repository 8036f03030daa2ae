"""Every method of aggregation through the real driver, registry and nodes' workers."""

import pytest
import torch
from polyrank.aggregation import METHODS, Adapter, Update, began, decode, method, with_momentum

from .conftest import MakeLoop
from .loop import Loop
from .test_driver import accepted, events

UNEQUAL = {"ann": {"rank": 4, "rows": 30}, "bob": {"rank": 2, "rows": 10}}


def version(loop: Loop, number: int) -> Adapter:
    return decode(loop.registry.read(f"line@{number}"))


def updates_of(
    loop: Loop, number: int, start: str, start_number: int | None = None
) -> list[Update]:
    """What the version was made of, read from the records: in the order of identities."""
    state = version(loop, number - 1 if start_number is None else start_number)
    found = accepted(loop, counted_in=number)
    updates: list[Update] = []
    for record in sorted(found, key=lambda record: record.identity):
        part = began(state, record.rank, start)
        update = decode(loop.ledger.read_blob(record.digest))
        updates.append((part, update, record.num_examples / 40))
    return updates


def assert_same(one: Adapter, other: Adapter) -> None:
    assert one.ranks == other.ranks
    for name, factors in one.factors.items():
        torch.testing.assert_close(factors.b, other.factors[name].b, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(factors.a, other.factors[name].a, rtol=1e-6, atol=1e-7)
    for name, value in one.dense.items():
        torch.testing.assert_close(value, other.dense[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_versions_are_what_the_method_makes_of_the_nodes_updates(make_loop: MakeLoop, name: str):
    rank = 2 if name == "fedex" else None
    loop = make_loop(UNEQUAL, rounds=3, method=name, rank=rank)
    loop.run()
    chosen, kept = method(name), {"stacking": 3, "fedex": 8}.get(name, 4)
    for number in (2, 3):
        updates = updates_of(loop, number, chosen.starting(number - 1))
        made = chosen.next_state(
            version(loop, number - 1), updates, step=number - 1, state_rank=kept
        )
        assert_same(version(loop, number), made.adapter)
    losses = [m.value for n in (0, 3) for m in loop.registry.metrics(f"line@{n}")
              if m.identity and m.name == "loss"]  # fmt: skip
    assert sum(losses[2:]) < sum(losses[:2]), "the nodes learn nothing"


@pytest.mark.parametrize(("name", "kept"), [("ffa", "aa"), ("rolora", "ab")])
def test_the_frozen_factor_stays_through_the_rounds(make_loop: MakeLoop, name: str, kept: str):
    loop = make_loop(UNEQUAL, rounds=3, method=name)
    loop.run()
    for number, side in zip((2, 3), reversed(kept), strict=True):
        for layer, factors in version(loop, number).factors.items():
            before = version(loop, number - 1).factors[layer]
            assert torch.equal(getattr(factors, side), getattr(before, side))


def test_momentum_goes_on_with_the_last_step(make_loop: MakeLoop):
    loop = make_loop(UNEQUAL, rounds=3, momentum=0.5)
    loop.run()
    for number in (2, 3):
        state, previous = version(loop, number - 1), version(loop, number - 2)
        updates = with_momentum(updates_of(loop, number, "warm"), state, previous, momentum=0.5)
        made = method("stacking").next_state(state, updates, step=number - 1, state_rank=3)
        assert_same(version(loop, number), made.adapter)


def test_momentum_begins_anew_from_the_version_that_an_operator_went_back_to(make_loop: MakeLoop):
    loop = make_loop(UNEQUAL, rounds=3, momentum=0.5)
    loop.run(until=lambda: loop.head() == 2)
    loop.registry.set_alias("line", "stable", 0)
    for number in (2, 1):  # 2 was stable before, so its bytes stay
        loop.registry.retire(f"line@{number}")
    assert loop.registry.prune().collected == ("line@1",)
    loop.run()
    last = loop.registry.rounds("line")[2]
    assert (last.state, last.start_number, last.plan["previous"]) == ("committed", 0, None)
    updates = updates_of(loop, 3, "warm", start_number=0)
    made = method("stacking").next_state(version(loop, 0), updates, step=0, state_rank=3)
    assert_same(version(loop, 3), made.adapter)


def test_a_node_that_can_not_train_the_equal_rank_is_told_why(make_loop: MakeLoop):
    nodes = {"ann": {"rank": 4}, "bob": {"rank": 2}, "cyn": {"rank": 5}}
    loop = make_loop(nodes, rounds=1, min_nodes=2, method="fedex", rank=4)
    loop.run()
    (misfit,) = events(loop, "node_misfit")
    assert misfit["name"] == "bob"
    assert "equal ranks of 4" in misfit["reason"]
    assert {record.rank for record in accepted(loop)} == {4}
