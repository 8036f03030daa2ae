"""A node's window: what it says of its rows, and comparing adapters on them later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from polyrank.aggregation import Adapter, Summary, SummarySpec
from polyrank.client import Evaluation, ModelDescription
from polyrank.client._errors import TaskRefused
from polyrank.client._protocol import TaskEnvelope
from polyrank.client._windows import KEPT_WINDOWS, Windows, row_scores

SPEC = SummarySpec(7, classes=2, max_loss=2.0)
OWN = Evaluation([0.5, 1.0, 3.0], [True, True, False], [0, 1, 1])
OTHER = Evaluation([0.25, 1.5, 1.0], [True, False, True], [0, 1, 1])


class Rows:
    """As much of a trainer as windows ask for."""

    data_version = 1

    def features(self, rows: Sequence[int] | None = None) -> torch.Tensor:
        assert rows is None, "a window is all rows that are held out"
        return torch.eye(3)


def task(digest: str, **window: Any) -> TaskEnvelope:
    return TaskEnvelope.create(
        "evaluate",
        start_digest=digest * 64,
        config={"window": {"spec": SPEC.to_json(), **window}},
    )


def answer(windows: Windows, found: Evaluation, digest: str, **window: Any) -> dict[str, Any]:
    trainer: Any = Rows()
    return json.loads(windows.answer(task(digest, **window), found, trainer))


def test_a_summary_of_the_window_is_sent_and_nothing_of_its_rows() -> None:
    sent = answer(Windows(None), OWN, "a")
    summary = Summary.from_json(sent["summary"], SPEC)
    assert set(sent) == {"summary"}
    assert (summary.count, summary.width) == (3, 3)
    assert summary.loss_sum == pytest.approx(0.5 + 1.0 + 2.0), "clipped"
    assert summary.class_counts == (1, 2)


def test_another_version_is_compared_row_by_row_on_the_same_rows() -> None:
    windows = Windows(None)
    answer(windows, OWN, "a")
    sent = answer(windows, OTHER, "b", against="a" * 64)
    differences = [0.5 - 0.25, 1.0 - 1.5, 2.0 - 1.0]  # own minus other, each clipped to 2
    assert sent["paired"]["count"] == 3
    assert sent["paired"]["sum"] == pytest.approx(sum(differences))
    assert sent["paired"]["square_sum"] == pytest.approx(sum(d * d for d in differences))


def test_a_gate_says_what_serving_the_version_gains_on_the_same_rows() -> None:
    windows, trainer = Windows(None), Rows()
    asked = task("b", gate={"digest": "a" * 64})
    sent = json.loads(windows.answer(asked, OTHER, trainer, OWN))  # type: ignore[arg-type]
    differences = [0.5 - 0.25, 1.0 - 1.5, 2.0 - 1.0]  # stable minus candidate, each clipped to 2
    assert set(sent) == {"summary", "gate"}
    assert sent["gate"]["sum"] == pytest.approx(sum(differences))
    assert sent["gate"]["square_sum"] == pytest.approx(sum(d * d for d in differences))
    later = answer(windows, OWN, "c", against="a" * 64)
    assert later["paired"] == {"count": 3, "sum": 0.0, "square_sum": 0.0}, "its rows are kept"


@pytest.mark.parametrize("gate", [7, {}, {"digest": 7}, {"digest": "../" + "a" * 61}])
def test_a_gate_that_cannot_be_read_is_refused(gate: object) -> None:
    trainer: Any = Rows()
    with pytest.raises(TaskRefused, match="gate"):
        Windows(None).answer(task("b", gate=gate), OTHER, trainer)


def test_without_the_other_version_or_with_other_rows_there_is_no_gate() -> None:
    trainer: Any = Rows()
    asked = task("b", gate={"digest": "a" * 64})
    other = Evaluation(OWN.losses, OWN.correct, [1, 0, 1])
    for earlier in (None, other):
        assert set(json.loads(Windows(None).answer(asked, OTHER, trainer, earlier))) == {"summary"}


def test_a_comparison_survives_a_restart(tmp_path: Path) -> None:
    answer(Windows(tmp_path), OWN, "a")
    sent = answer(Windows(tmp_path), OTHER, "b", against="a" * 64)
    assert sent["paired"]["count"] == 3


@pytest.mark.parametrize("damage", ["gone", "torn", "changed rows", "other data", "a path"])
def test_without_the_same_rows_a_comparison_is_refused(tmp_path: Path, damage: str) -> None:
    answer(Windows(tmp_path), OWN, "a")
    file = tmp_path / f"{'a' * 64}.json"
    found, against, trainer = OTHER, "a" * 64, Rows()
    if damage == "gone":
        file.unlink()
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:20])
    elif damage == "changed rows":
        found = Evaluation(OTHER.losses, OTHER.correct, [1, 0, 1])
    elif damage == "other data":
        trainer.data_version = 2
    else:
        against = "../" + "a" * 64
    asked = task("b", against=against)
    with pytest.raises(TaskRefused, match="have changed"):
        Windows(tmp_path).answer(asked, found, trainer)  # type: ignore[arg-type]


def test_only_the_last_windows_are_kept(tmp_path: Path) -> None:
    windows = Windows(tmp_path)
    for digest in "abcdef12":
        answer(windows, OWN, digest)
    assert len(list(tmp_path.iterdir())) == KEPT_WINDOWS
    with pytest.raises(TaskRefused):
        answer(windows, OTHER, "0", against="a" * 64)


def test_a_window_that_cannot_be_read_is_refused_and_one_not_asked_for_is_not_made() -> None:
    trainer: Any = Rows()
    for window in (7, {}, {"spec": {"seed": -1}}):
        asked = TaskEnvelope.create("evaluate", config={"window": window})
        with pytest.raises(TaskRefused):
            Windows(None).answer(asked, OWN, trainer)
    assert Windows(None).answer(TaskEnvelope.create("evaluate"), OWN, trainer) == b""


def test_language_models_are_scored_per_token() -> None:
    assert row_scores(Evaluation([6.0, 1.0], tokens=[3, 0])) == [2.0, 1.0]


class Texts(Rows):
    """A trainer of a language model: rows of three, two and one tokens."""

    def __init__(self) -> None:
        self.description = ModelDescription("f" * 64, {"layer": (4, 3)}, {"head": (2,)})
        self.scored: list[Adapter] = []

    def evaluate(self, adapter: Adapter, rows: Sequence[int] | None = None) -> Evaluation:
        assert rows is None
        self.scored.append(adapter)
        return Evaluation([6.0, 8.0, 9.0], tokens=[3, 2, 1])


PLAIN = SummarySpec(7, max_loss=5.0)
TEXT = Evaluation([1.5, 1.0, 1.0], tokens=[3, 2, 1])


def text_answer(windows: Windows, texts: Texts, digest: str, **window: Any) -> Summary:
    asked = task(digest, spec=PLAIN.to_json(), **window)
    trainer: Any = texts
    sent = json.loads(windows.answer(asked, TEXT, trainer))
    return Summary.from_json(sent["summary"], PLAIN)


def test_the_base_model_scores_a_language_models_window_once_for_the_same_rows() -> None:
    windows, texts = Windows(None), Texts()
    first = text_answer(windows, texts, "a", base=True)
    assert first.base_loss_sum == pytest.approx(2.0 + 4.0 + 5.0), "per token, and clipped"
    (adapter,) = texts.scored
    assert (adapter.factors["layer"].rank, adapter.shapes) == (0, {"layer": (4, 3)})
    assert not adapter.dense["head"].any()
    assert text_answer(windows, texts, "b", base=True).base_loss_sum == first.base_loss_sum
    assert len(texts.scored) == 1
    texts.data_version += 1
    text_answer(windows, texts, "b", base=True)
    assert len(texts.scored) == 2


def test_rows_that_may_have_changed_unseen_are_scored_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(Rows, "data_version")
    windows, texts = Windows(None), Texts()
    for _ in range(2):
        text_answer(windows, texts, "a", base=True)
    assert len(texts.scored) == 2


def test_the_base_model_is_left_alone_where_nobody_asks_or_rows_have_classes() -> None:
    texts = Texts()
    assert text_answer(Windows(None), texts, "a").base_loss_sum is None
    sent = answer(Windows(None), OWN, "a", base=True)
    assert Summary.from_json(sent["summary"], SPEC).base_loss_sum is None
    assert not texts.scored


class Known(Rows):
    """Rows that tell their digest."""

    def __init__(self, rows_digest: str, data_version: int = 0) -> None:
        self.rows_digest = rows_digest
        self.data_version = data_version


def test_rows_are_known_again_by_their_content_whatever_number_the_process_gives_them(
    tmp_path: Path,
) -> None:
    before: Any = Known("one", data_version=5)
    Windows(tmp_path).answer(task("a"), OWN, before)
    asked = task("b", against="a" * 64)
    same: Any = Known("one")
    assert "paired" in json.loads(Windows(tmp_path).answer(asked, OTHER, same))
    other: Any = Known("two", data_version=5)  # other texts with the same labels
    with pytest.raises(TaskRefused, match="have changed"):
        Windows(tmp_path).answer(asked, OTHER, other)
