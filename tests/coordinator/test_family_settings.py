"""What contradicts a family's records is said, and what comes too late for it is not counted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from polyrank.coordinator import CoordinatorConfig, StoreMismatch
from polyrank.coordinator._families import Family
from polyrank.coordinator._family_settings import ignored_settings
from polyrank.coordinator._line_table import Lines
from polyrank.store import Choice, Ledger, open_ledger

from .conftest import MakeLoop
from .family_world import World


def settings(**values: object) -> CoordinatorConfig:
    continual = {"mode": "record", **{k: values.pop(k) for k in ("classes",) if k in values}}
    line = {"base_model": "toy", "continual": continual, **values}
    return CoordinatorConfig.parse({"adapters": {"line": line}})


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


@pytest.fixture
def epoch(ledger: Ledger) -> int:
    for name in ("toy", "other"):
        ledger.registry.register_base_model(name, fingerprint="f" * 64)
    ledger.registry.create_adapter("line", base_model="toy")
    return ledger.take_epoch("test")


def test_a_changed_seed_is_said_to_change_nothing_and_other_classes_are_refused(
    ledger: Ledger, epoch: int
) -> None:
    def ignored(**values: object) -> list[str]:
        config = settings(**values).adapters["line"]
        return ignored_settings(Family("line", config, ledger))

    assert ignored(seed=8) == [], "there is no family yet"
    ledger.put_family("line", payload={"spec": {"seed": 7, "classes": 2}}, epoch=epoch)
    assert ignored(seed=7) == ignored(seed=7, classes=2) == []
    (said,) = ignored(seed=8)
    assert "seed is 8 now" in said
    assert "go on with 7" in said
    with pytest.raises(StoreMismatch, match=r"classes is 3, but .* in 2 classes"):
        ignored(seed=7, classes=3)


def test_a_daemon_does_not_start_on_other_classes(ledger: Ledger) -> None:
    world = World(ledger)
    world.review()
    values = world.config.model_dump()
    values["adapters"]["line"]["continual"]["classes"] = 3
    world.config = CoordinatorConfig.parse(values)
    with pytest.raises(StoreMismatch, match="begin a new line"):
        world.restart()


@pytest.mark.parametrize("base", ["toy", "other"])
def test_a_line_made_by_hand_under_the_name_of_the_trials_is_refused(
    ledger: Ledger, epoch: int, base: str
) -> None:
    ledger.registry.create_adapter("line/trials", base_model=base)
    with pytest.raises(StoreMismatch, match="'line/trials' that this daemon did not make"):
        Lines(settings(), ledger)


def test_an_update_of_a_node_that_was_moved_away_is_rejected_with_the_reason(
    make_loop: MakeLoop,
) -> None:
    names = {"ann": {}, "bob": {}, "cid": {}}
    line = {"min_nodes": 2, "rounds": 3, "deadline_seconds": 20, "continual": {"mode": "act"}}
    loop = make_loop(names, lines={"line": line})
    loop.run(until=lambda: loop.planned())
    slow = next(address for address, node in loop.nodes.items() if node.name == "ann")
    loop.session.silent.add(slow)
    loop.run(until=lambda: loop.head() == 1)
    ann = loop.nodes[slow].identity
    choice = Choice(
        kind="expand_adapter", adapter="line", target="line@0", nodes=(ann,), reason="Mine."
    )
    number = loop.registry.force(choice, actor="op").number
    loop.run(until=lambda: not loop.ledger.open_decisions("line"))
    assert loop.registry.decision_log(number)[-1].state == "carried_out"
    loop.session.silent.clear()
    loop.run(until=lambda: loop.ledger.contributions("line", status="rejected"))
    (late,) = loop.ledger.contributions("line", status="rejected")
    assert (late.identity, late.round) == (ann, 1)
    assert late.reason == "its node was moved to line/2"
    log = (loop.folder / "log" / "daemon.jsonl").read_text().splitlines()
    assert any(json.loads(line)["event"] == "reply_rejected" for line in log)
