"""node.toml and the data file: what is read, and that each mistake is named in one line."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from polyrank.client import ConfigError, DataError
from polyrank.client._node_config import load_node_config
from polyrank.client._peft_node import rows_of, trainer_of
from polyrank.client._rows_file import class_indices, read_columns

from .models import save_bert, texts_of

EXAMPLE = Path(__file__).parents[2] / "deploy" / "node.example.toml"
TEXTS, LABELS = texts_of(20)


def written(folder, changes=(), text=None):
    content = EXAMPLE.read_text("utf-8") if text is None else text
    for old, new in changes:
        assert old in content
        content = content.replace(old, new)
    path = folder / "node.toml"
    path.write_text(content, "utf-8")
    return path


def test_the_example_is_read_and_its_paths_start_at_the_file(tmp_path):
    config = load_node_config(written(tmp_path))
    assert config.node.state_dir == tmp_path / "state"
    assert config.model.dir == tmp_path / "models/minilm"
    assert config.client().max_rank == 8
    assert config.client().tags == {"site": "north"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("max_rank = 8", "max_ranks = 8"), r"node\.max_ranks?: "),
        (("max_rank = 8", "max_rank = 0"), r"node\.max_rank: .*got 0"),
        (("max_rank = 8", "max_rank = '8'"), r"node\.max_rank: "),
        (("max_rank = 8", ""), r"node\.max_rank: missing"),
        (('"127.0.0.1:9092"', '"here"'), r"node\.server: .*host:port"),
        (('"127.0.0.1:9092"', '"host:99999"'), r"node\.server: "),
        (('"sequence-classification"', '"vision"'), r"model\.task: "),
        (('labels = ["negative", "positive"]', ""), "labels"),
        (('label = "label"', ""), "label: name the column"),
        (("steps = 50", "step = 50"), "'step' is unknown"),
        (("held_out = 0.2", "held_out = 1.5"), r"data\.held_out: "),
        (("[data]", "[dataset]"), "dataset|data"),
        (('name = "ward-3"', "name = "), "not TOML"),
    ],
)
def test_a_mistake_is_named_with_file_and_key_in_one_line(tmp_path, change, said):
    path = written(tmp_path, [change])
    with pytest.raises(ConfigError, match=said) as caught:
        load_node_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load_node_config(tmp_path / "none.toml")


def data_files(folder, rows):
    csv = "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows)
    (folder / "rows.csv").write_text(csv)
    (folder / "rows.tsv").write_text(csv.replace(",", "\t"))
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "rows.parquet")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_each_kind_of_file_gives_the_same_rows(tmp_path, ending):
    names = ["negative", "positive"]
    rows = [
        {"text": text, "label": names[label]} for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    data_files(tmp_path, rows)
    config = load_node_config(written(tmp_path, [("rows.csv", f"rows.{ending}")]))
    found = rows_of(config)
    assert (list(found.texts), list(found.labels)) == (TEXTS, LABELS)
    assert sorted(LABELS[row] for row in found.held_out) == [0, 0, 1, 1]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_missing_column_is_named_with_those_there(tmp_path, ending):
    data_files(tmp_path, [{"text": "a", "label": "b"}])
    with pytest.raises(DataError, match=r"no column 'klass'.*label"):
        read_columns(tmp_path / f"rows.{ending}", ["text", "klass"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "no rows"),
        ("a.csv", "text\n", "no rows"),
        ("a.csv", 'text\n""\n', "no rows"),
        ("a.csv", 'text\n"open\n', "cannot be read"),
        ("a.csv", b"text\n\xff\xfe\n", "cannot be read"),
        ("a.jsonl", '{"text": 1\n', "cannot be read"),
        ("a.jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("a.parquet", "PAR1", "cannot be read"),
        ("a.xlsx", "x", "unknown ending"),
    ],
)
def test_a_damaged_or_empty_file_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=said) as caught:
        read_columns(path, ["text"])
    assert caught.value.path == str(path)


def test_a_missing_data_file_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_columns(tmp_path / "none.csv", ["text"])


def test_classes_are_numbered_by_the_labels_or_by_themselves(tmp_path):
    given = {"labels": ["no", "yes"], "num_labels": 2, "path": tmp_path}
    assert class_indices([" yes", "no"], **given) == [1, 0]
    assert class_indices(["1", 0, 1.0, True], **{**given, "labels": None}) == [1, 0, 1, 1]
    with pytest.raises(DataError, match=r"row 2 .*'maybe'.*no, yes"):
        class_indices(["no", "maybe"], **given)


def test_a_trainer_is_made_from_the_file_alone(tmp_path):
    save_bert(tmp_path / "models" / "minilm")
    rows = [
        {"text": text, "label": ["negative", "positive"][LABELS[i]]} for i, text in enumerate(TEXTS)
    ]
    data_files(tmp_path, rows)
    trainer = trainer_of(load_node_config(written(tmp_path)))
    assert trainer.num_rows == 20
    assert {name.split(".")[3] for name in trainer.description.modules} == {"1"}
    assert list((tmp_path / "state" / "cache").iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.5, None, {"a": 1}])
def test_a_value_that_is_no_class_is_named_with_its_row(tmp_path, value):
    with pytest.raises(DataError, match="row 1 has the label"):
        class_indices([value], labels=None, num_labels=2, path=tmp_path)


def test_lines_nested_without_end_are_an_error_of_the_file(tmp_path):
    (tmp_path / "deep.jsonl").write_text('{"text": ' + "[" * 100_000)
    with pytest.raises(DataError, match="cannot be read"):
        read_columns(tmp_path / "deep.jsonl", ["text"])
