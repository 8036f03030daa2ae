"""The base model's fingerprint: the same tensors, the same digest."""

import shutil

import pytest
from polyrank.client import ModelError, PeftSettings, PeftTrainer, TextRows
from polyrank.client import _fingerprint as module
from polyrank.client._fingerprint import checkpoint_files, fingerprint
from safetensors.torch import load_file, save_file

from .models import save_bert, texts_of

TEXTS, LABELS = texts_of(6)


def everything(name):
    return True


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


def test_it_does_not_depend_on_sharding(bert, tmp_path):
    sharded = save_bert(tmp_path / "sharded", max_shard_size="20KB")
    assert len(checkpoint_files(sharded)) > 1
    assert fingerprint(sharded, everything) == fingerprint(bert, everything)


def test_it_depends_on_each_loaded_tensor(bert, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    tensors = load_file(copy / "model.safetensors")
    tensors["pooler.dense.bias"][0] += 1e-3
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    assert fingerprint(copy, everything) != fingerprint(bert, everything)

    def without(name):
        return name != "pooler.dense.bias"

    assert fingerprint(copy, without) == fingerprint(bert, without)


def test_a_new_head_is_no_part_of_it_but_left_out_layers_are(bert):
    def made(**changes):
        settings = PeftSettings(model_dir=bert, **changes)
        return PeftTrainer(settings, TextRows(TEXTS, LABELS)).description.fingerprint

    assert made(num_labels=2) == made(num_labels=3) == fingerprint(bert, everything)
    assert made(num_labels=2, num_hidden_layers=1) != made(num_labels=2)


def test_a_second_start_reads_no_weights(bert, tmp_path, monkeypatch):
    first = fingerprint(bert, everything, cache_dir=tmp_path)
    monkeypatch.setattr(module, "_hash_file", None)
    assert fingerprint(bert, everything, cache_dir=tmp_path) == first


def test_a_damaged_cache_is_read_past_and_a_changed_file_is_seen(bert, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    first = fingerprint(copy, everything, cache_dir=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{")
    assert fingerprint(copy, everything, cache_dir=tmp_path / "cache") == first
    tensors = load_file(copy / "model.safetensors")
    save_file(
        {**tensors, "extra": tensors["pooler.dense.bias"].clone()}, copy / "model.safetensors"
    )
    assert fingerprint(copy, everything, cache_dir=tmp_path / "cache") != first


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{]"])
def test_a_file_that_is_not_safetensors_is_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors is not a safetensors"):
        fingerprint(tmp_path, everything)


def test_missing_things_are_named(tmp_path, bert):
    with pytest.raises(ModelError, match="does not exist"):
        fingerprint(tmp_path / "nowhere", everything)
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        fingerprint(tmp_path, everything)
    sharded = save_bert(tmp_path / "sharded", max_shard_size="20KB")
    lost = checkpoint_files(sharded)[0]
    lost.unlink()
    with pytest.raises(ModelError, match=f"{lost.name} is missing"):
        fingerprint(sharded, everything)
    with pytest.raises(ModelError, match="no tensor"):
        fingerprint(bert, lambda name: False)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(bert, tmp_path):
    (tmp_path / "file").write_text("")
    found = fingerprint(bert, everything, cache_dir=tmp_path / "file" / "cache")
    assert found == fingerprint(bert, everything)
