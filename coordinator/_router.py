"""The mathematics of `Registry.route`, which the registry itself does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..aggregation import AdapterError, RouteTable, Summary, SummarySpec, route
from ..store import Conflict, InvalidValue, Routing, RoutingTable
from ..store import RouteShare as Share
from ._references import MAX_ROUTED, table_of

if TYPE_CHECKING:
    from torch import Tensor


def router(table: RoutingTable, summary: Mapping[str, Any], own: str | None = None) -> Routing:
    """Route a batch by its summary among a family's members in service.

    For `polyrank.store.connect(url, router=router)`; a daemon's registry has it.

    Raises:
        InvalidValue (store): a summary of another spec or width, or an impossible one.
        Conflict (store): no review yet, or fewer than two members with a reference (of several).
    """
    return answer(table, _batch(table, summary), own)


def answer(table: RoutingTable, batch: Summary | Tensor, own: str | None = None) -> Routing:
    """Route a batch, given as a summary or as features (rows, width); see `router`."""
    active = [entry for entry in table.entries if entry.state == "active"]
    stable = {entry.adapter: entry.stable for entry in active}
    if len(active) == 1:
        (name,) = stable
        share = Share(adapter=name, share=1.0, distance=None)
        return Routing(
            family=table.family, adapter=name, stable=stable[name], is_clear=True, shares=(share,)
        )
    chosen = sorted(active, key=lambda entry: -entry.users)[:MAX_ROUTED]
    references = _references(table, {e.adapter: e.reference or None for e in chosen})
    try:
        found = route(batch, references, own=own)
    except AdapterError as error:
        raise InvalidValue("batch", str(error)) from error
    return Routing(
        family=table.family,
        adapter=found.adapter,
        stable=stable[found.adapter],
        is_clear=found.is_clear,
        shares=tuple(
            Share(adapter=name, share=share, distance=found.distances[name])
            for name, share in found.shares.items()
        ),
        ties=found.ties,
    )


def _batch(table: RoutingTable, summary: Mapping[str, Any]) -> Summary:
    if not table.spec:
        raise Conflict(f"family {table.family}", "one that nodes are asked by", "no spec yet")
    try:
        return Summary.from_json(dict(summary), SummarySpec.from_json(dict(table.spec)))
    except AdapterError as error:
        raise InvalidValue("summary", str(error)) from error


def _references(
    table: RoutingTable, references: Mapping[str, Mapping[str, Any] | None]
) -> RouteTable:
    try:
        return table_of(table.spec, references)
    except AdapterError as error:
        wanted = "two members in service with a reference"
        raise Conflict(f"family {table.family}", wanted, str(error)) from error
