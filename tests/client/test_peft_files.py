"""Adapters in PEFT's form: real PEFT loads them, and what real PEFT saved is read exactly."""

import json
import re
import warnings

import peft
import pytest
import torch
import transformers
from polyrank.aggregation import Adapter, empty, initial_dense
from polyrank.client import (
    ExportError,
    PeftSettings,
    PeftTrainer,
    TextRows,
    from_peft,
    to_peft,
)

from .models import (
    SIZES,
    plain_logits,
    random_adapter,
    save_bert,
    save_llama,
    save_tokenizer,
    texts_of,
)

TEXTS, LABELS = texts_of(6)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = save_bert(tmp_path_factory.mktemp("bert"))
    settings = PeftSettings(model_dir=folder, num_labels=2)
    return folder, PeftTrainer(settings, TextRows(TEXTS, LABELS))


def base_of(folder):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    return model.eval()


def loaded_by_peft(folder, directory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing or unexpected key is a warning of PEFT's
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing", FutureWarning)
        return peft.PeftModel.from_pretrained(base_of(folder), directory).eval()


@pytest.mark.parametrize("task_type", [None, "SEQ_CLS"])
@pytest.mark.parametrize("ranks", [4, (1, 2, 4, 4)])
def test_peft_gives_the_trainers_logits(bert, tmp_path, ranks, task_type):
    folder, trainer = bert
    names = sorted(trainer.description.modules)
    by_module = dict.fromkeys(names, ranks) if ranks == 4 else dict(zip(names, ranks, strict=True))
    adapter = random_adapter(trainer.description, by_module)
    to_peft(adapter, tmp_path, task_type=task_type)
    found = plain_logits(loaded_by_peft(folder, tmp_path), folder, TEXTS)
    torch.testing.assert_close(found, trainer.logits(adapter, range(6)), atol=1e-4, rtol=0)


def test_modules_of_rank_zero_are_left_out(bert, tmp_path):
    folder, trainer = bert
    ranks = dict.fromkeys(trainer.description.modules, 0)
    ranks[max(ranks)] = 3
    adapter = random_adapter(trainer.description, ranks)
    to_peft(adapter, tmp_path)
    found = plain_logits(loaded_by_peft(folder, tmp_path), folder, TEXTS)
    torch.testing.assert_close(found, trainer.logits(adapter, range(6)), atol=1e-4, rtol=0)


def test_the_empty_adapter_can_be_loaded_too(bert, tmp_path):
    folder, trainer = bert
    described = trainer.description
    adapter = empty(described.modules, initial_dense(described.dense, 1))
    to_peft(adapter, tmp_path)
    found = plain_logits(loaded_by_peft(folder, tmp_path), folder, TEXTS)
    torch.testing.assert_close(found, trainer.logits(adapter, range(6)), atol=1e-4, rtol=0)
    with pytest.raises(ExportError, match="no target module"):
        to_peft(Adapter({}), tmp_path)


def test_a_language_model_in_peft_gives_the_trainers_logits(tmp_path):
    folder = save_llama(tmp_path / "llama")
    trainer = PeftTrainer(PeftSettings(model_dir=folder, task="causal-lm"), TextRows(TEXTS))
    names = sorted(trainer.description.modules)
    adapter = random_adapter(trainer.description, dict(zip(names, (2, 2, 3, 1), strict=True)))
    to_peft(adapter, tmp_path / "a", **trainer.peft_options)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model = peft.PeftModel.from_pretrained(base, tmp_path / "a").eval()
    ids = torch.tensor([trainer._encoded.tokens[2]])
    with torch.no_grad():
        found = model(input_ids=ids).logits
    torch.testing.assert_close(found, trainer.logits(adapter, [2]), atol=1e-4, rtol=0)


def test_what_is_written_is_read_again(bert, tmp_path):
    _, trainer = bert
    adapter = random_adapter(trainer.description, 3)
    read = from_peft(to_peft(adapter, tmp_path, metadata={"number": 3}))
    assert json.loads((tmp_path / "polyrank.json").read_text()) == {"number": 3}
    assert read.shapes == adapter.shapes
    for name, pair in adapter.factors.items():
        assert torch.equal(read.factors[name].b, pair.b)
        assert torch.equal(read.factors[name].a, pair.a)
    assert all(torch.equal(read.dense[name], value) for name, value in adapter.dense.items())


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 4, "lora_alpha": 32},
        {"r": 4, "lora_alpha": 6, "use_rslora": True},
        {"r": 4, "lora_alpha": 8, "rank_pattern": {"query": 2}, "alpha_pattern": {"query": 5}},
        {"r": 4, "lora_alpha": 16, "modules_to_save": ["classifier"], "task_type": "SEQ_CLS"},
    ],
)
def test_an_adapter_that_peft_saved_is_read_with_its_scaling(bert, tmp_path, settings):
    folder, _ = bert
    config = peft.LoraConfig(target_modules=["query", "value"], init_lora_weights=False, **settings)
    torch.manual_seed(0)
    model = peft.get_peft_model(base_of(folder), config)
    model.save_pretrained(tmp_path)
    adapter = from_peft(tmp_path)
    layers = {
        name.removeprefix("base_model.model."): layer
        for name, layer in model.named_modules()
        if isinstance(layer, peft.tuners.lora.Linear)
    }
    assert adapter.factors.keys() == layers.keys()
    for name, layer in layers.items():
        expected = layer.get_delta_weight("default").detach()
        torch.testing.assert_close(adapter.factors[name].delta(), expected, atol=1e-6, rtol=1e-5)
    if "modules_to_save" in settings:
        head = model.base_model.model.classifier.modules_to_save["default"].weight
        assert torch.equal(adapter.dense["classifier.weight"], head)


@pytest.mark.filterwarnings("ignore:Adapter 'default'")  # PEFT on saving its own lora_bias
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"lora_bias": True}, "lora_bias"),
        ({"bias": "all"}, "biases"),
        ({"init_lora_weights": "pissa"}, "pissa"),
    ],
)
def test_an_adapter_that_is_no_plain_delta_is_refused(bert, tmp_path, settings, said):
    folder, _ = bert
    config = peft.LoraConfig(target_modules=["query"], r=2, **settings)
    peft.get_peft_model(base_of(folder), config).save_pretrained(tmp_path)
    with pytest.raises(ExportError, match=said):
        from_peft(tmp_path)


def test_other_methods_and_damaged_folders_are_refused(bert, tmp_path):
    _, trainer = bert
    with pytest.raises(ExportError, match=r"lacks adapter_config\.json"):
        from_peft(tmp_path)
    to_peft(random_adapter(trainer.description, 2), tmp_path)
    config = tmp_path / "adapter_config.json"
    good = config.read_text()
    config.write_text(re.sub('"LORA"', '"IA3"', good))
    with pytest.raises(ExportError, match="IA3"):
        from_peft(tmp_path)
    config.write_text(good)
    weights = tmp_path / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExportError, match="cannot be read"):
        from_peft(tmp_path)
    weights.unlink()
    with pytest.raises(ExportError, match=r"lacks adapter_model\.safetensors"):
        from_peft(tmp_path)


@pytest.mark.parametrize("kind", ["roberta", "gpt2"])
def test_nested_heads_and_transposed_layers_load_without_a_warning(tmp_path, kind):
    torch.manual_seed(0)
    if kind == "roberta":  # its head is classifier.dense and classifier.out_proj
        model = transformers.RobertaModel(transformers.RobertaConfig(**SIZES))
    else:  # its linear layers are Conv1D
        config = transformers.GPT2Config(vocab_size=36, n_embd=32, n_layer=1, n_head=4)
        model = transformers.GPT2Model(config)
    model.save_pretrained(tmp_path / "base")
    save_tokenizer(tmp_path / "base")
    settings = PeftSettings(model_dir=tmp_path / "base", num_labels=2)
    trainer = PeftTrainer(settings, TextRows(TEXTS, LABELS))
    adapter = random_adapter(trainer.description, 2)
    to_peft(adapter, tmp_path / "adapter", **trainer.peft_options)
    whole = loaded_by_peft(tmp_path / "base", tmp_path / "adapter")
    whole.config.pad_token_id = 0
    found = plain_logits(whole, tmp_path / "base", TEXTS)
    torch.testing.assert_close(found, trainer.logits(adapter, range(6)), atol=1e-4, rtol=0)
    assert from_peft(tmp_path / "adapter").dense_shapes == adapter.dense_shapes
