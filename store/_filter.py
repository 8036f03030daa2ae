"""The search filter: conditions joined by "and". A later issue grows it into a language.

filter    = "" | condition {"and" condition}
condition = field operator value
field     = adapter | base_model | origin | digest | tag.KEY          (= != and a "string")
          | number | rank | round | size_bytes | metric.NAME          (= != < <= > >= , number)
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_

from ._errors import FilterError
from ._tables import AdapterRow, BaseModelRow, MetricRow, TagRow, VersionRow

MAX_FILTER_CHARACTERS = 4096
MAX_CONDITIONS = 32
SUPPORTED = (
    'supported are conditions joined by "and", such as: adapter = "support/en" and tag.k = "v" '
    "and metric.loss <= 0.5; text fields adapter, base_model, origin, digest, tag.KEY take = and "
    "!= ; number fields number, rank, round, size_bytes, metric.NAME take = != < <= > >="
)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(
    r"""\s*(?P<field>[a-z_]+)(?:\.(?P<key>[^\s=!<>"]+))?
        \s*(?P<operator><=|>=|!=|=|<|>)
        \s*(?P<value>"(?:[^"\\]|\\.)*"|[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
        \s*(?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)
_TEXT: dict[str, Any] = {
    "adapter": AdapterRow.name,
    "base_model": BaseModelRow.name,
    "origin": VersionRow.origin,
    "digest": VersionRow.digest,
}
_NUMBERS: dict[str, Any] = {
    "number": VersionRow.number,
    "rank": VersionRow.rank,
    "round": VersionRow.round,
    "size_bytes": VersionRow.size_bytes,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `key` is what follows the dot, `value` text or a number."""

    field: str
    key: str | None
    operator: str
    value: str | float


def parse_filter(filter: str) -> list[Condition]:
    """Read a filter; raise FilterError, which says where it went wrong and what is supported."""
    if len(filter) > MAX_FILTER_CHARACTERS:
        raise FilterError(filter[:80], f"longer than {MAX_FILTER_CHARACTERS} characters")
    conditions: list[Condition] = []
    rest = filter.strip()
    while rest:
        position = len(filter.rstrip()) - len(rest)
        match = _CONDITION.fullmatch(rest)
        if match is None or len(conditions) == MAX_CONDITIONS:
            raise FilterError(filter, SUPPORTED, position)
        conditions.append(_condition(filter, position, match))
        rest = match["rest"]
        if rest:
            joined = re.match(r"(?i:and)\s+(?=\S)", rest)
            if joined is None:
                raise FilterError(filter, SUPPORTED, len(filter.rstrip()) - len(rest))
            rest = rest[joined.end() :]
    return conditions


def _condition(filter: str, position: int, match: re.Match[str]) -> Condition:
    field, key, symbol, raw = match["field"], match["key"], match["operator"], match["value"]
    textual = field in _TEXT or field == "tag"
    if not textual and field not in _NUMBERS and field != "metric":
        raise FilterError(filter, f"no field {field!r}; {SUPPORTED}", position)
    if (key is not None) != (field in ("tag", "metric")):
        raise FilterError(filter, f"{field}: only tag and metric take a .name", position)
    if textual != raw.startswith('"') or (textual and symbol not in ("=", "!=")):
        raise FilterError(filter, f"{field} {symbol} {raw[:40]}: {SUPPORTED}", position)
    try:
        value: str | float = json.loads(raw) if textual else float(raw)
    except ValueError:
        raise FilterError(filter, f"{raw[:40]} is no JSON string", position) from None
    return Condition(field, key, symbol, value)


def to_sql(condition: Condition) -> ColumnElement[bool]:
    """Translate one condition."""
    compare = _OPERATORS[condition.operator]
    if condition.field == "tag":
        return VersionRow.tags.any(
            and_(TagRow.key == condition.key, compare(TagRow.value, condition.value))
        )
    if condition.field == "metric":
        return VersionRow.published_metrics.any(
            and_(MetricRow.name == condition.key, compare(MetricRow.value, condition.value))
        )
    column = _TEXT.get(condition.field, _NUMBERS.get(condition.field))
    return compare(column, condition.value)
