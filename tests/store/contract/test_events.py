"""Events and watches."""

import threading
import time

import pytest
from polyrank.store import Closed, InvalidValue
from store_blobs import adapter_blob
from store_worlds import begin, whole_round


def test_events_are_numbered_from_one_without_gaps(local, registry):
    for fill in range(3):
        local.publish("support/en", adapter_blob(fill=fill))
    registry.set_alias("support/en", "stable", 1)
    events = registry.events()
    assert [event.number for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.kind for event in events][-2:] == ["version_published", "alias_set"]
    assert events[-1].payload == {"alias": "stable", "number": 1, "previous": None, "reason": ""}
    assert events[-1].subject == "support/en@stable"


def test_a_failed_write_leaves_no_gap(local, registry):
    for _ in range(3):
        with pytest.raises(Exception, match="nobody"):
            local.publish("nobody", adapter_blob())
    local.publish("support/en", adapter_blob())
    assert [event.number for event in registry.events()] == [1, 2, 3]


def test_events_are_read_on_from_a_number_and_for_one_adapter(local, registry):
    local.create_adapter("b", base_model="base")
    for fill in range(3):
        local.publish("support/en", adapter_blob(fill=fill))
    assert [event.number for event in registry.events(since=2, limit=2)] == [3, 4]
    assert [event.number for event in registry.events(adapter="b")] == [3]
    assert registry.events(since=99) == []
    for bad in ({"limit": 0}, {"limit": 1001}, {"since": -1}):
        with pytest.raises(InvalidValue):
            registry.events(**bad)


def test_a_whole_round_tells_its_story(pair, registry):
    epoch = begin(pair.ledger)
    whole_round(pair.ledger, epoch, 1, identities=("n1",), aliases=["stable"])
    assert [event.kind for event in registry.events(since=4)] == [
        "round_planned",
        "round_open",
        "contribution_accepted",
        "round_aggregating",
        "version_published",
        "alias_set",
        "round_committed",
    ]


def test_a_watch_gives_what_there_is_then_ends_after_the_timeout(local, registry):
    began = time.monotonic()
    with registry.watch(since=1, timeout_seconds=0.3) as watch:
        assert [event.number for event in watch] == [2]
    assert 0.25 < time.monotonic() - began < 5


def test_a_watch_gives_new_events_as_they_come(local, registry):
    with registry.watch(since=2, timeout_seconds=20) as watch:
        timer = threading.Timer(0.2, local.publish, ["support/en", adapter_blob()])
        timer.start()
        event = next(watch)
        timer.join()
    assert (event.number, event.kind) == (3, "version_published")
    assert registry.version(event.subject).number == 0


def test_a_watch_reads_on_past_one_batch(local, registry):
    for number in range(150):
        local.create_adapter(f"a{number}", base_model="base")
    with registry.watch(timeout_seconds=0.3) as watch:
        assert [event.number for event in watch] == list(range(1, 153))


def test_closing_a_watch_from_another_thread_ends_it(local, registry):
    watch = registry.watch(since=2)
    timer = threading.Timer(0.2, watch.close)
    timer.start()
    assert list(watch) == []
    timer.join()
    assert list(watch) == []
    watch.close()


def test_a_closed_registry_refuses_every_call(local, registry):
    registry.close()
    registry.close()
    for ask in (registry.adapters, registry.events, registry.search, registry.info):
        with pytest.raises(Closed):
            ask()


def test_closing_the_registry_ends_its_watches(local, registry):
    watch = registry.watch(since=2)
    timer = threading.Timer(0.2, registry.close)
    timer.start()
    assert list(watch) == []
    timer.join()
