"""Gates: candidates are judged before they are served, by the daemon's own driver and toy nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from polyrank.aggregation import Adapter
from polyrank.client import TrainResult
from polyrank.client._versions import Versions
from polyrank.store import Decision, Ledger, open_ledger, replays

from .family_world import WARM_UP, World
from .test_reviews import PowerCut, cut_the_power_after


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


def test_a_spoilt_version_is_held_with_its_cause_until_training_has_recovered(
    ledger: Ledger,
) -> None:
    world = GatedWorld(ledger)
    world.review(WARM_UP)
    world.spoil("eve")
    world.review()
    spoilt = ledger.registry.version("line@latest").number
    held = world.only("hold")
    assert world.aliases() == {"stable": spoilt - 1, "candidate": spoilt}
    assert (held.subject, held.state) == (f"line@{spoilt}", "recorded")
    assert f"against line@{spoilt - 1}" in held.reason
    assert not world.decisions("expand_adapter", "reroute"), "the data are as they were"
    while world.aliases()["stable"] < spoilt:
        world.review()
        assert world.reviews < 12, "it never recovered"
    served = ledger.registry.alias_history("line", "stable")
    assert any(change.number > spoilt and "tolerance" in change.reason for change in served)
    for evidence in ledger.registry.evidence(limit=1000):
        own = [d.payload for d in world.decisions() if evidence.number in d.evidence]
        assert evidence.kind != "review" or replays(evidence.payload, own)


def test_domains_are_what_the_nodes_cards_say(ledger: Ledger) -> None:
    world = GatedWorld(ledger)
    for name, domain in zip(world.nodes, ["news"] * 2 + ["films"] * 3 + ["\x00"], strict=True):
        config = world.nodes[name].config
        object.__setattr__(config, "tags", {"domain": domain})
    world.review(4)
    (gate,) = world.gates()
    names = {d["name"]: d["identities"] for d in gate["domains"]}
    assert names == {"news": 2, "films": 3, world.nodes["fay"].identity: 1}


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
    world.review(WARM_UP)
    world.spoil("eve", times=3)
    world.review()
    bad = world.ledger.registry.version("line@latest").number
    world.ledger.registry.set_alias("line", "stable", bad, reason="I know better")
    return bad


def test_a_stable_version_that_harms_goes_back_to_the_one_before(ledger: Ledger) -> None:
    world = GatedWorld(ledger)
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
    world = GatedWorld(ledger)
    world.split()
    world.review(2)
    assert not world.decisions("rollback")


@pytest.mark.parametrize(
    "call",
    [
        "roll_back",
        "settle",
        *(pytest.param(c, marks=pytest.mark.soak) for c in ("record_review", "put_task")),
    ],
)
def test_a_crash_at_any_step_of_a_rollback_changes_nothing_of_its_outcome(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    world = GatedWorld(ledger)
    bad = degrade(world)
    cuts = cut_the_power_after(ledger, monkeypatch, call)
    with contextlib.suppress(PowerCut):
        world.review()
    assert cuts == [call], "the power was never cut"
    world.restart()
    while not world.decisions("rollback"):
        world.review()
    world.simulation.run(until=lambda: not world.open_decisions())
    assert world.only("rollback").state == "carried_out"
    assert world.aliases()["stable"] == bad - 1
