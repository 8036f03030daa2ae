"""Gates: candidates are judged before they are served, by the daemon's own driver and toy nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from polyrank.aggregation import Adapter
from polyrank.client import TrainResult
from polyrank.client._versions import Versions
from polyrank.store import Decision, Ledger, open_ledger, replays

from .family_world import WARM_UP, World
from .power_cuts import PowerCut, cut_after_each
from .toy_stream import ToyStream


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger("memory://") as opened:
        yield opened


class GatedWorld(World):
    """Nodes of which one may spoil what it trains."""

    def spoil(self, name: str, times: int = 1, *, scale: float = -20.0) -> None:
        """Let a node's next trainings turn the head round."""
        stream, left = self.streams[name], [times]
        honest = stream.train

        def train(task: Any) -> TrainResult:
            found = honest(task)
            if not left[0]:
                return found
            left[0] -= 1
            dense = {key: scale * value for key, value in found.adapter.dense.items()}
            return TrainResult(Adapter(found.adapter.factors, dense), 80, found.metrics)

        stream.train = train  # type: ignore[method-assign]

    def aliases(self, line: str = "line") -> dict[str, int]:
        return {alias.alias: alias.number for alias in self.ledger.registry.aliases(line)}

    def why(self) -> str:
        """Return why the stable version is that."""
        return self.ledger.registry.alias_history("line", "stable")[-1].reason

    def gates(self) -> list[dict[str, Any]]:
        found = [e.payload["review"] for e in self.ledger.registry.evidence(limit=1000)
                 if e.kind == "review"]  # fmt: skip
        return [dict(gate) for gate in found[-1].get("gates", ())]

    def only(self, kind: str) -> Decision:
        (found,) = self.decisions(kind)
        return found


def test_a_version_is_a_candidate_until_a_review_has_compared_it(ledger: Ledger) -> None:
    world = GatedWorld(ledger)
    world.review(3)
    registry = ledger.registry
    world.simulation.run(until=lambda: registry.version("line@latest").number == 3)
    assert world.aliases() == {"stable": 2, "candidate": 3}
    world.review()
    assert world.aliases() == {"stable": 3, "candidate": 3}
    assert world.why().startswith("review 4: 6 domains, ")
    (gate,) = world.gates()
    assert (gate["candidate"], gate["stable"], gate["identities"]) == (3, 2, 6)
    assert not world.decisions("hold"), "a promotion is no decision"


def test_mode_record_has_no_gates(ledger: Ledger) -> None:
    world = GatedWorld(ledger, mode="record")
    world.review(3)
    assert world.aliases() == {"stable": 2}
    assert not world.gates()


def go_on(world: GatedWorld) -> None:
    """Get to the next review, with a new driver for each one that dies."""
    goal = world.reviews + 1
    while world.reviews < goal or world.open_decisions():
        try:
            world.review(goal - world.reviews)
        except PowerCut:
            world.restart()


def outcome(world: GatedWorld) -> dict[str, Any]:
    """What is on record of a line and of what was decided about it."""
    registry = world.ledger.registry
    return {
        "versions": {v.number: v.digest for v in registry.versions("line").items},
        "stable": [(c.number, c.reason) for c in registry.alias_history("line", "stable")],
        "candidate": world.aliases()["candidate"],
        "decisions": [(d.kind, d.subject, d.state, d.reason) for d in registry.decisions()],
        "held": registry.members("line")[0].payload["held"],
        "reviews": world.reviews,
    }


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[tuple[GatedWorld, dict[int, dict[str, Any]]]]:
    """A spoilt version until training has recovered; and what was on record after each review."""
    with open_ledger("memory://") as opened:
        world = GatedWorld(opened)
        world.review(WARM_UP)
        world.spoil("eve")
        seen: dict[int, dict[str, Any]] = {}
        while world.aliases()["stable"] <= WARM_UP:
            world.review()
            seen[world.reviews] = outcome(world)
            assert world.reviews < 12, "it never recovered"
        yield world, seen


def test_a_spoilt_version_is_held_with_its_cause_until_training_has_recovered(
    undisturbed: tuple[GatedWorld, dict[int, dict[str, Any]]],
) -> None:
    world, seen = undisturbed
    held = world.decisions("hold")[0]
    spoilt = int(held.subject.partition("@")[2])
    first = seen[WARM_UP + 1]
    assert (first["stable"][-1][0], first["candidate"]) == (spoilt - 1, spoilt)
    assert held.state == "recorded"
    assert f"against line@{spoilt - 1}" in held.reason
    assert not world.decisions("expand_adapter", "reroute"), "the data are as they were"
    registry = world.ledger.registry
    served = registry.alias_history("line", "stable")
    assert any(change.number > spoilt and "tolerance" in change.reason for change in served)
    for evidence in registry.evidence(limit=1000):
        own = [d.payload for d in world.decisions() if evidence.number in d.evidence]
        assert evidence.kind != "review" or replays(evidence.payload, own)


def test_a_crash_after_any_write_of_a_hold_changes_nothing_of_its_outcome(
    undisturbed: tuple[GatedWorld, dict[int, dict[str, Any]]],
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = GatedWorld(ledger)
    world.review(WARM_UP)
    world.spoil("eve")
    registry = ledger.registry
    world.simulation.run(until=lambda: registry.version("line@latest").number == WARM_UP)
    calls = {"record_review", "plan_round", "move_round", "put_task", "accept", "commit_round"}
    cuts = cut_after_each(ledger, monkeypatch, sorted(calls))
    for review in (WARM_UP + 1, WARM_UP + 2):
        go_on(world)
        assert outcome(world) == undisturbed[1][review]
    assert set(cuts) == calls


class Marked(ToyStream):
    """A stream whose last feature says which of two domains it is of."""

    is_film = False

    def _draw(self) -> None:
        super()._draw()
        self._x[:, -1] = 3.0 * self.is_film


def test_what_harms_one_domain_alone_is_held_with_that_domain_as_its_cause(
    ledger: Ledger,
) -> None:
    world = GatedWorld(ledger)
    for name, domain in zip(world.nodes, ["news"] * 2 + ["films"] * 3 + ["\x00"], strict=True):
        world.streams[name].__class__ = Marked
        world.streams[name].is_film = domain == "films"  # type: ignore[attr-defined]
        world.streams[name].drift()
        object.__setattr__(world.nodes[name].config, "tags", {"domain": domain})
    world.review(4)
    (gate,) = world.gates()
    names = {d["name"]: d["identities"] for d in gate["domains"]}
    fay = world.nodes["fay"].identity
    assert names == {"news": 2, "films": 3, fay: 1}, "domains are what the nodes' cards say"
    stable, honest = world.aliases()["stable"], world.streams["eve"].train

    def train(task: Any) -> TrainResult:
        found = honest(task)
        dense = {key: value.clone() for key, value in found.adapter.dense.items()}
        dense["head.weight"][:, -1] += torch.tensor([-60.0, 60.0])
        return TrainResult(Adapter(found.adapter.factors, dense), 80, found.metrics)

    world.streams["eve"].train = train  # type: ignore[method-assign]
    world.review()
    assert world.aliases() == {"stable": stable, "candidate": stable + 1}
    held = world.only("hold")
    assert held.subject == f"line@{stable + 1}"
    assert "costs 1 of 3 domains" in held.reason
    assert "films loses" in held.reason
    (gate,) = world.gates()
    lost = {d["name"]: d["loss_change"] for d in gate["domains"]}
    assert lost["films"] > 1 > 0 > max(lost["news"], lost[fay]), "the others gained by it"
    assert [d.kind for d in world.decisions()] == ["hold"]


def lie(world: World, name: str) -> None:
    """Let a node claim that every version costs it a nat."""
    worker = world.nodes[name]._desk._worker
    honest = worker._evaluate_gate

    def claim(*args: Any) -> Any:
        found = honest(*args)
        if found is not None:
            found = type(found)([0.0] * len(found.losses), found.correct, found.labels)
        return found

    worker._evaluate_gate = claim  # type: ignore[method-assign]


def test_one_node_that_lies_cannot_keep_a_federation_from_going_on(ledger: Ledger) -> None:
    world = GatedWorld(ledger, gate_tolerance=0.01, gate_confidence=0.5)
    world.review(2)
    lie(world, "ann")
    seen = []
    for _ in range(4):
        world.review()
        seen.append((world.aliases()["stable"], len(world.decisions("hold"))))
    assert seen == [(1, 1), (1, 2), (1, 3), (5, 3)]
    assert "one node alone has held it 3 times" in world.why()


def test_nodes_that_have_lost_their_versions_score_the_stable_one_as_a_probe(
    ledger: Ledger,
) -> None:
    world = GatedWorld(ledger)
    world.review(3)
    registry = ledger.registry
    world.simulation.run(until=lambda: registry.version("line@latest").number == 3)
    for node in world.nodes.values():
        node._desk._worker._versions = Versions(None)
    world.review()
    (gate,) = world.gates()
    assert gate["identities"] == 6
    probes = [t for t in registry.tasks("line", round=4) if t.kind == "probe"]
    assert {t.start_digest for t in probes} == {registry.version("line@2").digest}
    assert world.aliases()["stable"] == 3


def degrade(world: GatedWorld) -> int:
    """Let an operator promote what was held, and training spoil it again; return its number."""
    world.spoil("eve", times=3)
    world.review()
    bad = world.ledger.registry.version("line@latest").number
    world.ledger.registry.set_alias("line", "stable", bad, reason="I know better")
    return bad


def test_a_stable_version_that_harms_goes_back_to_the_one_before(ledger: Ledger) -> None:
    world = GatedWorld.warmed_up(ledger)
    bad = degrade(world)
    world.review()
    found = world.only("rollback")
    assert (found.subject, found.state) == (f"line@{bad - 1}", "carried_out")
    assert world.aliases()["stable"] == bad - 1
    kinds = [c.kind for c in ledger.registry.alias_history("line", "stable")]
    assert kinds[-1] == "rollback"
    assert not world.decisions("expand_adapter")
    ledger.registry.settle(found.number, state="undone", reason="no", actor="op")
    world.simulation.run(until=lambda: not world.open_decisions())
    assert world.aliases()["stable"] == bad


def test_labels_that_contradict_take_no_version_back(ledger: Ledger) -> None:
    world = GatedWorld.warmed_up(ledger)
    world.split()
    world.review(2)
    assert not world.decisions("rollback")


def test_a_crash_after_any_write_of_a_rollback_changes_nothing_of_its_outcome(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = GatedWorld.warmed_up(ledger)
    bad = degrade(world)
    calls = ("put_task", "record_review", "roll_back", "settle")
    cuts = cut_after_each(ledger, monkeypatch, calls)
    while not (found := world.decisions("rollback")) or found[0].state != "carried_out":
        go_on(world)
        assert world.reviews < WARM_UP + 4, "it never went back"
    assert cuts == list(calls)
    assert world.only("rollback").state == "carried_out"
    assert world.aliases()["stable"] == bad - 1
