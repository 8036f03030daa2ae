"""Transactions: how a session begins, who may write, and what its failures are called."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from datetime import UTC, datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from ._engine import BUSY_SECONDS, for_reading, for_writing, is_busy
from ._errors import Closed, Conflict, StaleEpoch, StorageFailure, StoreBusy
from ._tables import CounterRow, DriverRow


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
            session.get_one(CounterRow, "events", with_for_update=True)
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
        """Close all connections and wake the watches."""
        with self._turn:
            self.closed = True
            self._engine.dispose()
        with self.changed:
            self.changed.notify_all()


def current_epoch(session: Session) -> int:
    """Return the newest epoch, 0 before the first."""
    return session.scalar(select(func.max(DriverRow.epoch))) or 0


def check_epoch(session: Session, epoch: int) -> None:
    """Raise StaleEpoch unless this is the newest epoch."""
    current = current_epoch(session)
    if epoch != current:
        raise StaleEpoch(epoch, current)


def next_number(session: Session, counter: str) -> int:
    """Return the counter's next number; gap-free, since a rollback takes it back."""
    row = session.get_one(CounterRow, counter, with_for_update=True)
    row.value += 1
    return row.value
