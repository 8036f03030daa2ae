"""The routing tables that reach this node with evaluations, kept so that it can route offline.

One file for each family of adapters, `routes/<family>.json`: the family's name, the adapter that
this node uses, and what the coordinator sent (see `polyrank.aggregation.RouteTable`); no table
where the family has one adapter only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import structlog

from ._durable import write_durably
from ._errors import RouteUnavailable, StateError
from ._protocol import TaskEnvelope

MAX_TABLE_BYTES = 1 << 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KnownFamily:
    """What a node knows of one family.

    Attributes:
        family: its root.
        own: the adapter that this node trains and serves.
        table: the routing table as JSON values; None: see `is_alone`.
        is_alone: the family has one adapter, so there is nothing to choose.
        place: of the model, where the table's features come from; "": not known.
        own_place: where this node's own come from.
    """

    family: str
    own: str
    table: Mapping[str, Any] | None
    is_alone: bool
    place: str = ""
    own_place: str = ""


class Routes:
    """Keeps the newest routing table of each family.

    Args:
        folder: where; None keeps them in memory alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[str, dict[str, Any]] = {}

    def keep(self, task: TaskEnvelope, routes: object, *, place: str = "") -> None:
        """Keep what a task says; what cannot be read is left out, for it is no part of the task.

        `place` is where this node's own features come from (see `place_of`).

        Raises:
            StateError: the file cannot be written.
        """
        values: Mapping[str, Any] = {}
        if isinstance(routes, Mapping):
            values = cast("Mapping[str, Any]", routes)
        family = values.get("family")
        if not isinstance(family, str) or not 0 < len(family) <= 200:
            _log.warning("routes_unreadable", adapter=task.adapter)
            return
        kept: dict[str, Any] = {
            "family": family,
            "own": task.adapter,
            "alone": "table" not in values,
            "table": values.get("table"),
            "place": str(values.get("place", "")),
            "own_place": place,
        }
        data = json.dumps(kept).encode()
        if len(data) > MAX_TABLE_BYTES:
            _log.warning("routes_too_large", adapter=task.adapter, size_bytes=len(data))
            return
        if self._kept.get(family) == kept:
            return
        if self._folder is not None:
            self._write(family, data)
        self._kept[family] = kept

    def _write(self, family: str, data: bytes) -> None:
        assert self._folder is not None
        path = self._folder / f"{quote(family, safe='')}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(path, [data])
        except OSError as error:
            raise StateError(
                f"routing table {path} cannot be written: {error.strerror}", path=self._folder
            ) from error

    def find(self, adapter: str | None = None) -> KnownFamily:
        """Return the family of an adapter; None: the only one.

        Raises:
            RouteUnavailable: none has arrived yet, it is not known, or there are several.
        """
        found = {one.family: one for one in self._all()}
        where = self._folder or Path("memory")
        if not found:
            raise RouteUnavailable(
                "no routing table has reached this node yet: let it take part in a round of a "
                "family with continual adaptation first",
                path=where,
            )
        if adapter is None:
            if len(found) > 1:
                names = ", ".join(sorted(found))
                raise RouteUnavailable(f"say which adapter: this node knows {names}", path=where)
            return next(iter(found.values()))
        fitting = [
            one
            for one in found.values()
            if adapter in (one.family, one.own) or adapter in ((one.table or {}).get("entries", ()))
        ]
        if not fitting:
            names = ", ".join(sorted(found))
            raise RouteUnavailable(f"this node knows {names}, and not {adapter}", path=where)
        return fitting[0]

    def _all(self) -> list[KnownFamily]:
        if self._folder is None:
            return [_known(values) for values in self._kept.values()]
        found: list[KnownFamily] = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(_known(json.loads(path.read_bytes())))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                _log.warning("routes_unreadable", path=str(path))  # the next evaluation mends it
        return found


def _known(values: Mapping[str, Any]) -> KnownFamily:
    table = values["table"]
    if table is not None and not isinstance(table, Mapping):
        raise TypeError("a table is an object")
    return KnownFamily(
        family=str(values["family"]),
        own=str(values["own"]),
        table=cast("Mapping[str, Any] | None", table),
        is_alone=bool(values["alone"]),
        place=str(values.get("place", "")),
        own_place=str(values.get("own_place", "")),
    )
