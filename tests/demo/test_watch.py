"""The table shows what the registry says, over gRPC, and the end is recognised."""

import io
import json
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from demo.small_world import SmallWorld
from polyrank.aggregation import Adapter, Factors
from polyrank.client._wire_process import free_port
from polyrank.coordinator._demo_plan import MINILM_PLAN, DemoPlan, Layout
from polyrank.coordinator._demo_processes import DemoError
from polyrank.coordinator._demo_report import (
    Progress,
    commands,
    print_result,
    program,
    result,
    round_lines,
    rounds_table,
)
from polyrank.coordinator._demo_watch import Scene, follow, observe
from polyrank.store import connect, open_ledger, serve
from rich.console import Console

PLAN: DemoPlan = replace(MINILM_PLAN, nodes=MINILM_PLAN.nodes[:2])
TWO = tuple(node.domain for node in PLAN.nodes)
METRIC = PLAN.metric


def _adapter(rank: int, seed: int = 0) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    b, a = torch.randn(6, rank, generator=draw), torch.randn(rank, 5, generator=draw)
    return Adapter({"layer.q": Factors(b, a)}, {"head": torch.zeros(2)})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SmallWorld]:
    with open_ledger(f"sqlite:///{tmp_path / 'registry.db'}") as ledger:
        yield SmallWorld(ledger, ranks=dict.fromkeys(TWO, 2))


@pytest.fixture
def address(world: SmallWorld) -> Iterator[str]:
    server = serve(world.ledger.registry, "127.0.0.1:0")
    try:
        yield f"grpc://127.0.0.1:{server.port}"
    finally:
        server.stop()


def _round(world: SmallWorld, start: int) -> None:
    number = world.open_round(start)
    for place, name in enumerate(TWO):
        world.accept(number, name, _adapter(2, seed=number * 10 + place), 10 + place)
    world.commit(number, start, state_rank=2)


def _measure(world: SmallWorld, number: int, first: float, second: float) -> None:
    for name, value in zip(TWO, (first, second), strict=True):
        world.measure(number, name, {METRIC: value, "loss": 1.0})


def _finished(world: SmallWorld) -> None:
    world.greet(*TWO)
    world.begin(_adapter(0))
    _measure(world, 0, 0.5, 0.4)
    _round(world, 0)
    _measure(world, 1, 0.8, 0.7)


def test_before_anything_happened_the_scene_is_empty(address: str):
    with connect(address) as registry:
        assert observe(registry, METRIC, count=2) == Scene()


def test_a_scene_holds_what_the_registry_knows(world: SmallWorld, address: str):
    _finished(world)
    with connect(address) as registry:
        scene = observe(registry, METRIC, count=2)
    assert sorted(scene.nodes.values()) == sorted(TWO)
    assert [version.number for version in scene.versions] == [0, 1]
    assert scene.scores == {0: {"tweets": 0.5, "movies": 0.4}, 1: {"tweets": 0.8, "movies": 0.7}}
    assert scene.mean(1, 2) == pytest.approx(0.75)
    assert scene.updates(1) == 2
    assert [each.state for each in scene.rounds] == ["committed"]


def test_a_mean_over_some_of_the_nodes_is_not_shown(world: SmallWorld, address: str):
    world.greet(*TWO)
    world.begin(_adapter(0))
    world.measure(0, TWO[0], {METRIC: 0.5})
    with connect(address) as registry:
        scene = observe(registry, METRIC, count=2)
    assert scene.scores == {0: {"tweets": 0.5}}
    assert scene.mean(0, 2) is None


def test_a_node_that_is_gone_still_counts_and_one_that_was_refused_does_not(
    world: SmallWorld, address: str
):
    _finished(world)
    world.greet("tweets", status="gone")
    world.greet("impostor", status="refused")
    with connect(address) as registry:
        scene = observe(registry, METRIC, count=2)
    assert sorted(scene.nodes.values()) == sorted(TWO)
    assert scene.mean(1, 2) == pytest.approx(0.75)


def test_following_ends_when_every_node_has_measured_the_last_version(
    world: SmallWorld, address: str
):
    shown: list[Scene] = []
    worker = threading.Thread(target=_finished, args=(world,))
    worker.start()
    scene = follow(
        address, METRIC, rounds=1, count=2, quiet_seconds=30, check=lambda: None, show=shown.append
    )
    worker.join()
    assert scene.scores[1] == {"tweets": 0.8, "movies": 0.7}
    assert shown[-1] is scene


def test_following_waits_for_a_registry_that_does_not_answer_yet(
    world: SmallWorld, address: str, unused_port: int
):
    _finished(world)
    late: list[object] = []

    def check() -> None:
        if not late:
            late.append(None)  # the first look finds nobody there
        elif len(late) == 1:
            late.append(serve(world.ledger.registry, f"127.0.0.1:{unused_port}"))

    scene = follow(
        f"grpc://127.0.0.1:{unused_port}",
        METRIC, rounds=1, count=2, quiet_seconds=60, check=check, show=lambda scene: None,
    )  # fmt: skip
    assert scene.mean(1, 2) == pytest.approx(0.75)
    late[1].stop()  # type: ignore[attr-defined]


@pytest.fixture
def unused_port() -> int:
    return free_port()


def test_a_child_that_ended_stops_the_demo(address: str):
    def check() -> None:
        raise DemoError("the node tweets ended with exit code 1")

    with pytest.raises(DemoError, match="node tweets ended"):
        follow(address, METRIC, rounds=1, count=2, quiet_seconds=9, check=check, show=print)


def test_a_round_that_was_abandoned_stops_the_demo(world: SmallWorld, address: str):
    world.greet(*TWO)
    world.begin(_adapter(0))
    number = world.open_round(0)
    world.ledger.move_round(
        "demo", number, state="abandoned", expect="open", reason="1 of 2 updates", epoch=world.epoch
    )
    with pytest.raises(DemoError, match="round 1 was abandoned: 1 of 2 updates"):
        follow(
            address, METRIC, rounds=1, count=2, quiet_seconds=9,
            check=lambda: None, show=lambda scene: None,
        )  # fmt: skip


def test_silence_stops_the_demo_and_says_how_far_it_was(world: SmallWorld, address: str):
    world.greet(*TWO)
    with pytest.raises(DemoError, match="2 nodes have introduced themselves, no version yet"):
        follow(
            address, METRIC, rounds=1, count=2, quiet_seconds=0.5,
            check=lambda: None, show=lambda scene: None,
        )  # fmt: skip


def _scene(world: SmallWorld, address: str) -> Scene:
    _finished(world)
    with connect(address) as registry:
        return observe(registry, METRIC, count=2, seconds=12.34)


def test_off_a_terminal_each_line_is_printed_once(world: SmallWorld, address: str):
    scene = _scene(world, address)
    sink = io.StringIO()
    progress = Progress(PLAN, 1, Console(file=sink, width=80))
    with progress:
        progress.show(scene)
        progress.show(replace(scene, seconds=20.0))
    lines = sink.getvalue().splitlines()
    assert len(lines) == len(round_lines(PLAN, scene, 1))
    assert lines[0] == "  12.3 s  node movies is there"
    assert any(line.endswith("version demo@1: mean balanced accuracy 0.750") for line in lines)


def test_on_a_terminal_there_is_one_table_that_changes(world: SmallWorld, address: str):
    scene = _scene(world, address)
    sink = io.StringIO()
    console = Console(file=sink, width=100, force_terminal=True)
    with Progress(PLAN, 2, console) as progress:
        progress.show(scene)
    shown = Console(width=100, record=True, file=io.StringIO())
    shown.print(rounds_table(PLAN, scene, 2))
    rows = shown.export_text().splitlines()
    assert any("committed" in row and "2/2" in row and "0.750" in row for row in rows)
    assert any(row.split()[:2] == ["2", "waiting"] for row in rows)
    assert "\x1b[" in sink.getvalue()


def test_the_result_is_what_the_registry_said(
    world: SmallWorld, address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    scene = _scene(world, address)
    layout = Layout(tmp_path)
    outcome = result(PLAN, scene, layout, layout.database, None)
    assert json.loads(json.dumps(outcome)) == outcome
    assert outcome["mean"] == {"before": pytest.approx(0.45), "after": pytest.approx(0.75)}
    nodes = outcome["nodes"]
    assert isinstance(nodes, list)
    assert nodes[0]["adapter"] == str(layout.node_state("tweets") / "latest")

    print_result(PLAN, scene, outcome)
    text = capsys.readouterr().out
    assert "+0.300" in text
    for version in scene.versions:
        assert version.digest[:12] in text
    for command in outcome["commands"]:  # type: ignore[attr-defined]
        assert command in text


def test_a_kept_daemon_is_named_with_how_to_stop_it(
    world: SmallWorld, address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    scene = _scene(world, address)
    print_result(PLAN, scene, result(PLAN, scene, Layout(tmp_path), address, 4711))
    assert "kill 4711" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:'click.utils:DeprecationWarning")  # typer's own import
def test_the_printed_commands_work_as_they_are(
    world: SmallWorld, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Each is parsed by the command line itself and asks a registry that is really there."""
    from polyrank.coordinator._cli import main

    _finished(world)
    for where in (address, f"sqlite:///{tmp_path / 'registry.db'}"):
        layout = Layout(tmp_path / where[:4])
        for command in commands(layout, where, 1, is_told=True):
            parts = shlex.split(command)
            assert parts[0].endswith("polyrank")
            with pytest.raises(SystemExit) as ended:
                main(parts[1:])
            assert ended.value.code == 0, command
            assert capsys.readouterr().out
        assert (layout.root / "demo-v1" / "adapter_model.safetensors").exists()
        assert layout.report.exists()


def test_the_program_is_called_by_a_path_that_leads_to_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert Path(program()).exists()
