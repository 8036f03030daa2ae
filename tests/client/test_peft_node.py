"""A node from its file alone: it goes on with the rows that its owner puts in place."""

import json

import pytest
import torch
from polyrank.client import DataError
from polyrank.client._node_config import load_node_config
from polyrank.client._peft_node import SharedBases, rows_of, trainer_of

from .models import random_adapter, save_bert, texts_of

TEXTS, LABELS = texts_of(60)
CONFIG = """
[node]
name = "one"
state_dir = "state"
max_rank = 4
[model]
dir = "model"
task = "sequence-classification"
num_labels = 2
layers = "top-1"
[data]
file = "rows.jsonl"
label = "label"
held_out = 0.25
held_out_seed = 3
"""


def write_rows(folder, rows, labels=LABELS):
    """Replace the data file in one step."""
    lines = [json.dumps({"text": TEXTS[row], "label": labels[row]}) for row in rows]
    (folder / "new").write_text("\n".join(lines))
    (folder / "new").replace(folder / "rows.jsonl")


@pytest.fixture
def config(tmp_path):
    save_bert(tmp_path / "model")
    write_rows(tmp_path, range(40))
    (tmp_path / "node.toml").write_text(CONFIG)
    return load_node_config(tmp_path / "node.toml")


def test_a_replaced_file_gives_the_rows_and_those_held_out_of_a_new_start(config, tmp_path):
    trainer = trainer_of(config)
    assert (trainer.refresh(), trainer.data_version) == (False, 0)
    write_rows(tmp_path, range(20, 60))
    assert (trainer.refresh(), trainer.data_version) == (True, 1)
    assert trainer.rows == rows_of(config)
    assert len(trainer.rows.held_out) == 10
    adapter = random_adapter(trainer.description, 2)
    fresh = trainer_of(config)
    expected = fresh.evaluate(adapter, None)
    found = trainer.evaluate(adapter, None)
    assert found.losses == pytest.approx(expected.losses, abs=1e-5)
    assert found.labels == expected.labels
    torch.testing.assert_close(trainer.features(), fresh.features(), atol=1e-5, rtol=1e-5)


def test_a_broken_file_keeps_the_old_rows_and_is_reported_once(config, tmp_path, capsys):
    trainer = trainer_of(config)
    before = trainer.rows
    write_rows(tmp_path, range(20), labels=[9] * 60)
    assert [trainer.refresh() for _ in range(3)] == [False] * 3
    (tmp_path / "rows.jsonl").write_text('{"text": ')
    assert [trainer.refresh() for _ in range(3)] == [False] * 3
    (tmp_path / "rows.jsonl").unlink()
    assert [trainer.refresh() for _ in range(3)] == [False] * 3
    said = [line for line in capsys.readouterr().out.splitlines() if "rows_kept" in line]
    assert len(said) == 3
    for line, reason in zip(said, ("label 9", "cannot be read", "does not exist"), strict=True):
        assert reason in line
    assert (trainer.rows, trainer.data_version) == (before, 0)
    write_rows(tmp_path, range(30))
    assert trainer.refresh()
    assert trainer.num_rows == 30


def test_a_broken_file_at_the_start_is_an_error(config, tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(DataError, match="no rows"):
        trainer_of(config)


def test_nodes_in_one_process_load_one_model_for_each_that_their_files_ask_for(config, tmp_path):
    bases = SharedBases()
    trainers = [trainer_of(config, bases=bases) for _ in range(2)]
    every_layer = (tmp_path / "node.toml").read_text().replace('layers = "top-1"', "")
    (tmp_path / "other.toml").write_text(every_layer)
    trainers.append(trainer_of(load_node_config(tmp_path / "other.toml"), bases=bases))
    assert trainers[0].model is trainers[1].model
    assert trainers[0].model is not trainers[2].model
    alone = trainer_of(config)
    adapter = random_adapter(alone.description, 2)
    expected = alone.evaluate(adapter, None).losses
    trainers[0].evaluate(random_adapter(alone.description, 5), None)
    assert trainers[1].evaluate(adapter, None).losses == expected
