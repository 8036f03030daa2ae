"""Features and kept states: against transformers' own hidden states, and independent of use."""

import pytest
import torch
import transformers
from polyrank.client import DataError, PeftSettings, PeftTrainer, TextRows

from .models import random_adapter, save_bert, save_llama, texts_of
from .training import learned

TEXTS, LABELS = texts_of(40)
HELD_OUT = (30, 7, 19)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_llama(tmp_path_factory.mktemp("llama"))


def trainer_of(folder, rows=None, **changes):
    settings = {"model_dir": folder, "num_labels": 2, "evaluation_batch_size": 7, **changes}
    return PeftTrainer(PeftSettings(**settings), rows or TextRows(TEXTS, LABELS, HELD_OUT))


def plain_features(folder, texts, *, layer):
    """The oracle: one text at a time through the plain model; -1 is the last hidden state."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = []
    for text in texts:
        with torch.no_grad():
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            states = model(input_ids=ids, output_hidden_states=True)
        chosen = states.last_hidden_state if layer < 0 else states.hidden_states[layer]
        found.append(chosen[0].double().mean(0))
    return torch.stack(found)


def close(found, expected):
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("layers", "layer"), [("top-1", 1), ("all", -1)])
def test_features_are_mean_hidden_states_of_the_frozen_model(bert, layers, layer):
    found = trainer_of(bert, layers=layers).features(range(40))
    assert (found.shape, found.dtype, found.device.type) == ((40, 32), torch.float32, "cpu")
    close(found, plain_features(bert, TEXTS, layer=layer))


@pytest.mark.parametrize(("layers", "layer"), [("top-1", 1), ("all", -1)])
def test_features_of_language_models(llama, layers, layer):
    settings = PeftSettings(model_dir=llama, task="causal-lm", layers=layers)
    found = PeftTrainer(settings, TextRows(TEXTS)).features([3, 0])
    close(found, plain_features(llama, [TEXTS[3], TEXTS[0]], layer=layer))


def test_without_rows_they_are_those_that_an_evaluation_scores(bert):
    trainer = trainer_of(bert, layers="top-1")
    assert torch.equal(trainer.features(), trainer.features(HELD_OUT))
    assert torch.equal(trainer.features()[1], trainer.features([7])[0])
    every = trainer_of(bert, TextRows(TEXTS[:5], LABELS[:5]))
    assert every.features().shape == (5, 32)
    with pytest.raises(DataError, match=r"0\.\.39"):
        trainer.features([40])


@pytest.mark.parametrize("layers", ["top-1", "all"])
def test_no_adapter_changes_a_feature(bert, layers):
    expected = trainer_of(bert, layers=layers).features(range(40))
    trainer = trainer_of(bert, layers=layers)
    everywhere = trainer_of(bert).description
    trainer.evaluate(random_adapter(everywhere, 3, scale=2.0), None)
    assert torch.equal(trainer.features(range(40)), expected)
    again = trainer_of(bert, layers=layers)
    learned(again, {"steps": 5})
    assert torch.equal(again.features(range(40)), expected)


def test_kept_and_computed_trunks_give_the_same_features_bit_for_bit(bert):
    kept = trainer_of(bert, layers="top-1")
    computed = trainer_of(bert, layers="top-1", activation_cache_bytes=0)
    assert torch.equal(kept.features(range(40)), computed.features(range(40)))
    assert (kept._frozen.kept_states, computed._frozen.kept_states) == (40, 0)


def test_bfloat16_features_are_float32_and_near(bert):
    found = trainer_of(bert, layers="top-1", dtype="bfloat16").features()
    assert found.dtype == torch.float32
    expected = plain_features(bert, [TEXTS[row] for row in HELD_OUT], layer=1)
    torch.testing.assert_close(found.double(), expected, atol=0.05, rtol=0.05)


def test_what_was_done_before_changes_no_bit_of_a_row(bert):
    first, second = (trainer_of(bert, layers="top-1") for _ in range(2))
    one = learned(first, {"steps": 6}).adapter
    second.features([39, 2])
    second.evaluate(random_adapter(second.description, 2), range(9))
    two = learned(second, {"steps": 6}).adapter
    for name, pair in one.factors.items():
        assert torch.equal(pair.b, two.factors[name].b)


def test_each_row_is_computed_once(bert):
    trainer = trainer_of(bert, layers="top-1")
    seen = []
    compute = trainer._base.frozen_states
    trainer._base.frozen_states = lambda batch: seen.extend(batch.rows) or compute(batch)
    trainer.features()
    assert sorted(seen) == sorted(HELD_OUT)  # rows to train on are not needed yet
    learned(trainer, {"steps": 20})
    trainer.features(range(40))
    assert sorted(seen) == list(range(40))


def test_rows_of_the_same_text_are_not_computed_again(bert):
    trainer = trainer_of(bert, layers="top-1")
    expected = trainer.features(range(40))
    later = TextRows([TEXTS[8], "good w1 w2 w3", TEXTS[30]], [0, 1, 0])
    trainer.replace_rows(later)
    seen = []
    compute = trainer._base.frozen_states
    trainer._base.frozen_states = lambda batch: seen.extend(batch.rows) or compute(batch)
    found = trainer.features()
    assert seen == [1]
    assert torch.equal(found[[0, 2]], expected[[8, 30]])
    close(found, plain_features(bert, later.texts, layer=1))
    assert trainer._frozen.kept_states == 3


def test_more_rows_than_the_memory_allows_are_not_kept_from_then_on(bert):
    tokens = 32 * 4  # bytes of one token's state
    trainer = trainer_of(
        bert,
        TextRows(["good", "bad w1"], [1, 0]),
        layers="top-1",
        activation_cache_bytes=8 * tokens,
    )
    expected = trainer.features([0])
    assert trainer._frozen.keeps_states
    trainer.replace_rows(TextRows(["good", *TEXTS], [1, *LABELS]))
    assert not trainer._frozen.keeps_states
    assert torch.equal(trainer.features([0]), expected)
    close(trainer.features(range(1, 41)), plain_features(bert, TEXTS, layer=1))
    trainer.replace_rows(TextRows(["good", "bad w1"], [1, 0]))
    adapter = random_adapter(trainer.description, 2)
    close_losses = trainer_of(bert, trainer.rows, layers="top-1").evaluate(adapter, None).losses
    assert trainer.evaluate(adapter, None).losses == pytest.approx(close_losses, abs=1e-6)
    assert trainer._frozen.kept_states == 2
