"""Transactions: how a session begins, who may write, and what its failures are called."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Engine, Table, bindparam, func, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from ._engine import BUSY_SECONDS, for_reading, for_writing, is_busy
from ._errors import Closed, Conflict, StaleEpoch, StorageFailure, StoreBusy
from ._tables import CounterRow, DriverRow

# Made once, and of the tables alone: they are part of every write, where making a statement anew
# and loading a row by it costs more than the database does.
_COUNTERS = cast("Table", CounterRow.__table__).c
_TURN = select(_COUNTERS.value).where(_COUNTERS.name == "events").with_for_update()
_NEXT = (
    update(cast("Table", CounterRow.__table__))
    .where(_COUNTERS.name == bindparam("counter"))
    .values(value=_COUNTERS.value + 1)
    .returning(_COUNTERS.value)
)
_EPOCH = select(func.max(cast("Table", DriverRow.__table__).c.epoch))


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Database:
    """An engine with its transactions. In memory there is one connection, used in turns."""

    def __init__(self, engine: Engine, backend: str) -> None:
        self.backend = backend
        self.url = (
            "memory://" if backend == "memory" else engine.url.render_as_string(hide_password=True)
        )
        self.changed = threading.Condition()
        self.closed = False
        self._engine = engine
        self._turn = threading.RLock() if backend == "memory" else contextlib.nullcontext()

    @contextlib.contextmanager
    def read(self) -> Generator[Session]:
        """Open a transaction that sees one state and changes nothing."""
        with self._session(writes=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self, epoch: int | None = None) -> Generator[Session]:
        """Open a transaction that may write, after all others that do; commit it at the end.

        With an epoch, the newest one must equal it: raises StaleEpoch.
        """
        with self._session(writes=True) as session:
            # One row that every writer locks first: writers take turns in every database.
            session.connection().execute(_TURN).scalar_one()
            if epoch is not None:
                check_epoch(session, epoch)
            yield session
        with self.changed:
            self.changed.notify_all()

    @contextlib.contextmanager
    def _session(self, *, writes: bool) -> Generator[Session]:
        if self.closed:
            raise Closed(self.url)
        with self._turn, self.translated(), self._engine.connect() as plain:
            connection = for_writing(plain) if writes else for_reading(plain)
            with Session(connection, expire_on_commit=False) as session, session.begin():
                yield session

    @contextlib.contextmanager
    def translated(self) -> Generator[None]:
        """Let no error of the database leave under its own name."""
        try:
            yield
        except IntegrityError as error:
            said = str(error.orig).strip().splitlines()[0]
            raise Conflict(self.url, "what the database's constraints allow", said) from error
        except DBAPIError as error:
            if is_busy(error):
                raise StoreBusy(self.url, BUSY_SECONDS) from error
            raise StorageFailure(self.url, str(error.orig).strip().splitlines()[0]) from error
        except SQLAlchemyError as error:
            raise StorageFailure(self.url, str(error).splitlines()[0]) from error

    def close(self) -> None:
        """Close all connections and wake the watches; once is enough."""
        with self._turn:
            if not self.closed:
                self.closed = True
                self._engine.dispose()
        with self.changed:
            self.changed.notify_all()


def current_epoch(session: Session) -> int:
    """Return the newest epoch, 0 before the first."""
    return session.connection().scalar(_EPOCH) or 0


def check_epoch(session: Session, epoch: int) -> None:
    """Raise StaleEpoch unless this is the newest epoch."""
    current = current_epoch(session)
    if epoch != current:
        raise StaleEpoch(epoch, current)


def next_number(session: Session, counter: str) -> int:
    """Return the counter's next number; gap-free, since a rollback takes it back."""
    return session.connection().execute(_NEXT, {"counter": counter}).scalar_one()
