"""Looking at a database's schema without touching it: connect() would migrate it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from ._errors import StorageFailure
from ._migrate import FOLDER, HEAD, revision


@dataclass(frozen=True)
class SchemaState:
    """The revision `found` in a database (None: no registry), the newest, and all `known` here."""

    found: str | None
    newest: str
    known: frozenset[str]


def schema_of(path: Path) -> SchemaState:
    """Read the schema revision of an SQLite file, read-only.

    Raises StorageFailure if the file cannot be read or is no database.
    """
    known = frozenset(script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions())
    engine = create_engine(f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            found = revision(connection)
    except SQLAlchemyError as error:
        raise StorageFailure(str(path), str(error.__cause__ or error)) from error
    finally:
        engine.dispose()
    return SchemaState(found=found, newest=HEAD, known=known)
