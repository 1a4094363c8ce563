"""Connections: one that writes, a pool that reads. SQLite in WAL mode, durable at every commit.

A transaction is a plain function that runs whole in a thread of its own, so the event loop neither waits for the
disk nor spends its time on SQL. (Through aiosqlite every statement is four or five hops between threads: a logged
turn took 28 ms of processor time that way, 8 ms this way, half of that for the codec.)
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import sqlalchemy as sa

from .faults import StoreError, plain_words, translate

T = TypeVar("T")
Work = Callable[[sa.Connection], T]
"""A unit of reading or writing: a plain function over a connection. It runs between BEGIN and COMMIT."""

READERS = 4
TOGETHER = 32
"""Writes that may share a commit."""
BUSY_MS = 10_000
RETRIES = 4
"""Attempts at a write while a foreign program holds the lock; with BUSY_MS each."""

_WRITER = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
)
_READER = (f"PRAGMA busy_timeout = {BUSY_MS}", "PRAGMA query_only = ON", "PRAGMA cache_size = -16384")


def _prepare(engine: sa.Engine, pragmas: tuple[str, ...], begin: str) -> None:
    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)


def writer_engine(path: Path) -> sa.Engine:
    """An engine over the one connection that writes."""
    engine = sa.create_engine(
        f"sqlite:///{path}", connect_args={"isolation_level": None}, poolclass=sa.pool.StaticPool
    )
    _prepare(engine, _WRITER, "BEGIN IMMEDIATE")
    return engine


def reader_engine(path: Path) -> sa.Engine:
    """An engine over read-only connections."""
    uri = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    engine = sa.create_engine(
        f"sqlite:///file:{uri}?mode=ro&uri=true",
        connect_args={"isolation_level": None, "check_same_thread": False},
        poolclass=sa.pool.QueuePool,
        pool_size=READERS,
        max_overflow=0,
    )
    _prepare(engine, _READER, "BEGIN")
    return engine


class Database:
    """``write`` queues behind one connection, ``read`` runs beside it and sees whole transactions only."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path = path
        self._writer = writer_engine(path) if writable else None
        self._readers = reader_engine(path)
        self._waiting: SimpleQueue[tuple[Work[Any], Future[Any]]] = SimpleQueue()
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="glasshead-write")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="glasshead-read")

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on a read-only snapshot."""
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, self._read, work)

    def _read(self, work: Work[T]) -> T:
        with plain_words(self.path), self._readers.connect() as connection:
            return work(connection)

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction; durable when this returns. A caller that goes away does not stop it.

        Writes that wait for each other share a commit, each in a savepoint of its own: one that fails leaves the
        others alone. ``work`` may run again from the start when a commit fails or a foreign program holds the lock.
        """
        future: Future[T] = Future()
        self._waiting.put((work, future))
        self._write_thread.submit(self._write_waiting)
        return await asyncio.shield(asyncio.wrap_future(future))

    def _write_waiting(self) -> None:
        """Take what waits, commit it together, tell who waited."""
        jobs: list[tuple[Work[Any], Future[Any]]] = []
        while len(jobs) < TOGETHER and not self._waiting.empty():
            jobs.append(self._waiting.get())
        if len(jobs) > 1:
            try:
                results = self._transaction(lambda connection: [_apart(connection, work) for work, _ in jobs])
            except Exception:
                # The commit itself failed, for one or for all: each has to be tried alone.
                results = [_caught(partial(self._transaction, work)) for work, _ in jobs]
        else:
            results = [_caught(partial(self._transaction, work)) for work, _ in jobs]
        for (_, future), (result, error) in zip(jobs, results, strict=True):
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _transaction(self, work: Work[T]) -> T:
        assert self._writer is not None, "opened for reading"
        for attempt in range(RETRIES):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                told = translate(error, self.path)
                if told is None or told.reason != "busy" or attempt == RETRIES - 1:
                    raise told or error from error
        raise AssertionError("unreachable")

    async def checkpoint(self) -> None:
        """Move the WAL into the database and empty it; waits for readers. Raises StoreError if one never ends."""
        await asyncio.get_running_loop().run_in_executor(self._write_thread, self._checkpoint)

    def _checkpoint(self) -> None:
        assert self._writer is not None, "opened for reading"
        raw = self._writer.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            row = cursor.fetchone()
            cursor.close()
        finally:
            raw.close()
        if row is not None and row[0]:
            raise StoreError("busy", f"{self.path}: a program that reads it does not let go: close it")

    async def close(self) -> None:
        """Wait for running writes, then close every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self._readers.dispose()
        if self._writer is not None:
            self._writer.dispose()


Result = tuple[Any, BaseException | None]


def _apart(connection: sa.Connection, work: Work[Any]) -> Result:
    """The result of ``work``, or what it raised with what it did undone."""
    savepoint = connection.begin_nested()
    result, error = _caught(partial(work, connection))
    if error is None:
        savepoint.commit()
    elif isinstance(error, sa.exc.DBAPIError):
        raise error  # the transaction may be gone with it
    else:
        savepoint.rollback()
    return result, error


def _caught(call: Callable[[], Any]) -> Result:
    try:
        return call(), None
    except Exception as error:
        return None, error
