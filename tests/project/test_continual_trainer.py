"""The benchmark's trainer against PeftTrainer, on a tiny model, and how its time moves."""

import sys
from pathlib import Path

import pytest
import torch
from polyrank.aggregation import empty, encode, initial_dense, spectral, warm_start
from polyrank.client import PeftSettings, PeftTrainer, TaskRefused, TextRows, Trainer, TrainTask
from polyrank.client._base_model import SharedBase

from ..client.models import random_adapter, save_bert, texts_of

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # as when it is run

from continual_data import DOMAINS, Pool, Stream, stream
from continual_states import Ground, LastLayer, write_states
from continual_trainer import StreamTrainer, train_on

ROWS = 2600
SHORT = {"steps": 6, "batch_size": 16, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = save_bert(tmp_path_factory.mktemp("bert"))
    return SharedBase(PeftSettings(model_dir=folder, num_labels=2, layers="top-1"))


@pytest.fixture(scope="module")
def pool():
    texts, labels = texts_of(ROWS)
    return Pool(tuple(texts), tuple(labels), tuple(DOMAINS[row // 650] for row in range(ROWS)))


@pytest.fixture(scope="module")
def ground(base, pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    write_states(base, pool, folder)
    return Ground(pool, base, folder)


@pytest.fixture(scope="module")
def happenings(pool) -> Stream:
    return stream("conflict_full", pool, 0)


def peft(base, pool, rows, labels):
    texts = [pool.texts[row] for row in rows]
    return PeftTrainer(base.settings, TextRows(texts, labels), base=base)


def task_of(trainer, round=1, state=None, rank=4, **config):
    described = trainer.description
    state = state or empty(described.modules, initial_dense(described.dense, 0))
    start = warm_start(state, rank, seed=round)
    return TrainTask("demo", round, start, rank, round, {**SHORT, **config})


@pytest.fixture
def trainer(ground, happenings):
    return StreamTrainer(ground, happenings, 4)


def test_the_last_layer_gives_the_models_own_logits(base, pool):
    oracle = peft(base, pool, range(30), pool.labels[:30])
    adapter = random_adapter(base.description, 3)
    expected = oracle.logits(adapter, range(30))
    batch = oracle._encoded.batch(range(30), torch.device("cpu"))
    base.bare()
    layer = LastLayer(base)
    pairs = {
        short: [(adapter.factors[name].b, adapter.factors[name].a)]
        for short, name in layer.names.items()
    }
    states = base.frozen_states(batch)
    with torch.no_grad():
        found = layer.logits(states, batch.attention_mask.bool(), pairs, adapter.dense)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_evaluation_scores_the_window_as_peft_trainer_does(trainer, base, pool):
    window = trainer.window
    oracle = peft(base, pool, window.rows, window.labels)
    adapter = random_adapter(base.description, 3)
    expected, found = oracle.evaluate(adapter, range(80)), trainer.evaluate(adapter)
    assert found.losses == pytest.approx(expected.losses, abs=5e-3)  # states are kept in float16
    assert (found.labels, trainer.num_rows) == (expected.labels, 80)
    assert trainer.evaluate(adapter, [7, 0]).losses == [found.losses[7], found.losses[0]]
    torch.testing.assert_close(trainer.features(), oracle.features(), atol=1e-5, rtol=1e-5)
    assert torch.equal(trainer.features([5, 2]), trainer.features()[[5, 2]])


@pytest.mark.parametrize("config", [{}, {"class_balance": True, "train_head": False}])
def test_a_training_is_that_of_peft_trainer(trainer, base, pool, config):
    window = trainer.window
    oracle = peft(base, pool, window.rows, window.labels)
    state = spectral(random_adapter(base.description, 6, scale=0.1)).adapter
    task = task_of(trainer, state=state, **config)  # rank 4 of 6: a part lies frozen beneath
    expected, found = oracle.train(task), trainer.train(task)
    assert found.num_examples == 80
    for name, pair in expected.adapter.factors.items():
        moved = (pair.delta() - task.start.trainable.factors[name].delta()).norm()
        assert (found.adapter.factors[name].delta() - pair.delta()).norm() < 0.05 * moved
    for name, value in expected.adapter.dense.items():
        torch.testing.assert_close(found.adapter.dense[name], value, atol=2e-3, rtol=1e-2)


def test_time_moves_with_each_new_task_and_not_with_one_done_again(trainer, happenings):
    assert isinstance(trainer, Trainer)
    first = trainer.train(task_of(trainer, 1))
    assert trainer.window == happenings.windows[1][4]
    again = trainer.train(task_of(trainer, 1))
    assert encode(again.adapter) == encode(first.adapter)
    assert trainer.data_version == 1
    trainer.train(task_of(trainer, 2))
    late = trainer.train(task_of(trainer, 1))
    assert encode(late.adapter) == encode(first.adapter)
    assert (trainer.data_version, trainer.window) == (2, happenings.windows[2][4])


def test_a_task_that_fails_moves_nothing(trainer):
    with pytest.raises(TaskRefused, match="dropout"):
        trainer.train(task_of(trainer, 1, dropout=0.5))
    assert trainer.data_version == 0


def test_after_the_last_window_time_stands(trainer, happenings):
    for number in range(1, 20):
        trainer.train(task_of(trainer, number, steps=1))
    assert trainer.data_version == 16
    assert trainer.window == happenings.windows[16][4]


def test_replay_adds_the_last_windows(ground, happenings):
    trainer = StreamTrainer(ground, happenings, 4, replay=2)
    counts = [trainer.train(task_of(trainer, number, steps=1)).num_examples for number in (1, 2, 3)]
    assert counts == [80, 160, 240]
    again = trainer.train(task_of(trainer, 4))
    rows, labels = [], []
    for number in (1, 2, 3):
        rows += happenings.windows[number][4].rows
        labels += happenings.windows[number][4].labels
    expected = train_on(ground, rows, labels, task_of(trainer, 4))
    assert encode(again.adapter) == encode(expected.adapter)


def test_scores_are_on_fresh_rows_of_the_true_concept(ground, happenings, pool):
    quiet, mover = (StreamTrainer(ground, happenings, node) for node in (0, 4))
    for number in range(1, 8):
        for trainer in (quiet, mover):
            trainer.train(task_of(trainer, number, steps=1))
    adapter = random_adapter(ground.description, 3)
    test = happenings.tests["movies"]
    right = ground.logits(adapter, test.rows).argmax(1) == torch.tensor(test.labels)
    expected = right.double().mean().item()  # as many of each class
    assert quiet.score(adapter) == pytest.approx(expected)
    assert mover.score(adapter) == pytest.approx(1 - expected)
