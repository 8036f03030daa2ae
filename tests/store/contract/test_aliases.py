"""Moving names, forward and back."""

import pytest
from polyrank.store import ANY, Conflict, InvalidValue, NotFound
from store_blobs import adapter_blob


@pytest.fixture
def five(local):
    for fill in range(5):
        local.publish("support/en", adapter_blob(fill=fill))
    return local


def test_an_alias_names_a_version_with_a_reason(five, registry):
    made = registry.set_alias("support/en", "stable", 3, reason="best loss")
    assert (made.adapter, made.alias, made.number, made.reason) == (
        "support/en",
        "stable",
        3,
        "best loss",
    )
    assert registry.aliases("support/en") == [made]
    assert registry.version("support/en@stable").number == 3


def test_a_change_happens_only_from_the_expected_state(five, registry):
    with pytest.raises(Conflict, match="version 1, found no such alias"):
        registry.set_alias("support/en", "stable", 2, expect=1)
    registry.set_alias("support/en", "stable", 1, expect=None)
    with pytest.raises(Conflict, match="no such alias, found version 1"):
        registry.set_alias("support/en", "stable", 2, expect=None)
    with pytest.raises(Conflict):
        registry.set_alias("support/en", "stable", 2, expect=0)
    assert registry.version("support/en@stable").number == 1
    registry.set_alias("support/en", "stable", 2, expect=1)
    registry.set_alias("support/en", "stable", 3, expect=ANY)
    assert registry.version("support/en@stable").number == 3
    assert len(registry.alias_history("support/en", "stable")) == 3


def test_expect_zero_is_a_number_and_not_nothing(five, registry):
    registry.set_alias("support/en", "stable", 0)
    assert registry.set_alias("support/en", "stable", 1, expect=0).number == 1


def test_naming_what_it_names_already_writes_nothing(five, registry):
    first = registry.set_alias("support/en", "stable", 3, reason="a")
    events = len(registry.events())
    assert registry.set_alias("support/en", "stable", 3, reason="b") == first
    assert len(registry.events()) == events
    assert len(registry.alias_history("support/en", "stable")) == 1


def test_history_tells_every_change_in_order(five, registry):
    registry.set_alias("support/en", "stable", 1)
    registry.set_alias("support/en", "candidate", 2)
    registry.set_alias("support/en", "stable", 4, reason="up")
    registry.rollback("support/en", "stable", reason="down")
    history = registry.alias_history("support/en", "stable")
    assert [(c.kind, c.previous, c.number, c.reason) for c in history] == [
        ("set", None, 1, ""),
        ("set", 1, 4, "up"),
        ("rollback", 4, 1, "down"),
    ]
    sequences = [change.sequence for change in history]
    assert sequences == sorted(sequences)
    assert registry.aliases("support/en")[1].number == 1


def test_rolling_back_twice_goes_back_twice(five, registry):
    for number in (0, 1, 2):
        registry.set_alias("support/en", "stable", number)
    assert registry.rollback("support/en", "stable").number == 1
    assert registry.rollback("support/en", "stable").number == 0
    with pytest.raises(Conflict, match="nothing to go back to"):
        registry.rollback("support/en", "stable")


def test_a_promotion_after_a_rollback_is_undone_to_where_it_came_from(five, registry):
    for number in (0, 1, 2):
        registry.set_alias("support/en", "stable", number)
    registry.rollback("support/en", "stable")
    registry.set_alias("support/en", "stable", 4)
    assert registry.rollback("support/en", "stable").number == 1
    assert registry.rollback("support/en", "stable").number == 0


def test_a_rollback_skips_retired_versions(five, registry):
    for number in (0, 1, 2):
        registry.set_alias("support/en", "stable", number)
    five.retire("support/en@1")
    assert registry.rollback("support/en", "stable").number == 0


def test_a_version_that_an_alias_names_is_not_retired(five, registry):
    registry.set_alias("support/en", "stable", 1)
    with pytest.raises(Conflict, match="stable"):
        five.retire("support/en@1")
    five.retire("support/en@2")
    with pytest.raises(Conflict, match="retired"):
        registry.set_alias("support/en", "stable", 2)


def test_an_alias_that_could_be_mistaken_is_refused(five, registry):
    for alias in ["latest", "7", "Stable", "", "a b", "a/b", "x" * 65, "pin-3"]:
        with pytest.raises(InvalidValue, match="alias"):
            registry.set_alias("support/en", alias, 1)


def test_unknown_versions_and_aliases_are_not_found(five, registry):
    with pytest.raises(NotFound, match="support/en@9"):
        registry.set_alias("support/en", "stable", 9)
    with pytest.raises(NotFound):
        registry.rollback("support/en", "stable")
    with pytest.raises(NotFound):
        registry.alias_history("support/en", "stable")
    assert registry.aliases("support/en") == []
