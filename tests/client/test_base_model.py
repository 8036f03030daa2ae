"""One base model for many trainers: nothing of one reaches another."""

from dataclasses import replace

import pytest
from polyrank.aggregation import encode
from polyrank.client import ConfigError, PeftSettings, PeftTrainer, TaskRefused, TextRows
from polyrank.client._base_model import SharedBase

from .models import random_adapter, save_bert, save_llama, texts_of
from .training import learned

TEXTS, LABELS = texts_of(40)
ONE = TextRows(TEXTS[:20], LABELS[:20], (0, 1, 2, 3))
TWO = TextRows(TEXTS[20:], LABELS[20:], (4, 5))
SHORT = {"steps": 5, "batch_size": 8, "learning_rate": 0.02, "dropout": 0.1}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


def settings_of(folder, **changes):
    return PeftSettings(**{"model_dir": folder, "num_labels": 2, "layers": "top-1", **changes})


def outcomes(one, two):
    """What two trainers make of a series of tasks, taken in turns."""
    wide = random_adapter(one.description, 3, seed=1)
    found = []
    for round_seed in (1, 2):
        for trainer in (one, two):
            result = learned(trainer, SHORT, seed=round_seed)
            scored = trainer.evaluate(wide, None)
            features = trainer.features().tolist()
            found.append((encode(result.adapter), dict(result.metrics), scored, features))
    return found


@pytest.mark.parametrize("layers", ["top-1", "all"])
def test_sharing_changes_no_bit_of_any_result(bert, layers):
    settings = settings_of(bert, layers=layers)
    base = SharedBase(settings)
    shared = outcomes(*(PeftTrainer(settings, rows, base=base) for rows in (ONE, TWO)))
    apart = outcomes(*(PeftTrainer(settings, rows) for rows in (ONE, TWO)))
    assert shared == apart
    assert len({encoded for encoded, *_ in shared}) == 4


def test_modules_that_one_trainers_task_brought_are_inactive_for_the_next(bert):
    settings = settings_of(bert)
    base = SharedBase(settings)
    one, two = (PeftTrainer(settings, rows, base=base) for rows in (ONE, TWO))
    everywhere = PeftTrainer(settings_of(bert, layers="all"), ONE).description
    own = random_adapter(two.description, 2)
    expected = two.evaluate(own, None)
    one.evaluate(random_adapter(everywhere, 2), None)
    assert two.evaluate(own, None) == expected


def test_a_training_that_fails_leaves_nothing_to_the_next_trainer(bert):
    settings = settings_of(bert)
    base = SharedBase(settings)
    one, two = (PeftTrainer(settings, rows, base=base) for rows in (ONE, TWO))
    expected = encode(learned(PeftTrainer(settings, TWO), {"steps": 3}).adapter)
    with pytest.raises(TaskRefused, match="diverged"):
        learned(one, {"steps": 200, "learning_rate": 1e30, "max_grad_norm": 0.0, "dropout": 0.5})
    assert encode(learned(two, {"steps": 3}).adapter) == expected


def hooks_of(base):
    modules = list(base.module.modules())
    return [sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)] + [
        id(m.__dict__.get("forward")) for m in modules
    ]


def test_hooks_do_not_pile_up_with_the_number_of_trainers(bert):
    settings = settings_of(bert)
    base = SharedBase(settings)
    before = hooks_of(base)
    for _ in range(5):
        trainer = PeftTrainer(settings, ONE, base=base)
        trainer.evaluate(random_adapter(trainer.description, 2), None)
        assert trainer.model_loads == 1
    assert hooks_of(base) == before


def test_each_trainer_keeps_states_of_its_own_rows_and_by_its_own_settings(bert):
    settings = settings_of(bert)
    base = SharedBase(settings)
    one = PeftTrainer(settings, ONE, base=base)
    two = PeftTrainer(replace(settings, activation_cache_bytes=0, max_length=6), TWO, base=base)
    for trainer in (one, two):
        trainer.evaluate(random_adapter(trainer.description, 2), range(20))
    assert (one._frozen.kept_states, two._frozen.kept_states) == (20, 0)
    assert max(map(len, two._encoded.tokens)) == 6


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"layers": "all"}, "layers"),
        ({"targets": ["query"]}, "targets"),
        ({"num_labels": 3}, "num_labels"),
        ({"num_hidden_layers": 1}, "num_hidden_layers"),
        ({"dtype": "bfloat16"}, "dtype"),
    ],
)
def test_settings_of_another_model_are_refused_by_name(bert, changes, key):
    base = SharedBase(settings_of(bert, targets=["query", "value"]))
    with pytest.raises(ConfigError, match=f"^{key} is ") as caught:
        PeftTrainer(settings_of(bert, **{"targets": ("query", "value"), **changes}), ONE, base=base)
    assert caught.value.key == key


def test_language_models_share_too(tmp_path):
    settings = PeftSettings(model_dir=save_llama(tmp_path), task="causal-lm", layers="top-1")
    base = SharedBase(settings)
    rows = [TextRows(each.texts, None, each.held_out) for each in (ONE, TWO)]
    shared = outcomes(*(PeftTrainer(settings, each, base=base) for each in rows))
    assert shared == outcomes(*(PeftTrainer(settings, each) for each in rows))


def test_a_task_that_no_model_has_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(ConfigError, match="task is 'vision'"):
        SharedBase(PeftSettings(model_dir=tmp_path, task="vision"))
    with pytest.raises(ConfigError, match="num_labels of 2 or more"):
        SharedBase(PeftSettings(model_dir=tmp_path, num_labels=1))
