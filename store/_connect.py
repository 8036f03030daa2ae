"""From an address to a registry or a ledger."""

from __future__ import annotations

from pathlib import Path

from ._errors import UrlError
from ._ledger import Ledger
from ._registry import Registry
from ._route_records import Router

_REMOTE = ("grpc://", "grpcs://")


def connect(
    url: str,
    *,
    blobs: str | Path | None = None,
    token: str | None = None,
    router: Router | None = None,
) -> Registry:
    """Open a registry.

    `url` is sqlite:///PATH (four slashes for an absolute path), memory://,
    postgresql+psycopg://... or grpc://HOST:PORT (grpcs:// with TLS). `blobs` is the folder of
    the blobs, by default "blobs" beside an SQLite file; a PostgreSQL registry must name one.
    `token` is for a remote registry. `router` is the mathematics of Registry.route for a local one
    (polyrank.coordinator.router); a remote one has its server's. A missing database is created;
    an older schema is migrated.

    Raises UrlError, SchemaTooNew, StorageFailure, Unavailable.
    """
    if url.startswith(_REMOTE):
        from ._grpc_client import connect_remote

        return connect_remote(url, token=token)
    if token is not None:
        raise UrlError(url, "a token is for grpc:// and grpcs:// alone; leave it out")
    return open_ledger(url, blobs=blobs, router=router).registry


def open_ledger(
    url: str, *, blobs: str | Path | None = None, router: Router | None = None
) -> Ledger:
    """Open the coordinator's ledger on a local database; arguments as connect() takes them.

    Raises UrlError for a remote address too: a ledger is local.
    """
    if url.startswith(_REMOTE):
        raise UrlError(url, "a ledger is local: give sqlite:///PATH, postgresql+... or memory://")
    from ._sql import open_sql_ledger

    return open_sql_ledger(url, blobs=blobs, router=router)
