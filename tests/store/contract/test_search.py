"""Searching over all adapters."""

import pytest
from polyrank.store import FilterError
from store_blobs import adapter_blob


@pytest.fixture
def library(local):
    local.create_adapter("support/de", base_model="base")
    local.register_base_model("big", fingerprint="b" * 64)
    local.create_adapter("code", base_model="big")
    for position, (name, rank) in enumerate(
        [("support/en", 2), ("support/de", 4), ("code", 8), ("support/en", 4)]
    ):
        local.publish(
            name,
            adapter_blob({"fc": (16, rank, 16)}, fill=position),
            origin="import" if position else "initial",
            metrics={"loss": 1.0 - position / 10} if position != 2 else {},
            tags={"lang": name[-2:], 'q"uote': 'a "b" \\'},
        )
    return local


def refs(page):
    return [version.ref for version in page.items]


ALL = ["support/en@1", "code@0", "support/de@0", "support/en@0"]


CHOICES = [
    ("", ALL),
    ("  ", ALL),
    ('adapter = "support/en"', ["support/en@1", "support/en@0"]),
    ('adapter != "support/en"', ["code@0", "support/de@0"]),
    ('base_model="big"', ["code@0"]),
    ('origin = "initial"', ["support/en@0"]),
    ('tag.lang = "en" and rank>=4', ["support/en@1"]),
    ('tag.lang != "en"', ["code@0", "support/de@0"]),
    ('tag.nothing != "en"', []),
    ("metric.loss < 0.95", ["support/en@1", "support/de@0"]),
    ("metric.loss <= 7e-1 AND metric.loss > -1", ["support/en@1"]),
    ("metric.loss != 1", ["support/en@1", "support/de@0"]),
    ("number = 1", ["support/en@1"]),
    ("round = 1", []),
    ("size_bytes > 1 and rank = 8", ["code@0"]),
    ('adapter = "and"', []),
    ('tag.lang = "en" and rank = 2 and number = 0', ["support/en@0"]),
]
MISTAKES = [
    ("adapter", 0),
    ('adapter = "a" or adapter = "b"', 14),
    ('adapter = "a" and', 14),
    ("adapter = support", 0),
    ("adapter = 3", 0),
    ('adapter < "a"', 0),
    ('rank = "3"', 0),
    ('rank = 3 and nonsense = "x"', 13),
    ('tag = "x"', 0),
    ('adapter.name = "x"', 0),
    ('(adapter = "x")', 0),
    ('adapter = "x"; DROP TABLE versions', 13),
    ("adapter = 'x'", 0),
    ('adapter = "\\x"', 0),
    ("rank = 1" + " and rank = 1" * 40, 416),
    ("x" * 5000, 0),
    ('tag.q"uote = "x"', 0),
]


def test_filters_choose_versions(library, registry):
    for filter, expected in CHOICES:
        assert refs(registry.search(filter)) == expected, filter


def test_what_is_not_supported_is_said_with_its_place(library, registry):
    for filter, position in MISTAKES:
        with pytest.raises(FilterError) as caught:
            registry.search(filter)
        assert caught.value.position == position, filter
        assert f"character {position}" in str(caught.value)


def test_an_unsupported_filter_says_what_is_supported(registry):
    with pytest.raises(FilterError, match=r"supported are.*metric\.NAME"):
        registry.search("created > 3")


def test_order_can_be_turned_round(library, registry):
    assert refs(registry.search(order_by="created")) == ALL[::-1]
    with pytest.raises(FilterError, match="order_by"):
        registry.search(order_by="loss")


@pytest.mark.parametrize("order_by", ["created", "-created"])
def test_pages_are_cut_without_gaps_or_repeats(library, registry, order_by):
    seen, token = [], None
    for _ in range(4):
        page = registry.search(order_by=order_by, limit=1, page_token=token)
        seen += refs(page)
        token = page.next_page_token
    assert token is None
    assert seen == refs(registry.search(order_by=order_by))


def test_text_in_a_filter_is_never_part_of_the_query(library, registry):
    assert refs(registry.search("""adapter = "x' OR '1'='1" """)) == []
    assert refs(registry.search('adapter = "%"')) == []
