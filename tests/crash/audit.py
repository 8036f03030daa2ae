"""What must hold of the records after any crash: read from the database, the blobs and the nodes.

Nothing here trusts a log: the daemon's log only tells which answers came out of a node's cache.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass

from polyrank.store import ContributionRecord, Event, Ledger, Registry, TaskRecord, open_ledger

from .world import ROUNDS, World


@dataclass(frozen=True)
class Facts:
    """What one run of a federation left on record."""

    versions: dict[str, list[str]]  # digests by line, in order of their numbers
    accepted: int
    counted: int
    tasks: int
    begun: int
    finished: int
    repeated: int
    from_cache: int
    epochs: int
    events: int


def audit(world: World) -> Facts:
    """Check every promise and return what was found; an AssertionError names what is broken."""
    url = f"sqlite:///{world.data_dir}/registry.db"
    with open_ledger(url, blobs=world.data_dir / "blobs") as ledger:
        registry = ledger.registry
        events = all_events(registry)
        versions = {line: _versions(registry, line) for line in world.lines}
        contributions = [c for line in world.lines for c in _counted_once(ledger, line)]
        tasks = [t for line in world.lines for t in _tasks_answered(registry, line)]
        for line in world.lines:
            _rounds_committed(registry, line)
            _alias_moved_once_a_version(registry, line)
            _evaluated_once(registry, world, line)
        _events_gap_free(events)
        _accepted_once(events, contributions)
        assert len(registry.drivers()) == world.daemons_started, "each daemon took one epoch"
    finished = _no_training_repeated(world, tasks)
    accepted = world.events("reply_accepted")
    return Facts(
        versions=versions,
        accepted=len(contributions),
        counted=sum(c.counted_in is not None for c in contributions),
        tasks=len(tasks),
        begun=sum(len(world.diary(name, "began")) for name in world.members),
        finished=sum(finished.values()),
        repeated=sum(finished.values()) - len(finished),
        from_cache=sum(bool(event["from_cache"]) for event in accepted),
        epochs=world.daemons_started,
        events=len(events),
    )


def snapshot(world: World) -> tuple[str, list[str], int]:
    """Return all that a daemon could change: the whole database, the blobs, the SuperLink."""
    path = world.data_dir / "registry.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        dump = "\n".join(database.iterdump())
    blobs = sorted(str(p) for p in (world.data_dir / "blobs").rglob("*") if p.is_file())
    return dump, blobs, world.superlink_pid()


def all_events(registry: Registry) -> list[Event]:
    found: list[Event] = []
    while page := registry.events(since=found[-1].number if found else 0, limit=1000):
        found += page
    return found


def _versions(registry: Registry, line: str) -> list[str]:
    """As many versions as an undisturbed run makes, each readable and with the right digest."""
    versions = sorted(registry.versions(line, limit=1000).items, key=lambda v: v.number)
    assert [v.number for v in versions] == list(range(ROUNDS + 1)), f"versions of {line}"
    for version in versions:
        data = registry.read(version.ref)
        assert hashlib.sha256(data).hexdigest() == version.digest, f"bytes of {version.ref}"
        assert len(data) == version.size_bytes
        starts = [(p.adapter, p.number) for p in version.parents if p.role == "start"]
        assert starts == ([(line, version.number - 1)] if version.number else [])
    assert registry.adapter(line).head == ROUNDS
    return [v.digest for v in versions]


def _rounds_committed(registry: Registry, line: str) -> None:
    """Every round was committed, none abandoned: each needs all its nodes and waits for them."""
    rounds = [(r.number, r.state, r.version, r.start_number) for r in registry.rounds(line)]
    assert rounds == [(n, "committed", n, n - 1) for n in range(1, ROUNDS + 1)]


def _counted_once(ledger: Ledger, line: str) -> list[ContributionRecord]:
    """Each accepted contribution is in the one version of its round; the version agrees."""
    found = ledger.contributions(line)
    assert not [c for c in found if c.status != "accepted"], "no good update was rejected"
    assert len({c.task_key for c in found}) == len(found)
    for number in range(1, ROUNDS + 1):
        own = [c for c in found if c.counted_in == number]
        assert len({c.identity for c in own}) == len(own) == 2, f"two nodes in {line}@{number}"
        assert {c.round for c in own} == {number}, "counted in the version of its own round"
        metrics = {
            m.name: m.value for m in ledger.registry.metrics(f"{line}@{number}") if not m.identity
        }
        assert metrics["contributions"] == len(own), "the aggregate itself added this many"
        assert metrics["num_examples"] == sum(c.num_examples for c in own)
    for contribution in found:
        data = ledger.read_blob(contribution.digest)
        assert hashlib.sha256(data).hexdigest() == contribution.digest
    return found


def _tasks_answered(registry: Registry, line: str) -> list[TaskRecord]:
    """Return the train tasks; no task of any kind is open, expired or rejected."""
    tasks = registry.tasks(line)
    assert {t.state for t in tasks} == {"done"}, "every task was answered"
    return [t for t in tasks if t.kind == "train"]


def _alias_moved_once_a_version(registry: Registry, line: str) -> None:
    history = registry.alias_history(line, "stable")
    assert [change.number for change in history] == list(range(1, ROUNDS + 1))


def _evaluated_once(registry: Registry, world: World, line: str) -> None:
    identities = {m.key.identity for m in world.lines[line]}
    for number in range(ROUNDS + 1):
        measured = Counter(
            (m.identity, m.name) for m in registry.metrics(f"{line}@{number}") if m.identity
        )
        assert {identity for identity, _ in measured} == identities
        assert set(measured.values()) == {1}, "a repeated evaluation adds nothing"


def _events_gap_free(events: list[Event]) -> None:
    assert [e.number for e in events] == list(range(1, len(events) + 1)), "events without a gap"


def _accepted_once(events: list[Event], contributions: list[ContributionRecord]) -> None:
    """The append-only events tell of each acceptance and of each commit once."""
    told = Counter(e.subject for e in events if e.kind == "contribution_accepted")
    assert told == Counter(c.task_key for c in contributions)
    commits = Counter(e.subject for e in events if e.kind == "round_committed")
    assert set(commits.values()) == {1}


def _no_training_repeated(world: World, tasks: list[TaskRecord]) -> Counter[tuple[str, str, int]]:
    """The trainers' own diaries, the nodes' counts and the tasks agree: each finished once."""
    asked = Counter((t.identity, t.adapter, t.round) for t in tasks)
    finished = Counter(
        (world.members[name].key.identity, str(e["adapter"]), int(str(e["round"])))
        for name in world.members
        for e in world.diary(name, "finished")
    )
    assert finished == asked, "each task was trained for once, and nothing else was"
    for name in world.members:
        assert world.count(name) == len(world.diary(name, "finished")), f"count of {name}"
    return finished
