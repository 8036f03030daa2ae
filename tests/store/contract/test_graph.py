"""Lineage and similarity."""

import pytest
from polyrank.store import InvalidValue, Parent
from store_blobs import adapter_blob, profile_for

MODULES = {"fc": (4, 2, 3)}


def publish(local, fill, parents=(), sketch=None, name="support/en"):
    profile = None if sketch is None else profile_for(MODULES, sketch=sketch)
    return local.publish(
        name,
        adapter_blob(MODULES, fill=fill),
        profile=profile,
        parents=[Parent(adapter=a, number=n, role="merge") for a, n in parents],
    )


def steps(found):
    return [(step.depth, step.version.ref) for step in found]


def test_lineage_is_breadth_first_and_names_each_version_once(local, registry):
    local.create_adapter("b", base_model="base")
    publish(local, 0)
    publish(local, 1, [("support/en", 0)])
    publish(local, 2, [("support/en", 0)], name="b")
    publish(local, 3, [("support/en", 1), ("b", 0)])
    assert steps(registry.lineage("support/en")) == [
        (0, "support/en@2"),
        (1, "support/en@1"),
        (1, "b@0"),
        (2, "support/en@0"),
    ]


def test_lineage_stops_at_a_depth(local, registry):
    for fill in range(4):
        publish(local, fill, [("support/en", fill - 1)] if fill else [])
    assert steps(registry.lineage("support/en", depth=0)) == [(0, "support/en@3")]
    assert steps(registry.lineage("support/en", depth=1))[-1] == (1, "support/en@2")
    with pytest.raises(InvalidValue, match="depth"):
        registry.lineage("support/en", depth=-1)


def test_similar_versions_come_the_most_alike_first(local, registry):
    local.register_base_model("other", fingerprint="e" * 64)
    local.create_adapter("elsewhere", base_model="other")
    publish(local, 0, sketch=[1.0, 0.0])
    publish(local, 1, sketch=[-2.0, 0.0])
    publish(local, 2, sketch=[3.0, 4.0])
    publish(local, 3)
    publish(local, 4, sketch=[0.0, 0.0])
    publish(local, 5, sketch=[1e200, 0.0])
    publish(local, 6, sketch=[1.0, 0.0, 0.0])
    publish(local, 7, sketch=[1.0, 0.0], name="elsewhere")
    found = registry.similar("support/en@0")
    assert [each.version.number for each in found] == [5, 2, 1]
    assert [each.cosine for each in found] == pytest.approx([1.0, 0.6, -1.0])
    assert [each.version.number for each in registry.similar("support/en@0", limit=1)] == [5]


def test_without_a_sketch_nothing_is_similar(local, registry):
    publish(local, 0)
    publish(local, 1, sketch=[1.0])
    assert registry.similar("support/en@0") == []
    publish(local, 2, sketch=[0.0])
    assert registry.similar("support/en@2") == []


def test_retired_versions_are_not_similar(local, registry):
    publish(local, 0, sketch=[1.0])
    publish(local, 1, sketch=[1.0])
    local.retire("support/en@1")
    assert registry.similar("support/en@0") == []
