"""A connection to SQLite and the thread that works on it."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from sqlite3 import Connection as SQLite

import aiosqlite
import sqlalchemy as sa

from .work import T, caught


class ThreadedConnection(aiosqlite.Connection):
    """A connection of an engine, and the thread that has it."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(partial(_connect, engine), iter_chunk_size=64)
        self.engine = engine
        self._thread.daemon = True  # a log left open must not keep the program from ending

    @classmethod
    async def open(cls, engine: sa.Engine) -> "ThreadedConnection":
        connection = cls(engine)
        await connection
        return connection

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` in the thread, after what was handed in before: one hop there, one back."""
        future: Future[T] = Future()
        self.post(partial(_settle, future, work))
        return future

    def post(self, work: Callable[[], None]) -> None:
        """The same, where nobody waits for the result."""
        if self._connection is None:
            raise RuntimeError("the log is closed")
        self._tx.put_nowait((None, work))


def _connect(engine: sa.Engine) -> SQLite:
    """The connection that ``engine`` keeps for this thread."""
    lent = engine.raw_connection()
    try:
        assert isinstance(lent.driver_connection, SQLite)
        return lent.driver_connection
    finally:
        lent.close()


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    result, error = caught(work)
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
