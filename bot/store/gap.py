"""While the disk takes no commit: writes go on in a transaction that stays open, which SQLite holds in memory.

They have their numbers and can be read like all others, and are in the file once there is room; a program that ends
before that loses them. So whoever waits for a reply gets it, and is told that it is not logged yet.
"""

import logging
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from .clock import at_moment, now_us
from .faults import StoreError, plain_words
from .work import T, Work, apart

log = logging.getLogger(__name__)

KEPT = 2000
"""Writes held at most, four to a turn: some tens of megabytes."""


class Gap:
    """Lives in the thread of the connection that writes. ``reason``: why the disk did not take the last commit."""

    def __init__(self, engine: sa.Engine, path: Path, reason: StoreError) -> None:
        self.reason = reason
        self._path = path
        self._connection = engine.connect()
        self._kept: list[tuple[Work[Any], Any]] = []
        self._open = False
        """Whether the transaction is there, with all that is kept."""

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, work: Work[T]) -> T:
        """Run ``work`` and hold what it wrote. Raises StoreError where not even that can be done."""
        if len(self) >= KEPT:
            raise StoreError(self.reason.reason, f"{self.reason}; {KEPT} writes wait in memory, no more will")
        with plain_words(self._path):
            held = at_moment(now_us(), work)
            result, error = self._apart(held)
        if error is not None:
            raise error
        self._kept.append((held, result))
        return result  # type: ignore[no-any-return]

    def read(self, work: Work[T]) -> T:
        """Run ``work`` on what is in the file and what is held."""
        with plain_words(self._path):
            self._begin()
            return work(self._connection)

    def end(self) -> None:
        """Commit all that is held. Raises StoreError, holding it still, if the disk does not take it."""
        try:
            with plain_words(self._path):
                self._begin()
                self._connection.commit()
        except StoreError as error:
            self._open = False
            self.reason = error
            raise
        self._connection.exec_driver_sql("PRAGMA cache_spill = ON")
        self.drop()

    def drop(self) -> None:
        """Let go of what is held."""
        self._connection.close()

    def _apart(self, work: Work[Any]) -> tuple[Any, Exception | None]:
        self._begin()
        try:
            return apart(self._connection, work)
        except sa.exc.DBAPIError:
            self._open = False
            raise

    def _begin(self) -> None:
        """Open the transaction, and do again what a failed commit has undone: the same, in the same order."""
        if self._open:
            return
        self._connection.rollback()
        self._connection.connection.rollback()  # where SQLite did not undo what SQLAlchemy takes for undone
        self._connection.exec_driver_sql("PRAGMA cache_spill = OFF")
        held = []
        for work, before in self._kept:
            result, error = apart(self._connection, work)
            if error is not None or result != before:
                log.error("a write held in memory came out otherwise: %r became %r", before, error or result)
            held.append((work, result))
        self._kept = held
        self._open = True
