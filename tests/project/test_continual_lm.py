"""The language-model streams: the single positions against PeftTrainer, the data, a short cell."""

import sys
from pathlib import Path

import pytest
import torch
from polyrank.aggregation import decode, encode, spectral, warm_start
from polyrank.client import PeftSettings, PeftTrainer, TextRows, Trainer, TrainTask
from polyrank.client._base_model import SharedBase
from torch.nn import functional

from ..client.models import random_adapter, save_llama

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # as when it is run

from continual import Cell, Course, Run
from continual_data import DRIFT, MOVERS, Pool
from continual_lm import run_of, texts
from continual_lm_data import LAST_WORDS, TEST_ROWS, WINDOW, stream
from continual_lm_states import PROMPT, LastLayer, TextGround, write_states
from continual_lm_tables import gains
from continual_lm_trainer import TextTrainer

REVIEWS, TALKS = 300, 150


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = save_llama(tmp_path_factory.mktemp("llama"))
    return SharedBase(PeftSettings(model_dir=folder, task="causal-lm", layers="top-1"))


def pool_of(reviews, talks):
    words = [
        "good",
        "bad",
        "film",
        "plot",
        "dull",
        "warm",
        "the",
        "a",
        "was",
        "it",
        "long",
        "short",
    ]
    draw = torch.Generator().manual_seed(5)
    picks = torch.randint(0, len(words), (reviews + talks, 18), generator=draw).tolist()
    labels = [row % 2 for row in range(reviews)] + [LAST_WORDS] * talks
    return Pool(
        tuple(" ".join(words[pick] for pick in row) for row in picks),
        tuple(labels),
        ("movies",) * reviews + ("dialogue",) * talks,
    )


@pytest.fixture(scope="module")
def pool():
    return pool_of(REVIEWS, TALKS)


@pytest.fixture(scope="module")
def every():
    return pool_of(2700, 600)  # enough for each window to be new


@pytest.fixture(scope="module")
def ground(base, pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    write_states(base, pool, folder)
    return TextGround(pool, base, folder)


def task_of(trainer, round=1, state=None, rank=2, **config):
    state = state or random_adapter(trainer.description, 3, scale=0.1)
    start = warm_start(spectral(state).adapter, rank, seed=round)
    return TrainTask("demo", round, start, rank, round, config)


def test_single_positions_give_the_models_own_logits(base, pool, ground):
    rows = [0, 1, REVIEWS, REVIEWS + 3]
    adapter = random_adapter(base.description, 3)
    batch = ground.batch(rows, [LAST_WORDS] * 4)
    found = LastLayer(base, None).logits(batch, ground.pairs(adapter))
    oracle = PeftTrainer(base.settings, TextRows([pool.texts[row] for row in rows]), base=base)
    whole = oracle.logits(adapter, range(4))
    expected = whole[torch.arange(4)[:, None], batch.places]
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=5e-3)  # states are in float16
    fewer = ground.layer.logits(batch, ground.pairs(adapter))
    torch.testing.assert_close(fewer, found[..., ground.encoded.vocabulary])


def test_the_verdict_is_scored_after_the_prompt_in_either_words(base, pool, ground):
    adapter = random_adapter(base.description, 3)
    right, other = (ground.batch([7], [label]) for label in (1, 2))
    (tokens,) = base.encode([pool.texts[7]], 20)[0]
    end = base.encode([""], 20)[0][0][-1]
    prompt = base.encode([PROMPT], 64)[0][0][:-1]
    cut = tokens[:-1] if tokens[-1] == end else tokens
    assert ground.encoded.tokens[7] == cut + prompt
    assert right.places.tolist() == [[len(cut + prompt) - 1]]
    logits = ground.layer.logits(right, ground.pairs(adapter))[0, 0].log_softmax(-1)
    for batch, verdict in ((right, 1), (other, 2)):
        nats, scored = ground.losses(batch, ground.pairs(adapter))
        place = ground.encoded.vocabulary.index(ground.encoded.verdicts[verdict])
        assert nats.item() == pytest.approx(-logits[place].item(), rel=1e-5)
        assert scored.tolist() == [1]


def test_an_evaluation_is_summed_nats_and_tokens_of_each_row(ground, pool):
    trainer = TextTrainer(ground, stream("quiet", pool, 0), 4)
    assert isinstance(trainer, Trainer)
    adapter = random_adapter(ground.description, 3)
    window = trainer.window
    batch = ground.batch(window.rows, window.labels)
    logits = ground.layer.logits(batch, ground.pairs(adapter))
    found = trainer.evaluate(adapter)
    assert (found.correct, found.labels) == (None, None)
    for row in range(WINDOW):
        own = batch.targets[row] >= 0
        expected = functional.cross_entropy(
            logits[row][own], batch.targets[row][own], reduction="sum"
        )
        assert found.losses[row] == pytest.approx(expected.item(), rel=1e-4)
        assert found.tokens[row] == int(own.sum()) > 0
    assert trainer.evaluate(adapter, [7, 0]).losses == pytest.approx(
        [found.losses[7], found.losses[0]], rel=1e-5
    )


def test_a_training_lowers_its_windows_loss_and_a_task_done_again_gives_the_same_bytes(
    ground, pool
):
    trainer = TextTrainer(ground, stream("conflict", pool, 0), 4)
    task = task_of(trainer, epochs=6, learning_rate=0.05)  # rank 2 of 3: a part lies beneath
    window = trainer.window
    first = trainer.train(task)
    nats, tokens = ground.losses(ground.batch(window.rows, window.labels), {})
    before = trained_loss(trainer, task, task.start.trainable, window)
    after = trained_loss(trainer, task, first.adapter, window)
    assert after < before - 0.1
    assert after < float(nats.sum() / tokens.sum())
    assert encode(trainer.train(task).adapter) == encode(first.adapter)
    assert (trainer.data_version, first.num_examples) == (1, WINDOW)


def trained_loss(trainer, task, adapter, window):
    pairs = {
        short: [
            *trainer.texts.pairs(task.start.frozen).get(short, ()),
            *trainer.texts.pairs(adapter)[short],
        ]
        for short in trainer.texts.layer.names
    }
    nats, tokens = trainer.texts.losses(trainer.texts.batch(window.rows, window.labels), pairs)
    return float(nats.sum() / tokens.sum())


@pytest.mark.parametrize("name", ["quiet", "domain_shift", "conflict"])
def test_windows_are_new_rows_that_are_in_no_test(every, name):
    found = stream(name, every, 3)
    dealt = [row for windows in found.windows for window in windows for row in window.rows]
    kept = {row for test in found.tests.values() for row in test.rows}
    assert len(dealt) - len(set(dealt)) <= 0.01 * len(dealt)  # chance asks for one class more
    assert not kept & set(dealt)
    assert all(len(test.rows) == TEST_ROWS for test in found.tests.values())
    assert found.windows == stream(name, every, 3).windows != stream(name, every, 4).windows


def test_a_conflict_gives_two_nodes_other_words_and_a_shift_takes_them_to_dialogues(every):
    conflict, shift = stream("conflict", every, 1), stream("domain_shift", every, 1)
    for age, windows in enumerate(conflict.windows):
        for node, window in enumerate(windows):
            turned = age >= DRIFT and node in MOVERS
            expected = [every.labels[row] + 2 * turned for row in window.rows]
            assert list(window.labels) == expected
            talks = {every.domains[row] for row in shift.windows[age][node].rows} == {"dialogue"}
            assert talks == turned
            assert set(shift.windows[age][node].labels) == {LAST_WORDS}
    same, opposite = conflict.tests["verdicts"], conflict.tests["verdicts!"]
    assert same.rows == opposite.rows
    assert [label + 2 for label in same.labels] == list(opposite.labels)


def test_a_short_cell_is_scored_by_the_loss_on_test_rows(ground, pool):
    course = texts(ground)
    short = Course(**{**vars(course), "rounds": 2, "training": {"epochs": 1, "batch_size": 32}})
    run = run_of(short, Cell("quiet", "ours", 0), {"texts": {"policy": {"gate_tolerance": 9.0}}})
    heads: list[bytes] = []
    row = run.measure(lambda registry: heads.append(registry.read("demo@stable")))
    assert isinstance(run, Run)
    assert [len(scores) for scores in row["scores"]] == [6, 6]
    expected = ground.loss(decode(bytearray(heads[0])), run.stream.tests["movies"])
    assert row["scores"][-1] == pytest.approx([expected] * 6)
    assert row["replayed"] == {"reviews": 3, "same": 3}
    assert row["alarms"]["windows"] == 0, "no base is full yet"


def test_a_gain_is_the_others_loss_minus_ours_from_the_drift_on():
    def row(before, after):
        return {"stream": "conflict", "scores": [[before] * 6] * DRIFT + [[after] * 6] * 2}

    cells = {
        ("conflict", "ours"): {0: row(9.0, 1.0), 1: row(9.0, 2.0)},
        ("conflict", "one"): {1: row(0.0, 2.5), 2: row(0.0, 7.0)},
    }
    assert gains(cells, "conflict", "one") == [0.5]
