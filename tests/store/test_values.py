"""Errors, JSON values and profiles: plain values, checked."""

import copy
import inspect
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.store import InvalidValue, ProfileMismatch, StoreError
from polyrank.store import _errors as errors_module
from polyrank.store._header import Header, read_header
from polyrank.store._json import MAX_DEPTH, dumps, freeze, loads, reads
from polyrank.store._profile import check_profile, sketch_of
from store_blobs import adapter_blob, profile_for

ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors_module, inspect.isclass)
    if issubclass(kind, StoreError) and kind is not StoreError
]
SAMPLES = {"int": 7, "float": 1.5, "str": "seven"}


def sample(kind):
    names = inspect.signature(kind).parameters
    return kind(**{name: SAMPLES[p.annotation] for name, p in names.items()})


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_built_again_from_its_facts(kind):
    error = sample(kind)
    for again in (
        kind(**json.loads(json.dumps(error.facts))),
        pickle.loads(pickle.dumps(error)),
        copy.copy(error),
    ):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.facts == error.facts
    for name in inspect.signature(kind).parameters:
        assert error.facts[name] == getattr(error, name)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_one_line_and_drawn_in_the_tree(kind):
    assert "\n" not in str(sample(kind))
    assert f"- {kind.__name__} " in errors_module.__doc__


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_json_values_survive_freezing_storing_and_pickling(value):
    frozen = freeze(value)
    assert frozen == value
    assert loads(dumps(frozen)) == value
    assert reads(dumps(frozen)) == value
    assert hash(reads(dumps(frozen))) == hash(frozen)
    assert pickle.loads(pickle.dumps(frozen)) == copy.deepcopy(frozen) == value
    assert hash(frozen) == hash(freeze(value))


@pytest.mark.parametrize("take", [freeze, lambda value: reads(dumps(value))])
def test_what_is_frozen_cannot_be_changed_at_any_depth(take):
    source = {"a": [1, {"b": 2}]}
    frozen = take(source)
    source["a"].append(3)
    assert frozen == {"a": [1, {"b": 2}]}
    for change in (
        lambda: frozen.update(a=1),
        lambda: frozen.pop("a"),
        lambda: frozen["a"].append(1),
        lambda: frozen["a"].sort(),
        lambda: frozen["a"][1].clear(),
    ):
        with pytest.raises(TypeError, match="read-only"):
            change()


def test_a_database_that_holds_no_number_is_told_about():
    with pytest.raises(InvalidValue, match="NaN is not a finite number"):
        reads('{"a": [NaN]}')


def test_what_json_cannot_carry_is_named_with_its_place():
    with pytest.raises(InvalidValue, match=r"card\.a\[1\]\.b: inf"):
        freeze({"a": [0, {"b": float("inf")}]}, field="card")
    with pytest.raises(InvalidValue, match="key 1"):
        freeze({"a": {1: 2}})
    deep: dict = {}
    for _ in range(MAX_DEPTH + 2):
        deep = {"d": deep}
    with pytest.raises(InvalidValue, match="deep"):
        freeze(deep)


MODULES, DENSE = {"fc": (4, 2, 3)}, {"head": (5,)}


def header() -> Header:
    import io

    data = adapter_blob(MODULES, DENSE)
    return read_header(io.BytesIO(data), len(data))


def test_a_true_profile_is_kept_as_it_is():
    profile = profile_for(MODULES, DENSE, sketch=[1, -0.5])
    assert check_profile(profile, header()) == profile
    assert len(sketch_of(profile)) == 16
    assert sketch_of(profile_for(MODULES)) is None


def test_the_profile_of_the_aggregation_package_is_taken():
    torch = pytest.importorskip("torch")
    from polyrank import aggregation

    adapter = aggregation.Adapter(
        {"fc": aggregation.Factors(torch.ones(4, 2), torch.ones(2, 3))}, {"head": torch.ones(5)}
    )
    checked = check_profile(aggregation.profile(adapter).to_json(), header())
    assert len(checked["sketch"]) == 64


@pytest.mark.parametrize(
    ("modules", "dense", "field"),
    [
        ({"fc": (4, 3, 3)}, DENSE, "fc: rank"),
        ({"fc": (3, 2, 4)}, DENSE, "fc: shape"),
        ({"fd": (4, 2, 3)}, DENSE, "the set of modules"),
        (MODULES | {"fd": (4, 2, 3)}, DENSE, "the set of modules"),
        (MODULES, {}, "the set of dense tensors"),
        (MODULES, {"head": (6,)}, "head: shape"),
    ],
)
def test_a_profile_that_disagrees_is_refused(modules, dense, field):
    with pytest.raises(ProfileMismatch) as caught:
        check_profile(profile_for(modules, dense), header())
    assert caught.value.field == field


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"modules": []},
        {"modules": {"fc": 3}},
        {"dense": None},
        {"sketch": [1, "x"]},
        {"sketch": []},
        {"sketch": [True]},
        {"sketch": [0.0] * 5000},
        {"norm": float("nan")},
    ],
)
def test_a_profile_of_another_form_is_refused(change):
    with pytest.raises(InvalidValue, match="profile"):
        check_profile(profile_for(MODULES, DENSE) | change, header())
