"""Opening a local database and its blobs."""

from __future__ import annotations

from pathlib import Path

from ._blobs import Blobs, FolderBlobs, MemoryBlobs
from ._database import Database
from ._engine import open_engine
from ._errors import UrlError
from ._ledger import Ledger
from ._migrate import migrate
from ._route_records import Router
from ._sql_ledger import SqlLedger


def open_sql_ledger(
    url: str, *, blobs: str | Path | None = None, router: Router | None = None
) -> Ledger:
    """Open, and create or migrate, a local database; see open_ledger."""
    backend, engine = open_engine(url)
    database = Database(engine, backend)
    try:
        if blobs is not None:
            store: Blobs = FolderBlobs(Path(blobs))
        elif backend == "memory":
            store = MemoryBlobs()
        elif backend == "sqlite":
            store = FolderBlobs(Path(engine.url.database or "").parent / "blobs")
        else:
            raise UrlError(database.url, "say where the blobs are: connect(url, blobs=FOLDER)")
        with database.translated():
            migrate(engine, database.url)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database, store, router)
