"""The demo's rows: labelled by sign, without neutral or repeated texts, the same every time."""

import csv
from pathlib import Path

import pytest
from polyrank.coordinator._assets import AssetError
from polyrank.coordinator._assets_texts import (
    DOMAINS,
    Row,
    dialogue_texts,
    movie_texts,
    sentiment,
    split,
    write_csv,
)


def _write(folder: Path, lines: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tweets.tsv").write_bytes("\r\n".join(lines).encode("latin-1"))
    return folder


def test_the_label_is_the_sign_of_the_score_and_neutral_texts_are_left_out(tmp_path: Path):
    lines = ["1\t2.5\tvery  good", "2\t-0.5\tbad", "3\t0.49\tneither", "4\t-0.49\tneither too"]
    rows = sentiment(_write(tmp_path, lines), "tweets")
    assert sorted(rows, key=lambda row: row.text) == [Row("bad", 0), Row("very good", 1)]


def test_a_text_that_occurs_twice_is_kept_once(tmp_path: Path):
    lines = ["1\t2\tsame", "2\t-2\tsame", "3\t-1\tother"]
    rows = sentiment(_write(tmp_path, lines), "tweets")
    assert sorted(row.text for row in rows) == ["other", "same"]


def test_texts_are_read_as_latin_1_and_only_line_feeds_end_a_row(tmp_path: Path):
    rows = sentiment(_write(tmp_path, ["1\t2\tcaf\xe9 \x85 au lait", "2\t-2\tno"]), "tweets")
    assert any(row.text.startswith("caf\xe9") and row.text.endswith("au lait") for row in rows)


@pytest.mark.parametrize(
    ("line", "said"), [("3\t1.0", "line 2: 2 columns"), ("3\tx\ttext", "line 2: the score 'x'")]
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str, said: str):
    with pytest.raises(AssetError, match=said):
        sentiment(_write(tmp_path, ["1\t2\tgood", line]), "tweets")


def test_a_domain_with_nearly_one_class_is_refused(tmp_path: Path):
    lines = [f"{n}\t2\tgood {n}" for n in range(9)] + ["9\t-2\tbad"]
    with pytest.raises(AssetError, match="90% of the rows are positive"):
        sentiment(_write(tmp_path, lines), "tweets")


def test_dialogue_pairs_that_repeat_a_question_or_an_answer_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("polyrank.coordinator._assets_texts.DIALOGUE_TOPICS", ("one",))
    (tmp_path / "one.yml").write_text(
        "conversations:\n"
        "- - q1\n  - a1\n- - q1\n  - a2\n- - q2\n  - a1\n- - q3\n  - a3\n- - alone\n"
    )
    texts = sorted(row.text for row in dialogue_texts(tmp_path))
    assert texts == ["Question: q1\nAnswer: a1", "Question: q3\nAnswer: a3"]


def test_a_dialogue_file_of_another_layout_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("polyrank.coordinator._assets_texts.DIALOGUE_TOPICS", ("one",))
    (tmp_path / "one.yml").write_text("- a list\n")
    with pytest.raises(AssetError, match=r"one\.yml: no list of conversations"):
        dialogue_texts(tmp_path)


def test_held_out_rows_are_never_trained_on():
    rows = [Row(f"text {n}", n % 2) for n in range(50)]
    parts = split(rows, held_out=10, train=30)
    assert len(parts.held_out) == 10
    assert len(parts.train) == 30
    assert not set(parts.held_out) & set(parts.train)


def test_rows_survive_csv_whatever_is_in_them(tmp_path: Path):
    rows = [Row('a "quoted", one', 1), Row("two\nlines", 0), Row("caf\xe9", 1)]
    write_csv(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as source:
        found = [Row(row["text"], int(row["label"])) for row in csv.DictReader(source)]
    assert found == rows


def test_plain_texts_have_no_label_column(tmp_path: Path):
    write_csv(tmp_path / "rows.csv", [Row("one"), Row("two")])
    assert (tmp_path / "rows.csv").read_text("utf-8").splitlines() == ["text", "one", "two"]


@pytest.mark.parametrize(
    ("domain", "count", "share"),
    [("tweets", 3432, 0.68), ("movies", 10070, 0.50), ("nyt", 2931, 0.40), ("amazon", 2977, 0.59)],
)
def test_the_real_domains_are_what_the_demo_was_tuned_on(
    sentiment_dir: Path, domain: str, count: int, share: float
):
    rows = sentiment(sentiment_dir, domain)
    assert domain in DOMAINS
    assert len(rows) == count
    assert sum(row.label or 0 for row in rows) / count == pytest.approx(share, abs=0.01)
    assert rows == sentiment(sentiment_dir, domain)


def test_the_real_plain_texts_are_there_and_distinct(sentiment_dir: Path, dialogue_dir: Path):
    movies, dialogue = movie_texts(sentiment_dir), dialogue_texts(dialogue_dir)
    assert len(movies) == len(set(movies)) > 10_000
    assert len(dialogue) == len(set(dialogue)) > 700
