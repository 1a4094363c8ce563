"""Connections: one that writes, a pool that reads. SQLite in WAL mode, durable at every commit.

A transaction is a plain function that runs whole in the thread of an aiosqlite connection, so the event loop
neither waits for the disk nor spends its time on SQL. (SQLAlchemy's AsyncEngine awaits each statement, its cursor
and its close apart: a transaction of 16 statements took 11 ms of processor time that way, 1.3 ms this way.)
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from .connection import ThreadedConnection
from .faults import StoreError, in_words, plain_words, translate
from .gap import Gap
from .hints import HintingCompiler
from .indexes import is_of_index, mend_indexes, replace_indexes
from .readonly import read_only
from .work import Result, T, Work, apart, caught

log = logging.getLogger(__name__)

READERS = 4
TOGETHER = 32
"""Writes that may share a commit."""
MAKERS = 2
"""Threads that make what is to be written. More are in each other's way: only compressing runs side by side."""
BUSY_MS = 10_000
CHECKPOINT_MS = 200
"""That a reader holds up writing, while the WAL is to be emptied; and that writing goes on before the next try."""
RETRIES = 4
"""Attempts at a write while a foreign program holds the lock; with BUSY_MS each."""
PATIENT_MS = RETRIES * BUSY_MS
"""The same for who tries once."""
GAP_S = 2.0
"""Seconds between two attempts to commit what the disk did not take."""

_WRITER = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA wal_autocheckpoint = 4000",
)
_READER = (f"PRAGMA busy_timeout = {BUSY_MS}", "PRAGMA query_only = ON", "PRAGMA cache_size = -16384")


def _prepare(engine: sa.Engine, pragmas: tuple[str, ...], begin: str) -> None:
    engine.dialect.statement_compiler = HintingCompiler

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)


def writer_engine(path: Path, *, wait_ms: int = BUSY_MS) -> sa.Engine:
    """An engine over the one connection that writes. It waits so long for a foreign program that holds the lock."""
    engine = sa.create_engine(
        f"sqlite:///{path}", connect_args={"isolation_level": None}, poolclass=sa.pool.StaticPool
    )
    _prepare(engine, (f"PRAGMA busy_timeout = {wait_ms}", *_WRITER), "BEGIN IMMEDIATE")
    return engine


def reader_engine(path: Path) -> sa.Engine:
    """An engine over read-only connections, one for each thread."""
    engine = sa.create_engine(
        f"sqlite:///{read_only(path)}&uri=true",
        connect_args={"isolation_level": None},
        poolclass=sa.pool.SingletonThreadPool,
        pool_size=READERS,
    )
    _prepare(engine, _READER, "BEGIN")
    return engine


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _fail(error: Exception, _connection: sa.Connection) -> None:
    raise error


class _Job(NamedTuple):
    work: Work[Any]
    keep: bool
    future: asyncio.Future[Any]


class Database:
    """``write`` queues behind one connection, ``read`` runs beside it and sees whole transactions only."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path = path.resolve()
        self._writer = writer_engine(path) if writable else None
        self._readers = reader_engine(path)
        self._file: tuple[int, int] | None = None
        self.swaps = 0
        """How often another file took the place of the one that was read."""
        self._writing: ThreadedConnection | None = None
        self._reading: list[ThreadedConnection] = []
        self._idle: list[ThreadedConnection] = []
        self._turns = asyncio.Semaphore(READERS)
        self._waiting: deque[_Job] = deque()
        self._makers = ThreadPoolExecutor(MAKERS, "making-for-the-log")
        self._gap: Gap | None = None
        self._mended = False
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, *, writable: bool = True) -> "Database":
        """Readers connect when there is something to read."""
        database = cls(path, writable=writable)
        if database._writer is not None:
            with plain_words(path):
                database._writing = await ThreadedConnection.open(database._writer)
        return database

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on a read-only snapshot. A caller that goes away stops it."""
        if self._gap is not None:
            return await asyncio.wrap_future(self._writing_thread.submit(partial(self._read_gap, work)))
        async with self._turns:
            threaded = await self._reader()
            try:
                return await asyncio.wrap_future(threaded.submit(partial(self._read, threaded.engine, work)))
            except asyncio.CancelledError:
                with contextlib.suppress(ValueError):  # closed meanwhile
                    await threaded.interrupt()
                raise
            finally:
                self._idle.append(threaded)

    async def _reader(self) -> ThreadedConnection:
        """One that is idle, else another. Of a log that somebody else owns, a restore may have put another file in
        place: what has the old one open is closed."""
        if self._writer is None and (file := _file_at(self.path)) != self._file:
            if self._file is not None:
                self._readers = reader_engine(self.path)
                self.swaps += 1
            self._file = file
        while self._idle:
            threaded = self._idle.pop()
            if threaded.engine is self._readers:
                return threaded
            self._reading.remove(threaded)
            await threaded.close()
        with plain_words(self.path):
            threaded = await ThreadedConnection.open(self._readers)
        self._reading.append(threaded)
        return threaded

    def _read(self, readers: sa.Engine, work: Work[T]) -> T:
        with plain_words(self.path), readers.connect() as connection:
            return work(connection)

    def _read_gap(self, work: Work[T]) -> T:
        return self._gap.read(work) if self._gap is not None else self._transaction(work)

    async def write(self, work: Work[T], *, keep: bool = False) -> T:
        """Run ``work`` in a transaction; durable when this returns. A caller that goes away does not stop it.

        Writes that wait for each other share a commit, each in a savepoint of its own: one that fails leaves the
        others alone. ``work`` may run again from the start when a commit fails or a foreign program holds the lock.
        With ``keep``, what the disk does not take is held in memory until it does: see ``gap``.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._hand_in(_Job(work, keep, future))
        return await self._told(future)

    async def write_made(self, make: Callable[[], Work[T]], *, keep: bool = False) -> T:
        """``write`` what ``make`` returns. It runs in a thread apart and is handed in there: the event loop has no
        part in it."""
        assert self._writing is not None, "opened for reading"
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def made() -> None:
            work, error = caught(make)
            self._hand_in(_Job(work if error is None else partial(_fail, error), keep, future))

        self._makers.submit(made)
        return await self._told(future)

    def _hand_in(self, job: _Job) -> None:
        self._waiting.append(job)
        self._writing_thread.post(self._write_waiting)

    async def _told(self, future: asyncio.Future[T]) -> T:
        result = await future
        if self._gap is not None and (self._ending is None or self._ending.done()):
            self._ending = asyncio.create_task(self._end_gap_later())
        return result

    def _write_waiting(self) -> None:
        """Take what waits, commit it together, tell who waited."""
        jobs = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        if jobs:
            results = self._results(jobs)
            jobs[0].future.get_loop().call_soon_threadsafe(self._tell, jobs, results)

    def _tell(self, jobs: list[_Job], results: list[Result]) -> None:
        """In the event loop, for all at once: it costs a system call to wake it."""
        for job, (result, error) in zip(jobs, results, strict=True):
            if job.future.done():  # the caller has gone away
                continue
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(in_words(error, self.path))

    def _results(self, jobs: list[_Job]) -> list[Result]:
        if self._gap is None:
            try:
                return self._transaction(partial(self._together, jobs))
            except Exception as error:
                if len(jobs) == 1:
                    return [caught(partial(self._refused, jobs[0], error))]
                # The commit itself failed, for one or for all: each has to be tried alone.
                log.debug("a commit of %d writes failed: %s", len(jobs), error)
        return [caught(partial(self._alone, job)) for job in jobs]

    def _together(self, jobs: list[_Job], connection: sa.Connection) -> list[Result]:
        """Run ``jobs`` and, added to them, what replies write meanwhile. Anything else may take long: it waits."""
        results = []
        for job in jobs:
            results.append(apart(connection, job.work))
            if len(results) == len(jobs) < TOGETHER and self._waiting and self._waiting[0].keep:
                jobs.append(self._waiting.popleft())
        return results

    def _alone(self, job: _Job) -> Any:
        if self._gap is not None and not job.keep:
            self._end_gap()
        if self._gap is not None:
            return self._gap.keep(job.work)
        try:
            return self._transaction(job.work)
        except StoreError as error:
            return self._refused(job, error)

    def _refused(self, job: _Job, error: Exception) -> Any:
        """Hold in memory what is to be kept and the disk did not take."""
        if not job.keep or not isinstance(error, StoreError):
            raise error
        return self._begin_gap(job.work, error)

    def _begin_gap(self, work: Work[T], reason: StoreError) -> T:
        assert self._writer is not None
        gap = Gap(self._writer, self.path, reason)
        try:
            result = gap.keep(work)
        except BaseException:
            gap.drop()
            raise
        log.error("%s. Until then turns are held in memory", reason)
        self._gap = gap
        return result

    @property
    def gap(self) -> StoreError | None:
        """Why the newest writes are not in the file yet; None: everything is."""
        return None if self._gap is None else self._gap.reason

    async def end_gap(self) -> None:
        """Write what is held in memory, now. Raises StoreError if the disk does not take it."""
        await asyncio.wrap_future(self._writing_thread.submit(self._end_gap))

    def _end_gap(self) -> None:
        if self._gap is not None:
            held = len(self._gap)
            self._gap.end()
            self._gap = None
            log.warning("%s: %d writes held in memory are in the log now", self.path, held)

    async def _end_gap_later(self) -> None:
        while self._gap is not None:
            await asyncio.sleep(GAP_S)
            with contextlib.suppress(StoreError):
                await self.end_gap()

    def _transaction(self, work: Work[T]) -> T:
        assert self._writer is not None, "opened for reading"
        for attempt in range(RETRIES):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                told = translate(error, self.path)
                if attempt == 0 and is_of_index(error):
                    mend_indexes(self._writer)
                elif told is not None and told.reason == "damaged" and not self._mended:
                    self._mended = True  # to look takes its time: once
                    if not replace_indexes(self._writer):
                        raise told from error
                elif told is None or told.reason != "busy" or attempt == RETRIES - 1:
                    raise told or error from error
        raise AssertionError("unreachable")

    @property
    def _writing_thread(self) -> ThreadedConnection:
        assert self._writing is not None, "opened for reading"
        return self._writing

    async def checkpoint(self) -> None:
        """Move the WAL into the database and empty it; waits for readers. Raises StoreError if one reads for long.

        Between two attempts others may write.
        """
        await self.end_gap()
        until = time.monotonic() + BUSY_MS / 1000
        while not await asyncio.wrap_future(self._writing_thread.submit(self._empty_wal)):
            if time.monotonic() > until:
                raise StoreError("busy", f"{self.path}: a program that reads it does not let go: close it")
            await asyncio.sleep(CHECKPOINT_MS / 1000)

    def _empty_wal(self) -> bool:
        assert self._writer is not None
        lent = self._writer.raw_connection()
        driver: Any = lent.driver_connection
        try:
            with plain_words(self.path):
                driver.execute(f"PRAGMA busy_timeout = {CHECKPOINT_MS}")
                busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        finally:
            driver.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            lent.close()

    async def close(self) -> None:
        """Wait for what runs, then close every connection."""
        await asyncio.to_thread(self._makers.shutdown)
        if self._ending is not None:
            self._ending.cancel()
        if self._gap is not None:
            try:
                await self.end_gap()
            except StoreError as error:
                log.error("%s; what was held in memory is lost: %d writes", error, len(self._gap))
                await asyncio.wrap_future(self._writing_thread.submit(self._gap.drop))
        for threaded in (*self._reading, *([self._writing] if self._writing else [])):
            await threaded.close()
