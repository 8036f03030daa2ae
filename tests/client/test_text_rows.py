"""Rows: which are held out, how they are batched."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.client import ConfigError, DataError, TextRows, hold_out
from polyrank.client._targets import layer_stack, select_targets
from polyrank.client._text_rows import EncodedRows
from polyrank.client._training_settings import read_settings

CPU = torch.device("cpu")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0, 0.9))
def test_each_class_gives_its_share_and_keeps_a_row(labels, share):
    held = hold_out(len(labels), share, labels=labels, seed=1)
    assert held == hold_out(len(labels), share, labels=labels, seed=1) == sorted(set(held))
    for label in set(labels):
        count = labels.count(label)
        taken = sum(labels[row] == label for row in held)
        assert taken < count
        if share > 0 and count > 1:
            assert abs(taken - share * count) <= 1


def test_rows_that_make_no_sense_are_refused():
    for arguments in (([],), (["a"], [0, 1]), (["a", "b"], None, [2]), (["a"], None, [0])):
        with pytest.raises(DataError):
            TextRows(*arguments)
    assert TextRows(["a", "b", "c"], None, [1]).training == [0, 2]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 5))
def test_a_pass_has_every_row_once_and_the_seed_decides(lengths, size, seed):
    rows = EncodedRows([[5] * length for length in lengths], None, 0)
    chosen = list(range(len(lengths)))
    passes = -(-len(chosen) // size)

    def first_pass():
        return list(itertools.islice(rows.shuffled(chosen, size, seed), passes))

    found = first_pass()
    assert found == first_pass()
    assert sorted(row for part in found for row in part) == chosen
    whole = [row for part in rows.by_length(chosen, size) for row in part]
    assert sorted(whole) == chosen


def test_a_batch_is_padded_on_the_right():
    batch = EncodedRows([[5, 6, 7], [8]], [1, 0], 9).batch([1, 0], CPU)
    assert batch.input_ids.tolist() == [[8, 9, 9], [5, 6, 7]]
    assert batch.attention_mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("config", "rates"),
    [
        ({}, [1.0, 1.0, 1.0, 1.0]),
        ({"warmup_steps": 2}, [0.5, 1.0, 1.0, 1.0]),
        ({"schedule": "linear"}, [1.0, 0.75, 0.5, 0.25]),
        ({"schedule": "cosine", "warmup_steps": 2}, [0.5, 1.0, 1.0, 0.5]),
    ],
)
def test_the_learning_rate_follows_its_schedule(config, rates):
    settings = read_settings(config)
    assert [settings.rate_at(step, 4) for step in range(4)] == pytest.approx(rates)


def test_steps_epochs_or_one_pass():
    assert read_settings({"steps": 7}).total_steps(100) == 7
    assert read_settings({"epochs": 2, "batch_size": 8}).total_steps(100) == 25
    assert read_settings({"batch_size": 8}).total_steps(100) == 13


class Stack(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            torch.nn.ModuleDict({"query": torch.nn.Linear(3, 2), "out": torch.nn.Linear(2, 3)})
            for _ in range(6)
        )
        self.pooler = torch.nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("layers", "count"), [("all", 6), ("top-third", 2), ("top-half", 3), ("top-1", 1)]
)
def test_targets_are_chosen_by_name_and_height(layers, count):
    found = select_targets(Stack(), ["query"], layers=layers)
    assert list(found) == [f"layers.{index}.query" for index in range(6 - count, 6)]
    assert set(found.values()) == {(2, 3)}


def test_a_pattern_reaches_modules_above_the_stack():
    assert set(select_targets(Stack(), r"pooler|layers\.0\..*")) == {
        "layers.0.query",
        "layers.0.out",
        "pooler",
    }


@pytest.mark.parametrize(
    ("targets", "layers", "said"),
    [
        (["q_proj"], "all", "the model has out, pooler, query"),
        ("(", "all", "not a regular expression"),
        (["query"], "upper", "top-N with N up to 6"),
        (["query"], "top-7", "top-N with N up to 6"),
    ],
)
def test_a_choice_of_nothing_says_what_there_is(targets, layers, said):
    with pytest.raises(ConfigError, match=said):
        select_targets(Stack(), targets, layers=layers)


def test_a_layers_experts_are_not_taken_for_the_stack():
    model = Stack()
    model.layers[0]["experts"] = torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(20))
    assert layer_stack(model) == "layers"
    assert list(select_targets(model, ["query"], layers="top-1")) == ["layers.5.query"]
