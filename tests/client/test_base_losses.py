"""The base model's own loss on a language model's rows, against transformers itself."""

from __future__ import annotations

import pytest
import torch
import transformers
from polyrank.client import PeftSettings, PeftTrainer, TextRows
from polyrank.client._base_losses import BaseLosses

from .models import random_adapter, save_llama, texts_of


def test_it_is_what_the_plain_model_loses_per_token_whatever_adapter_was_scored_before(tmp_path):
    folder = save_llama(tmp_path)
    texts, _ = texts_of(6)
    trainer = PeftTrainer(
        PeftSettings(model_dir=folder, task="causal-lm", layers="top-1"), TextRows(texts, None)
    )
    adapter = random_adapter(trainer.description, 3)
    evaluation = trainer.evaluate(adapter, None)
    found = BaseLosses().of(evaluation, "these rows", trainer)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokens, _ = trainer._base.encode(texts, 128)
    expected = []
    for row in tokens:
        ids = torch.tensor([row])
        with torch.no_grad():
            expected.append(float(plain(input_ids=ids, labels=ids).loss))
    assert found == pytest.approx(expected, rel=1e-4)
    assert evaluation.losses != pytest.approx(
        [loss * (len(row) - 1) for loss, row in zip(expected, tokens, strict=True)], rel=1e-3
    )
    assert trainer.evaluate(adapter, None).losses == evaluation.losses
