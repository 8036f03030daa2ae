"""What a new line starts from: another line's version, or the average of all lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from polyrank.aggregation import Adapter, Factors, Limits, decode, encode, initial_dense, norm
from polyrank.coordinator._base import Base, Disagreement
from polyrank.coordinator._cold_start import ColdStart, cold_start
from polyrank.coordinator._config import AdapterConfig
from polyrank.store import Registry, connect, open_ledger

from .conftest import MakeLoop

BASE = Base("f" * 64, {"q": (6, 5), "v": (4, 5)}, {"head": (2, 6)})


@pytest.fixture
def registry() -> Iterator[Registry]:
    with connect("memory://") as opened:
        opened.register_base_model("toy", fingerprint="f" * 64)
        opened.register_base_model("other", fingerprint="e" * 64)
        yield opened


def publish(registry: Registry, name: str, rank: int, **given: object) -> Adapter:
    """Publish a random state as a line's stable version; return it."""
    base = str(given.get("base", "toy"))
    shapes = given.get("modules", BASE.modules)
    generator = torch.Generator().manual_seed(len(name) + rank)
    assert isinstance(shapes, dict)
    state = Adapter(
        {
            key: Factors(
                torch.randn(m, rank, generator=generator), torch.randn(rank, n, generator=generator)
            )
            for key, (m, n) in shapes.items()
        },
        {"head": torch.randn(*given.get("head", (2, 6)), generator=generator)},  # type: ignore[misc]
    )
    tags = given.get("tags", {})
    assert isinstance(tags, dict)
    registry.create_adapter(name, base_model=base, tags=tags)
    metrics = {"num_examples": float(str(given.get("examples", 1)))}
    version = registry.publish(name, encode(state), metrics=metrics)
    if given.get("stable", True):
        registry.set_alias(name, "stable", version.number)
    return state


def start(registry: Registry, wanted: str | None, **values: object) -> ColdStart | Disagreement:
    settings = {"base_model": "toy", "seed": 3, "start_from": wanted, **values}
    config = AdapterConfig.model_validate(settings)
    return cold_start(registry, "new", config, BASE, limits=Limits())


def made(registry: Registry, wanted: str | None, **values: object) -> ColdStart:
    found = start(registry, wanted, **values)
    assert isinstance(found, ColdStart), found
    return found


def delta(adapter: Adapter, name: str) -> torch.Tensor:
    return adapter.factors[name].delta().double()


def test_without_a_source_and_with_an_empty_inventory_a_line_starts_from_its_seed(
    registry: Registry,
) -> None:
    for wanted in (None, "inventory"):
        found = made(registry, wanted)
        assert found.parents == ()
        assert norm(Adapter(found.adapter.factors)) == 0.0
        assert torch.equal(found.adapter.dense["head"], initial_dense(BASE.dense, 3)["head"])


def test_the_inventory_is_the_weighted_average_of_what_is_in_service(registry: Registry) -> None:
    one = publish(registry, "one", 2, examples=300)
    two = publish(registry, "two", 3, examples=100, head=(3, 6))
    publish(registry, "elsewhere", 2, base="other")
    publish(registry, "part", 2, modules={"q": (6, 5)})
    publish(registry, "trials", 2, tags={"role": "trials"})
    publish(registry, "ranks", 2, tags={"role": "rank-trials"})
    publish(registry, "young", 2, stable=False)
    found = made(registry, "inventory", state_rank=5)
    assert [(p.adapter, p.weight) for p in found.parents] == [("one", 0.75), ("two", 0.25)]
    for name in BASE.modules:
        mean = 0.75 * delta(one, name) + 0.25 * delta(two, name)
        assert torch.allclose(delta(found.adapter, name), mean, atol=1e-5)
    head = found.adapter.dense["head"]
    assert torch.allclose(head, one.dense["head"]), "two's has another shape"
    cut = made(registry, "inventory")
    assert max(cut.adapter.ranks.values()) == 3
    assert cut.discarded > 0.01


def test_members_that_are_archived_are_not_in_the_inventory(registry: Registry) -> None:
    with open_ledger("memory://") as ledger:
        ledger.registry.register_base_model("toy", fingerprint="f" * 64)
        for name in ("fam", "fam/2"):
            publish(ledger.registry, name, 2)
        epoch = ledger.take_epoch("test")
        ledger.put_family("fam", payload={}, epoch=epoch)
        ledger.put_member("fam", "fam/2", state="archived", payload={}, epoch=epoch)
        found = made(ledger.registry, "inventory")
        assert [parent.adapter for parent in found.parents] == ["fam"]


def test_a_named_version_is_taken_as_it_is_unless_the_rank_is_capped(registry: Registry) -> None:
    one = publish(registry, "one", 3)
    found = made(registry, "one@stable")
    assert encode(found.adapter) == encode(one)
    assert decode(bytearray(encode(found.adapter))).ranks == {"q": 3, "v": 3}
    assert set(made(registry, "one@0", state_rank=2).adapter.ranks.values()) == {2}


def test_what_the_source_lacks_starts_from_nothing(registry: Registry) -> None:
    part = publish(registry, "part", 2, modules={"q": (6, 5), "x": (3, 3)}, head=(9, 6))
    found = made(registry, "part@stable").adapter
    assert found.ranks == {"q": 2, "v": 0}
    assert torch.equal(delta(found, "q"), delta(part, "q"))
    assert found.dense_shapes == {"head": (2, 6)}


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("none@stable", "no such version"),
        ("one@9", "no such version"),
        ("elsewhere@stable", "is on base model 'other', not on 'toy'"),
        ("strange@stable", "none of the modules"),
    ],
)
def test_what_cannot_be_started_from_is_said_in_one_line(
    registry: Registry, wanted: str, problem: str
) -> None:
    publish(registry, "one", 2)
    publish(registry, "elsewhere", 2, base="other")
    publish(registry, "strange", 2, modules={"x": (6, 5)})
    found = start(registry, wanted)
    assert isinstance(found, Disagreement)
    assert problem in found.reason
    assert found.reason.startswith(f"adapters.new.start_from is '{wanted}'")


def test_a_line_waits_for_the_line_that_it_starts_from_and_has_its_parents(
    make_loop: MakeLoop,
) -> None:
    line = {"min_nodes": 2, "rounds": 2}
    lines = {"new": {**line, "start_from": "line@1"}, "line": line}
    loop = make_loop({"ann": {}, "bob": {}}, lines=lines)
    loop.run(until=lambda: loop.head("new") == 2)
    first = loop.registry.version("new@0")
    assert first.digest == loop.registry.version("line@1").digest
    assert [(p.adapter, p.number, p.weight) for p in first.parents] == [("line", 1, 1.0)]
    log = (loop.folder / "log" / "daemon.jsonl").read_text()
    assert "no such version" in log
    assert '"line@1"' in log
