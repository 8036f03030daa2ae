"""Keyset pages: a token says where to go on, so page 1,000 costs what page 1 does."""

from __future__ import annotations

import base64
import hashlib
import json

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from . import _rows
from ._errors import FilterError, PageTokenError
from ._filter import parse_filter, to_sql
from ._find import WITH_PARTS, adapter_row
from ._json import dumps
from ._names import whole
from ._records import Page, Version
from ._tables import AdapterRow, BaseModelRow, VersionRow

MAX_LIMIT = 1000


def page_of_adapter(session: Session, name: str, limit: int, token: str | None) -> Page[Version]:
    """Return a page of an adapter's versions, newest first."""
    adapter = adapter_row(session, name)
    query = select(VersionRow).where(VersionRow.adapter_id == adapter.id)
    return _page(session, query, f"versions {name}", limit=limit, token=token, newest_first=True)


def page_of_search(
    session: Session, filter: str, order_by: str, limit: int, token: str | None
) -> Page[Version]:
    """Return a page of the versions that meet a filter."""
    if order_by not in ("created", "-created"):
        raise FilterError(filter, f'order_by {order_by!r}; supported are "created", "-created"')
    query = (
        select(VersionRow)
        .join(AdapterRow, VersionRow.adapter_id == AdapterRow.id)
        .join(BaseModelRow, AdapterRow.base_model_id == BaseModelRow.id)
        .where(VersionRow.retired_at.is_(None), *map(to_sql, parse_filter(filter)))
    )
    scope = f"search {order_by} {filter}"
    newest_first = order_by == "-created"
    return _page(session, query, scope, limit=limit, token=token, newest_first=newest_first)


def _page(
    session: Session,
    query: Select[VersionRow],
    scope: str,
    *,
    limit: int,
    token: str | None,
    newest_first: bool,
) -> Page[Version]:
    """Cut a page: keys are given in the order of creation, so they are the order."""
    whole("limit", limit, least=1, most=MAX_LIMIT)
    key = VersionRow.id
    if token is not None:
        last = _last(token, scope)
        query = query.where(key < last if newest_first else key > last)
    query = query.order_by(key.desc() if newest_first else key.asc()).limit(limit + 1)
    rows = list(session.scalars(query.options(*WITH_PARTS)))
    more = len(rows) > limit
    items = tuple(_rows.version(row) for row in rows[:limit])
    return Page(items=items, next_page_token=_token(scope, rows[limit - 1].id) if more else None)


def _mark(scope: str) -> str:
    return hashlib.sha256(scope.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _token(scope: str, last: int) -> str:
    return base64.urlsafe_b64encode(dumps([_mark(scope), last]).encode()).decode()


def _last(token: str, scope: str) -> int:
    """Return the last key of the page before; raise PageTokenError for a foreign token."""
    try:
        value: object = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise PageTokenError(token[:200]) from None
    match value:
        case [str(mark), int(last)] if mark == _mark(scope) and not isinstance(last, bool):
            return last
        case _:
            raise PageTokenError(token[:200])
