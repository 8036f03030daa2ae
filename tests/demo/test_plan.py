"""The files that a demo writes are accepted by the programs that read them."""

import tomllib
from pathlib import Path

import pytest
from polyrank.client._node_config import load_node_config
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._demo_plan import (
    ADAPTER,
    PLANS,
    DemoPlan,
    Layout,
    NodePlan,
    Ports,
    daemon_toml,
    node_toml,
)
from polyrank.coordinator._demo_prepare import choose_folder, prepare
from polyrank.coordinator._demo_processes import DemoError

PORTS = Ports(superlink=19092, registry=19093)
BOTH = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


@BOTH
def test_the_daemon_accepts_its_configuration(plan: DemoPlan, tmp_path: Path):
    layout = Layout(tmp_path / 'a "quoted" folder')
    layout.root.mkdir()
    layout.daemon_config.write_text(daemon_toml(plan, layout, PORTS, 3), "utf-8")
    config = CoordinatorConfig.load(layout.daemon_config)
    line = config.adapters[ADAPTER]

    assert config.registry_url == layout.database
    assert Path(config.blobs) == layout.blobs
    assert (config.superlink.port, config.registry.port) == (19092, 19093)
    assert line.rounds == 3
    assert line.min_nodes == line.needed == len(plan.nodes)
    assert line.keep_rounds >= 3
    assert line.start == "warm"
    assert line.training == plan.training


@BOTH
def test_each_node_accepts_its_configuration(plan: DemoPlan, tmp_path: Path):
    layout = Layout(tmp_path)
    for node in plan.nodes:
        layout.node(node.domain).mkdir(parents=True)
        path = layout.node_config(node.domain)
        path.write_text(node_toml(plan, node, layout, PORTS, tmp_path / "model"), "utf-8")
        config = load_node_config(path)
        assert config.node.name == node.domain
        assert config.node.max_rank == node.rank
        assert config.node.server == "127.0.0.1:19092"
        assert config.data.file == layout.node_data(node.domain)
        assert config.model.task == plan.task
        rows = node.train_rows + node.held_out_rows
        assert round(config.data.held_out * rows) == node.held_out_rows


def test_the_default_demo_has_four_nodes_with_unequal_ranks_and_data():
    nodes = PLANS["minilm"].nodes
    assert [node.rank for node in nodes] == [16, 8, 4, 2]
    assert len({node.train_rows for node in nodes}) == 4
    assert len({node.domain for node in nodes}) == 4


def test_everything_is_laid_out_below_one_folder(
    tmp_path: Path, minilm_dir: Path, sentiment_dir: Path
):
    plan = PLANS["minilm"]
    layout = choose_folder(tmp_path / "demo", "now")
    prepare(plan, layout, PORTS, 2, lambda line: None)
    for node in plan.nodes:
        config = load_node_config(layout.node_config(node.domain))
        assert config.model.dir == minilm_dir
        lines = layout.node_data(node.domain).read_text("utf-8").splitlines()
        assert lines[0] == "text,label"
        assert len(lines) == 1 + node.train_rows + node.held_out_rows
    assert CoordinatorConfig.load(layout.daemon_config).daemon.data_dir == layout.daemon_dir


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(DemoError, match="is not empty"):
        choose_folder(tmp_path, "now")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DemoError, match="cannot be used"):
        choose_folder(tmp_path / "file" / "demo", "now")


def test_without_a_folder_each_demo_gets_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POLYRANK_DATA_DIR", str(tmp_path))
    first = choose_folder(None, "20261122-101500")
    assert first.root == tmp_path / "demos" / "20261122-101500"
    assert choose_folder(None, "20261122-101501").root != first.root


def test_the_written_toml_keeps_every_value(tmp_path: Path):
    node = NodePlan("tweets", rank=3, train_rows=20, held_out_rows=10)
    text = node_toml(PLANS["minilm"], node, Layout(tmp_path), PORTS, tmp_path / 'm"odel')
    found = tomllib.loads(text)
    assert found["model"]["dir"] == str(tmp_path / 'm"odel')
    assert found["data"]["held_out"] == pytest.approx(1 / 3, abs=1e-6)
