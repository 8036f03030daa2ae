"""Rows that change while a trainer lives: as if it had begun with them; bad ones cost nothing."""

import pytest
import torch
from polyrank.client import DataError, PeftSettings, PeftTrainer, TextRows

from .models import random_adapter, save_bert, texts_of
from .training import learned

TEXTS, LABELS = texts_of(48)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


def classifier(folder, **changes):
    settings = PeftSettings(model_dir=folder, num_labels=2, **changes)
    return PeftTrainer(settings, TextRows(TEXTS, LABELS, tuple(range(40, 48))))


def test_new_rows_are_scored_and_trained_like_those_of_a_new_trainer(bert):
    adapter = random_adapter(classifier(bert, layers="top-1").description, 2)
    texts, labels = texts_of(20, seed=9)
    later = TextRows([*texts, *TEXTS[:4]], [*labels, *LABELS[:4]], (0, 5, 21))
    changed = classifier(bert, layers="top-1")
    changed.evaluate(adapter, range(48))
    changed.replace_rows(later)
    assert (changed.data_version, changed.num_rows) == (1, 24)
    fresh = PeftTrainer(PeftSettings(model_dir=bert, num_labels=2, layers="top-1"), later)
    assert list(changed.evaluate(adapter, None).labels) == [labels[0], labels[5], LABELS[1]]
    for rows in (None, range(24)):
        expected = fresh.evaluate(adapter, rows).losses
        assert changed.evaluate(adapter, rows).losses == pytest.approx(expected, abs=1e-5)
    found = [learned(trainer, {"steps": 4}) for trainer in (changed, fresh)]
    assert [result.num_examples for result in found] == [21, 21]
    for name, pair in found[0].adapter.factors.items():
        expected = found[1].adapter.factors[name].delta()
        torch.testing.assert_close(pair.delta(), expected, atol=1e-4, rtol=1e-3)


def test_rows_that_do_not_fit_leave_the_old_ones_in_place(bert):
    trainer = classifier(bert)
    adapter = random_adapter(trainer.description, 2)
    before = trainer.evaluate(adapter, None)
    with pytest.raises(DataError, match="label 5"):
        trainer.replace_rows(TextRows(["w1", "w2"], [5, 0]))
    assert (trainer.data_version, trainer.num_rows) == (0, 48)
    assert trainer.evaluate(adapter, None) == before


def test_the_source_is_asked_for_rows_and_a_broken_one_costs_nothing(bert, capsys):
    given = [None, DataError("data file x cannot be read"), TextRows(TEXTS[:4], [7] * 4)]
    given.append(TextRows(TEXTS[:6], LABELS[:6], (0,)))

    def source():
        if isinstance(value := given.pop(0), Exception):
            raise value
        return value

    settings = PeftSettings(model_dir=bert, num_labels=2)
    trainer = PeftTrainer(settings, TextRows(TEXTS, LABELS), source=source)
    assert [trainer.refresh() for _ in range(3)] == [False] * 3
    assert (trainer.num_rows, trainer.data_version) == (48, 0)
    said = [line for line in capsys.readouterr().out.splitlines() if "rows_kept" in line]
    assert [("cannot be read" in line, "label 7" in line) for line in said] == [
        (True, False),
        (False, True),
    ]
    assert trainer.refresh()
    assert (trainer.num_rows, trainer.data_version, trainer.rows.held_out) == (6, 1, (0,))
    assert not classifier(bert).refresh()


def test_the_digest_follows_the_rows_that_are_held_out_and_nothing_else(bert):
    held_out = tuple(range(40, 48))
    trainer = classifier(bert)
    before = trainer.rows_digest
    assert classifier(bert).rows_digest == before
    trainer.replace_rows(TextRows(["w1 w2", *TEXTS[1:]], LABELS, held_out))
    assert trainer.rows_digest == before, "another training row"
    for texts, labels in (
        ([*TEXTS[:47], "w1 w2"], LABELS),
        (TEXTS, [*LABELS[:47], 1 - LABELS[47]]),
    ):
        trainer.replace_rows(TextRows(texts, labels, held_out))
        assert trainer.rows_digest != before
    trainer.replace_rows(TextRows(TEXTS, LABELS, held_out))
    assert trainer.rows_digest == before
