"""Gates: what nodes say of a candidate against the stable version, and of the one before that.

Nodes compare by themselves while they evaluate: they have the stable version's bytes. Where too few
could, those with a window score it as a probe, so that a line never waits for ever.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ..aggregation import Paired
from ..client._protocol import TaskEnvelope
from ..store import (
    DomainEvidence,
    GateEvidence,
    NodeEvidence,
    Recall,
    RecallEvidence,
    TaskRecord,
    Version,
)
from ._actions import based
from ._context import Context
from ._families import Family
from ._line_table import Lines
from ._lines import Line
from ._observe import Window

MAX_DOMAINS = 32
DOMAIN = "domain"
"""The tag on a node's card that names its domain; nodes without it are domains by themselves."""
_MAX_NAME = 200

Question = tuple[Line, TaskEnvelope]
Answers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """What one node loses by a version: mean over its rows, standard error, rows."""

    loss: float
    error: float
    rows: int


class Gates:
    """Gathers comparisons of versions of one line."""

    def __init__(self, context: Context, lines: Lines) -> None:
        self._context = context
        self._lines = lines

    def questions(self, family: Family, number: int, windows: Sequence[Window]) -> list[Question]:
        """Return what to ask where fewer nodes than a quorum could compare by themselves."""
        asked: list[Question] = []
        for line, stable, own in self._candidates(family, windows):
            silent = [w for w in own if not _compared(line, stable, w)]
            enough = min(line.policy.quorum, len(own))
            if stable is None or stable.digest == _head(line).digest:
                continue
            if len(own) - len(silent) < enough:
                asked += [(line, self._ask(line, stable, w.identity, number)) for w in silent]
        return asked

    def evidence(
        self, family: Family, windows: Sequence[Window], changes: Mapping[str, Change]
    ) -> tuple[GateEvidence, ...]:
        """Return what is known of each candidate.

        Args:
            family: whose members are reviewed.
            windows: of this review.
            changes: what each node loses by its member's candidate.
        """
        return tuple(
            GateEvidence(
                adapter=line.name,
                candidate=_head(line).number,
                stable=None if stable is None else stable.number,
                held=family.members[line.name][1].held,
                **self._summed(
                    {w.identity: changes[w.identity] for w in own if w.identity in changes},
                    self._cohort(family, line, own),
                ),
            )
            for line, stable, own in self._candidates(family, windows)
        )

    def _cohort(self, family: Family, line: Line, windows: Sequence[Window]) -> set[str]:
        """Return who was asked about a candidate, of the nodes that are its member's.

        Their tasks went on record when it was made, so whoever drops out since is still counted.
        """
        head = _head(line)
        tasks = self._context.ledger.tasks(line.name, round=head.round or 0)
        asked = {t.identity for t in tasks if (t.kind, t.start_digest) == ("evaluate", head.digest)}
        own = {identity for identity in asked if family.has(identity, line.name)}
        return own | {window.identity for window in windows}

    def changes(
        self, family: Family, number: int, windows: Sequence[Window], answers: Answers
    ) -> dict[str, Change]:
        """Return what each node loses by its member's candidate, by identity.

        Args:
            family: whose members are reviewed.
            number: of the review.
            windows: of this review.
            answers: payloads of its probes by task key.
        """
        return {
            identity: change
            for line, stable, own in self._candidates(family, windows)
            for identity, change in self._changes(line, stable, own, number, answers).items()
        }

    def _changes(
        self,
        line: Line,
        stable: Version | None,
        windows: Sequence[Window],
        number: int,
        answers: Answers,
    ) -> dict[str, Change]:
        found: dict[str, Change] = {}
        for window in windows:
            pair = _compared(line, stable, window)
            if pair is not None:
                found[window.identity] = _change(pair, -1)  # the gain of the candidate
            elif stable is not None:
                key = self._ask(line, stable, window.identity, number).task_key
                if (pair := _paired(answers, key)) is not None:
                    found[window.identity] = _change(pair, 1)  # the gain of the stable version
        return found

    def recall(
        self, number: int, question: Recall, windows: Iterable[Window]
    ) -> Iterator[Question]:
        """Return the tasks of a recall: for the nodes that it names, or for all of its member."""
        line = self._lines[question.adapter]
        version, against = line.previous, self._at(line, question.against)
        for window in windows:
            named = not question.nodes or window.identity in question.nodes
            if version is None or against is None or window.adapter != line.name or not named:
                continue
            if version.number == question.version:
                yield line, self._ask(line, version, window.identity, number, against)

    def recalled(
        self,
        family: Family,
        number: int,
        windows: Sequence[Window],
        tasks: Sequence[TaskRecord],
        answers: Answers,
    ) -> tuple[RecallEvidence, ...]:
        """Return what nodes answered about the versions that were stable before."""
        found: list[RecallEvidence] = []
        for line in (self._lines[name] for name in family.active):
            version = line.previous if family.gated else None
            if version is None or line.head is None:
                continue
            for against in (line.head, line.stable):
                made = self._recalled(line, number, windows, tasks, answers, version, against)
                if made is not None:
                    found.append(made)
                    break
        return tuple(found)

    def _recalled(
        self,
        line: Line,
        number: int,
        windows: Sequence[Window],
        tasks: Sequence[TaskRecord],
        answers: Answers,
        version: Version,
        against: Version | None,
    ) -> RecallEvidence | None:
        keys = {task.key for task in tasks if task.start_digest == version.digest}
        if against is None or not keys:
            return None
        live = self._context.nodes.live
        asked = {
            w.identity: key
            for w in windows
            if w.adapter == line.name
            and (key := self._ask(line, version, w.identity, number, against).task_key) in keys
        }
        if not asked:
            return None
        pairs = ((name, _paired(answers, key)) for name, key in asked.items())
        return RecallEvidence(
            adapter=line.name,
            version=version.number,
            against=against.number,
            everyone=all(
                w.identity in asked or w.identity not in live
                for w in windows
                if w.adapter == line.name
            ),
            **self._summed(
                {name: _change(pair, -1) for name, pair in pairs if pair is not None},
                {w.identity for w in windows if w.adapter == line.name},
            ),
        )

    def _candidates(
        self, family: Family, windows: Sequence[Window]
    ) -> Iterator[tuple[Line, Version | None, list[Window]]]:
        """Return the members whose newest version is a candidate, with its windows."""
        for line in (self._lines[name] for name in family.active if family.gated):
            head, stable = line.head, line.stable
            if head is None or family.is_reviewed(line.name, head.number):
                continue
            is_first = stable is None and head.round is None  # of a seed alone: nothing to serve
            if not is_first and (stable is None or stable.number != head.number):
                yield line, stable, [w for w in windows if w.adapter == line.name]

    def _ask(
        self,
        line: Line,
        version: Version,
        identity: str,
        number: int,
        against: Version | None = None,
    ) -> TaskEnvelope:
        return self._context.dispatch.recall(
            line,
            based(line),
            version,
            against or _head(line),
            identity=identity,
            round=number,
        )

    def _at(self, line: Line, number: int) -> Version | None:
        known = (line.head, line.stable)
        return next((v for v in known if v is not None and v.number == number), None)

    def _summed(self, changes: Mapping[str, Change], asked: Collection[str]) -> dict[str, Any]:
        """Return the fields of a comparison: over all nodes, and by domain."""
        groups: dict[str, list[Change]] = defaultdict(list)
        tags = self._tags({*changes, *asked})
        for identity in sorted(changes):
            groups[_domain(identity, tags[identity])].append(changes[identity])
        domains = [
            DomainEvidence(
                name=name,
                rows=sum(change.rows for change in own),
                identities=len(own),
                loss_change=_mean(own),
                standard_error=_error(own),
            )
            for name, own in sorted(groups.items())
        ]
        worst = sorted(domains, key=lambda d: (-d.loss_change / (d.standard_error or 1e-9), d.name))
        every = [changes[identity] for identity in sorted(changes)]
        return {
            "identities": len(every),
            "loss_change": _mean(every) if every else None,
            "standard_error": _error(every) if every else None,
            "compared": len(domains),
            "domains": tuple(worst[:MAX_DOMAINS]),
            "expected": len({_domain(identity, tags[identity]) for identity in tags}),
        }

    def _tags(self, identities: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return nodes' tags by their cards, now or on record: who has left counts alike."""
        live = self._context.nodes.live
        cards: dict[str, Mapping[str, Any]] = {
            i: live[i].card.tags for i in identities if i in live
        }
        gone = set(identities) - set(cards)
        if gone:
            nodes = {node.identity: node for node in self._context.ledger.registry.nodes()}
            cards |= {i: nodes[i].card.get("tags", {}) if i in nodes else {} for i in gone}
        return cards


def _domain(identity: str, tags: Mapping[str, Any]) -> str:
    """Return a node's domain; a name that cannot go on record is none."""
    name = str(tags.get(DOMAIN, ""))
    return name if name.isprintable() and 0 < len(name) <= _MAX_NAME else identity


def with_change(node: NodeEvidence, change: Change | None) -> NodeEvidence:
    """Return a node's evidence with what it loses by the candidate."""
    if change is None:
        return node
    return replace(node, gate_change=change.loss, gate_error=change.error)


def _head(line: Line) -> Version:
    assert line.head is not None, "only lines with a version are reviewed"
    return line.head


def _compared(line: Line, stable: Version | None, window: Window) -> Paired | None:
    """Return what a node said of the stable version, if that is still the one it was asked about.

    An operator may have moved the alias since the round was planned.
    """
    head = _head(line)
    if stable is None or head.round is None:
        return None
    gate = line.plan(head.round).gate_of(head.digest)
    return window.gate if gate is not None and gate["digest"] == stable.digest else None


def _paired(answers: Answers, key: str) -> Paired | None:
    payload = answers.get(key, {})
    return Paired(**payload["paired"]) if "paired" in payload else None


def _change(pair: Paired, sign: int) -> Change:
    return Change(sign * pair.mean, pair.standard_error, pair.count)


def _mean(changes: Sequence[Change]) -> float:
    return fmean(change.loss for change in changes)


def _error(changes: Sequence[Change]) -> float:
    return math.hypot(*(change.error for change in changes)) / len(changes)
