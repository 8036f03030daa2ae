"""Publishing and finding versions."""

import hashlib
import io

import pytest
from polyrank.store import (
    Conflict,
    DenseSpec,
    InvalidBlob,
    InvalidValue,
    ModuleSpec,
    NotFound,
    PageTokenError,
    Parent,
    ProfileMismatch,
    RefError,
)
from store_blobs import adapter_blob, profile_for

MODULES = {"layer.0.q": (4, 2, 3), "layer.1.q": (5, 4, 6)}
DENSE = {"classifier.bias": (2,), "classifier.weight": (2, 4)}


def test_a_version_states_what_its_header_says(local, registry):
    data = adapter_blob(MODULES, DENSE)
    local.publish("support/en", data, metrics={"loss": 0.5}, tags={"k": "v"})
    version = registry.version("support/en@0")
    assert version.modules == (
        ModuleSpec(name="layer.0.q", rank=2, shape=(4, 3), dtype="F32"),
        ModuleSpec(name="layer.1.q", rank=4, shape=(5, 6), dtype="F32"),
    )
    assert version.dense == (
        DenseSpec(name="classifier.bias", shape=(2,), dtype="F32"),
        DenseSpec(name="classifier.weight", shape=(2, 4), dtype="F32"),
    )
    assert version.rank == 4
    assert version.digest == hashlib.sha256(data).hexdigest()
    assert version.size_bytes == len(data)
    assert (version.base_model, version.origin, version.round) == ("base", "import", None)
    assert (version.metrics, version.tags, version.parents) == ({"loss": 0.5}, {"k": "v"}, ())


def test_what_publish_returns_is_what_everybody_reads(local, registry):
    profile = profile_for(MODULES, sketch=[1.0, 2.0])
    made = local.publish("support/en", adapter_blob(MODULES), profile=profile)
    assert registry.version("support/en") == made
    assert made.profile == profile


def test_numbers_count_from_zero_per_adapter_and_move_the_head(local, registry):
    local.create_adapter("b", base_model="base")
    made = [local.publish("support/en", adapter_blob(fill=i)).number for i in range(3)]
    assert made == [0, 1, 2]
    assert local.publish("b", adapter_blob()).number == 0
    assert registry.adapter("support/en").head == 2


def test_a_reference_is_a_number_an_alias_or_the_latest(local, registry):
    for fill in range(3):
        local.publish("support/en", adapter_blob(fill=fill))
    local.set_alias("support/en", "stable", 0)
    for suffix, number in {"": 2, "@latest": 2, "@1": 1, "@stable": 0}.items():
        assert registry.version(f"support/en{suffix}").number == number


def test_a_reference_that_means_nothing_is_a_ref_error(registry):
    for ref in ["", "@1", "a@", "a@-1", "a@1.0", "a@B", "a b", "a@x@y", "a@٣"]:
        with pytest.raises(RefError) as caught:
            registry.version(ref)
        assert caught.value.ref == ref


def test_a_reference_to_nothing_is_not_found(local, registry):
    for ref in ["nobody@1", "support/en@7", "support/en@stable", "support/en@latest", "support/en"]:
        for ask in (registry.version, registry.read, registry.open, registry.lineage):
            with pytest.raises(NotFound):
                ask(ref)


def test_bytes_come_back_whole_and_in_pieces(local, registry, tmp_path):
    data = adapter_blob({"fc": (700, 64, 800)}, fill=7)
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(data)
    local.publish("support/en", path)
    local.publish("support/en", io.BytesIO(data))
    local.publish("support/en", memoryview(data))
    for number in range(3):
        assert registry.read(f"support/en@{number}") == data
        with registry.open(f"support/en@{number}") as stream:
            assert stream.read(1000) + stream.read() == data
    assert len(registry.by_digest(hashlib.sha256(data).hexdigest())) == 3


def test_by_digest_lists_oldest_first_and_nothing_for_unknown_bytes(local, registry):
    for fill in (1, 2, 1):
        local.publish("support/en", adapter_blob(fill=fill))
    digest = hashlib.sha256(adapter_blob(fill=1)).hexdigest()
    assert [version.number for version in registry.by_digest(digest)] == [0, 2]
    assert registry.by_digest("0" * 64) == []
    with pytest.raises(InvalidValue, match="64"):
        registry.by_digest("xyz")


def test_publishing_again_under_the_same_key_returns_the_first(local):
    first = local.publish("support/en", adapter_blob(), idempotency_key="k", tags={"a": "1"})
    again = local.publish("support/en", adapter_blob(), idempotency_key="k", tags={"a": "2"})
    assert again == first
    assert local.publish("support/en", adapter_blob()).number == 1
    with pytest.raises(Conflict, match="'k'"):
        local.publish("support/en", adapter_blob(fill=1), idempotency_key="k")
    assert local.adapter("support/en").head == 1


def test_parents_must_exist_and_are_kept_in_order(local, registry):
    for fill in range(2):
        local.publish("support/en", adapter_blob(fill=fill))
    parents = [
        Parent(adapter="support/en", number=1, weight=0.25, role="merge"),
        Parent(adapter="support/en", number=0, weight=0.75, role="merge"),
    ]
    local.publish("support/en", adapter_blob(fill=2), parents=parents, origin="merge")
    assert registry.version("support/en").parents == tuple(parents)
    with pytest.raises(NotFound, match="support/en@9"):
        local.publish(
            "support/en", adapter_blob(), parents=[Parent(adapter="support/en", number=9)]
        )
    assert registry.adapter("support/en").head == 2


def test_a_parent_may_be_given_as_a_reference(local, registry):
    first = local.publish("support/en", adapter_blob())
    local.publish("support/en", adapter_blob(fill=1), parents=[first.ref])
    assert registry.version("support/en").parents == (Parent(adapter="support/en", number=0),)
    with pytest.raises(RefError):
        local.publish("support/en", adapter_blob(), parents=["support/en@"])


def test_bad_bytes_make_no_version(local, registry):
    with pytest.raises(InvalidBlob):
        local.publish("support/en", b"\x80\x04K\x01.")
    with pytest.raises(InvalidBlob):
        local.publish("support/en", adapter_blob()[:-1])
    assert registry.adapter("support/en").head is None
    assert local.publish("support/en", adapter_blob()).number == 0


def test_a_profile_of_other_bytes_is_refused(local, registry):
    wrong = profile_for({"fc": (4, 3, 3)})
    with pytest.raises(ProfileMismatch) as caught:
        local.publish("support/en", adapter_blob(), profile=wrong)
    assert caught.value.field == "fc: rank"
    assert (caught.value.profile, caught.value.header) == ("3", "2")
    assert registry.adapter("support/en").head is None


def test_metrics_are_finite_numbers(local):
    for value in [float("nan"), float("inf"), "0.5", True, None]:
        with pytest.raises(InvalidValue, match="loss"):
            local.publish("support/en", adapter_blob(), metrics={"loss": value})


def test_versions_are_paged_newest_first_and_each_is_seen_once(local, registry):
    for fill in range(7):
        local.publish("support/en", adapter_blob(fill=fill), profile=profile_for({"fc": (4, 2, 3)}))
    seen, token = [], None
    while True:
        page = registry.versions("support/en", limit=3, page_token=token)
        seen += page.items
        local.publish("support/en", adapter_blob(fill=99))  # does not disturb later pages
        token = page.next_page_token
        if token is None:
            break
    assert [version.number for version in seen] == [6, 5, 4, 3, 2, 1, 0]
    assert all(version.profile is None for version in seen)


def test_a_full_last_page_has_no_next(local, registry):
    for fill in range(4):
        local.publish("support/en", adapter_blob(fill=fill))
    token = registry.versions("support/en", limit=2).next_page_token
    assert registry.versions("support/en", limit=2, page_token=token).next_page_token is None


def test_a_limit_is_from_1_to_1000(local, registry):
    for limit in [0, -1, 1001]:
        with pytest.raises(InvalidValue, match="limit"):
            registry.versions("support/en", limit=limit)


def test_a_token_of_another_list_is_refused(local, registry):
    for fill in range(3):
        local.publish("support/en", adapter_blob(fill=fill))
    token = registry.versions("support/en", limit=1).next_page_token
    for bad in (token, "", "x", "W10=", "WzEsMl0=", "é"):
        with pytest.raises(PageTokenError):
            registry.search(limit=1, page_token=bad)


def test_a_retired_version_is_skipped_by_latest_and_search_but_stays_readable(local, registry):
    for fill in range(3):
        local.publish("support/en", adapter_blob(fill=fill))
    assert local.retire("support/en@2", reason="bad").retired
    assert local.retire("support/en@2") == registry.version("support/en@2")
    assert registry.version("support/en").number == 1
    assert [version.number for version in registry.search().items] == [1, 0]
    assert [version.number for version in registry.versions("support/en").items] == [2, 1, 0]
    assert registry.read("support/en@2") == adapter_blob(fill=2)
    assert local.publish("support/en", adapter_blob()).number == 3
