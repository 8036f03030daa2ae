"""Base models and adapters."""

from datetime import UTC, datetime, timedelta

import pytest
from polyrank.store import AlreadyExists, Conflict, InvalidValue, NotFound
from store_blobs import adapter_blob


def test_a_new_registry_is_empty(registry):
    assert registry.base_models() == registry.adapters() == registry.nodes() == []
    assert registry.rounds() == registry.events() == registry.drivers() == []
    assert registry.search().items == ()
    assert registry.search().next_page_token is None


def test_base_models_and_adapters_are_listed_by_name(local, registry):
    local.register_base_model("another", fingerprint="a" * 64)
    local.create_adapter("a", base_model="another")
    assert [model.name for model in registry.base_models()] == ["another", "base"]
    assert [line.name for line in registry.adapters()] == ["a", "support/en"]
    assert registry.base_models()[1].metadata == {"layers": 2}
    line = registry.adapter("support/en")
    assert (line.base_model, line.tags, line.head, line.retired) == (
        "base",
        {"team": "nlp"},
        None,
        False,
    )


def test_times_are_utc_and_now(local, registry):
    created = registry.adapter("support/en").created_at
    assert created.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)


def test_the_same_registration_again_returns_the_first(local):
    first = local.base_models()[0]
    assert local.register_base_model("base", fingerprint="f" * 64) == first
    line = local.adapter("support/en")
    assert local.create_adapter("support/en", base_model="base") == line
    assert len(local.events()) == 2


def test_another_fingerprint_under_the_same_name_is_refused(local):
    with pytest.raises(AlreadyExists, match="f" * 64):
        local.register_base_model("base", fingerprint="e" * 64)


def test_an_adapter_cannot_move_to_another_base_model(local):
    local.register_base_model("other", fingerprint="e" * 64)
    with pytest.raises(AlreadyExists, match="base model is base"):
        local.create_adapter("support/en", base_model="other")


def test_an_adapter_needs_a_known_base_model(local):
    with pytest.raises(NotFound, match="nothing"):
        local.create_adapter("x", base_model="nothing")


def test_a_name_that_would_make_references_ambiguous_is_refused(local):
    for name in ["", "/a", "a/", "a//b", "a b", "a@1", "é", "a" * 201, ".a"]:
        with pytest.raises(InvalidValue, match="adapter name"):
            local.create_adapter(name, base_model="base")


def test_tags_are_short_strings(local):
    for tags in [{"k": 1}, {"": "v"}, {"k": "v" * 1001}]:
        with pytest.raises(InvalidValue, match="tag"):
            local.create_adapter("x", base_model="base", tags=tags)


def test_a_retired_adapter_takes_no_more_versions_but_stays_readable(local, registry):
    local.publish("support/en", adapter_blob())
    assert local.retire_adapter("support/en", reason="done").retired
    assert registry.adapter("support/en").retired
    with pytest.raises(Conflict, match="retired"):
        local.publish("support/en", adapter_blob(fill=1))
    assert registry.read("support/en@0") == adapter_blob()


def test_unknown_names_are_not_found(registry):
    for ask in (registry.adapter, registry.versions, registry.aliases, registry.contributions):
        with pytest.raises(NotFound, match="nobody") as caught:
            ask("nobody")
        assert (caught.value.kind, caught.value.name) == ("adapter", "nobody")


def test_what_records_hold_cannot_be_changed(local, registry):
    metadata = registry.base_models()[0].metadata
    with pytest.raises(TypeError, match="read-only"):
        metadata["layers"] = 3
    with pytest.raises(AttributeError):
        registry.adapter("support/en").name = "x"


def test_the_registry_says_what_answers(pair, registry):
    assert registry.info() == pair.local.info()
    assert registry.info().schema_revision == "0003"
