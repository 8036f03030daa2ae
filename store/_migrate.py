"""Bringing a database to the schema that this polyrank knows."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from ._engine import for_reading, for_writing, lock_for_migration
from ._errors import SchemaTooNew
from ._tables import Base

VERSION_TABLE = "polyrank_alembic_version"
HEAD = "0003"
FOLDER = Path(__file__).parent / "migrations"


def revision(connection: Connection) -> str | None:
    """Return the database's schema revision, None when it has no polyrank tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))


def migrate(engine: Engine, url: str) -> None:
    """Create or upgrade the schema, once, also when several processes open it first at once.

    A database that is up to date costs one query: Alembic is not even imported. Everything is one
    transaction, so a crash leaves the old schema. Raises SchemaTooNew.
    """
    with engine.connect() as connection, for_reading(connection).begin():
        if revision(connection) == HEAD:
            return
    with engine.connect() as connection, for_writing(connection).begin():
        lock_for_migration(connection)
        found = revision(connection)
        if found != HEAD:
            _upgrade(connection, found, url)


def _upgrade(connection: Connection, found: str | None, url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # Alembic reads "%" in options as interpolation, so a folder's own must be doubled.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaTooNew(url, found, HEAD)
    config.attributes.update(
        connection=connection, metadata=Base.metadata, version_table=VERSION_TABLE
    )
    command.upgrade(config, "head")
