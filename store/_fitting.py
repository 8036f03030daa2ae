"""Which adapters fit a node: by base model, rank, memory and tags; the best of them first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from . import _rows
from ._errors import InvalidValue
from ._find import family_row
from ._names import whole
from ._records import Version
from ._route_records import Fit
from ._routing import STABLE
from ._tables import (
    AdapterRow,
    AliasRow,
    AssignmentRow,
    MemberRow,
    MetricRow,
    NodeRow,
    VersionRow,
)

MAX_FITS = 1000
MAX_RANK = 65_536
QUALITIES = (("balanced_accuracy", 1.0), ("accuracy", 1.0), ("loss", -1.0))
"""Metrics by which versions are compared, the first that was measured; a loss counts negative."""

_BYTES = {"F32": 4, "BF16": 2, "F16": 2}


@dataclass(frozen=True)
class Wanted:
    """What of a node's card decides what fits it; None and "" are no condition."""

    max_rank: int
    memory_bytes: int | None = None
    fingerprint: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, card: object) -> Wanted:
        """Read a node's card (or as much of it as is given); other fields are not looked at.

        Raises InvalidValue, naming the field.
        """
        if not isinstance(card, Mapping):
            raise InvalidValue("card", "an object is wanted, such as NodeRecord.card")
        known = cast("Mapping[str, Any]", card)
        memory = known.get("memory_bytes")
        fingerprint = known.get("fingerprint") or ""
        if not isinstance(fingerprint, str):
            raise InvalidValue("card.fingerprint", "a text is wanted")
        return cls(
            max_rank=whole("card.max_rank", known.get("max_rank", 0), least=1, most=MAX_RANK),
            memory_bytes=None if memory is None else whole("card.memory_bytes", memory, least=1),
            fingerprint=fingerprint,
            tags=_tags(known.get("tags")),
        )


def _tags(values: object) -> dict[str, str]:
    tags: Mapping[object, object] = {}
    if values is not None:
        if not isinstance(values, Mapping):
            raise InvalidValue("card.tags", "an object is wanted")
        tags = cast("Mapping[object, object]", values)
    if not all(isinstance(part, str) for pair in tags.items() for part in pair):
        raise InvalidValue("card.tags", "texts by text are wanted")
    return {str(key): str(value) for key, value in tags.items()}


def fitting(session: Session, card: object, family: str | None, limit: int) -> list[Fit]:
    """List what fits a card, the best first; see FamilyReads."""
    wanted = Wanted.of(card)
    whole("limit", limit, least=1, most=MAX_FITS)
    merged = _merged(session)
    lines = [
        line
        for line in _lines(session, family)
        if line.id not in merged and _is_candidate(line, wanted)
    ]
    users, cards = _users(session), _tags_of_nodes(session)
    found: list[Fit] = []
    for line in lines:
        row = _served(session, line)
        if row is None:
            continue
        version = _rows.version(row)
        part = part_of(version, wanted)
        if part is None:
            continue
        name, quality = _quality(session, row)
        nodes = users.get(line.id, [])
        tags = {**line.tags, **version.tags}
        fit = Fit(
            version=version,
            rank_served=part[0],
            size_bytes=part[1],
            tag_score=tag_score(wanted.tags, tags, [cards.get(node, {}) for node in nodes]),
            quality=quality,
            quality_name=name,
            users=len(nodes),
        )
        found.append(fit)
    return sorted(found, key=_order)[:limit]


def part_of(version: Version, wanted: Wanted) -> tuple[int, int] | None:
    """Return (rank, bytes) of the largest best part that a node can hold; None if none fits.

    A version in spectral order is cut to rank r by its first r columns (Eckart and Young), so one
    of higher rank fits with a part of itself, down to rank 1.
    """
    top = min(version.rank, wanted.max_rank)
    if wanted.memory_bytes is None or _size(version, top) <= wanted.memory_bytes:
        return top, _size(version, top)
    low, high = 0, top  # _size rises with the rank
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if _size(version, middle) <= wanted.memory_bytes else (low, middle - 1)
        )
    return (low, _size(version, low)) if low else None


def tag_score(
    wanted: Mapping[str, str], own: Mapping[str, Any], users: Iterable[Mapping[str, Any]]
) -> float:
    """Count the wanted tags that an adapter has, or that share of its users."""
    cards = list(users)
    score = 0.0
    for key, value in wanted.items():
        if own.get(key) == value:
            score += 1.0
        elif cards:
            score += sum(card.get(key) == value for card in cards) / len(cards)
    return score


def _size(version: Version, rank: int) -> int:
    """Estimate the bytes of a version's best part; all of it is as large as it is."""
    if rank >= version.rank:
        return version.size_bytes
    total = 0
    for module in version.modules:
        total += min(rank, module.rank) * sum(module.shape) * _BYTES.get(module.dtype, 4)
    for dense in version.dense:
        count = 1
        for size in dense.shape:
            count *= size
        total += count * _BYTES.get(dense.dtype, 4)
    return total


def _lines(session: Session, family: str | None) -> list[AdapterRow]:
    query = select(AdapterRow).where(AdapterRow.retired_at.is_(None)).order_by(AdapterRow.name)
    if family is not None:
        root = family_row(session, family)
        query = query.join(MemberRow, MemberRow.adapter_id == AdapterRow.id).where(
            MemberRow.family_id == root.adapter_id
        )
    return list(session.scalars(query))


def _merged(session: Session) -> set[int]:
    """Return the lines that were merged into others, which serve their nodes now."""
    query = select(MemberRow.adapter_id, MemberRow.payload).where(MemberRow.state == "archived")
    return {line for line, memory in session.execute(query) if memory.get("merged_into")}


def _is_candidate(line: AdapterRow, wanted: Wanted) -> bool:
    """Leave out other base models, lines without versions, and trial merges."""
    fingerprint = wanted.fingerprint
    return (
        line.head is not None
        and line.tags.get("role") != "trials"
        and (not fingerprint or line.base_model.fingerprint == fingerprint)
    )


def _served(session: Session, line: AdapterRow) -> VersionRow | None:
    alias = session.get(AliasRow, (line.id, STABLE))
    number = line.head if alias is None else alias.number
    return session.scalar(
        select(VersionRow).where(VersionRow.adapter_id == line.id, VersionRow.number == number)
    )


def _quality(session: Session, row: VersionRow) -> tuple[str, float | None]:
    query = (
        select(MetricRow.name, MetricRow.identity, MetricRow.value)
        .where(MetricRow.version_id == row.id, MetricRow.name.in_([n for n, _ in QUALITIES]))
        .order_by(MetricRow.id)
    )
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, identity, value in session.execute(query):
        found[name][identity] = value  # the newest of each node
    for name, sign in QUALITIES:
        if values := found.get(name):
            measured = {who: v for who, v in values.items() if who} or values
            return name, sign * sum(measured.values()) / len(measured)
    return "", None


def _users(session: Session) -> Mapping[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    query = select(AssignmentRow.adapter_id, AssignmentRow.identity)
    for adapter, identity in session.execute(query):
        found[adapter].append(identity)
    return found


def _tags_of_nodes(session: Session) -> Mapping[str, Mapping[str, Any]]:
    query = select(NodeRow.identity, NodeRow.card)
    return {identity: card.get("tags") or {} for identity, card in session.execute(query)}


def _order(fit: Fit) -> tuple[float, int, float, str]:
    """Tags first, then quality: of one metric, in the order of QUALITIES; unmeasured last."""
    names = [name for name, _ in QUALITIES]
    place = names.index(fit.quality_name) if fit.quality_name else len(names)
    return (-fit.tag_score, place, -(fit.quality or 0.0), fit.version.adapter)
