"""Connections: one that writes, a pool that reads. SQLite in WAL mode, durable at every commit."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from .faults import StoreError, plain_words, translate

T = TypeVar("T")
Work = Callable[[sa.Connection], T]
"""A unit of reading or writing: a plain function over a connection. It runs between BEGIN and COMMIT."""

READERS = 4
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
    """A plain engine with the writer's settings, for migrations and tools."""
    engine = sa.create_engine(
        f"sqlite:///{path}", connect_args={"isolation_level": None}, poolclass=sa.pool.StaticPool
    )
    _prepare(engine, _WRITER, "BEGIN IMMEDIATE")
    return engine


class Database:
    """``write`` queues behind one connection, ``read`` runs beside it and sees whole transactions only."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path = path
        uri = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        self._writer: AsyncEngine | None = None
        if writable:
            self._writer = create_async_engine(
                f"sqlite+aiosqlite:///{path}",
                connect_args={"isolation_level": None},
                poolclass=sa.pool.AsyncAdaptedQueuePool,
                pool_size=1,
                max_overflow=0,
            )
            _prepare(self._writer.sync_engine, _WRITER, "BEGIN IMMEDIATE")
        self._readers = create_async_engine(
            "sqlite+aiosqlite:///" + f"file:{uri}?mode=ro&uri=true",
            connect_args={"isolation_level": None},
            poolclass=sa.pool.AsyncAdaptedQueuePool,
            pool_size=READERS,
            max_overflow=0,
        )
        _prepare(self._readers.sync_engine, _READER, "BEGIN")
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on a read-only snapshot."""
        with plain_words(self.path):
            async with self._readers.connect() as connection:
                return await connection.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in one transaction; durable when this returns. A caller that goes away does not stop it.

        ``work`` may run again from the start when a foreign program holds the lock.
        """
        task = asyncio.create_task(self._write(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _write(self, work: Work[T]) -> T:
        assert self._writer is not None, "opened for reading"
        async with self._turn:
            for attempt in range(RETRIES):
                try:
                    async with self._writer.begin() as connection:
                        return await connection.run_sync(work)
                except sa.exc.DBAPIError as error:
                    told = translate(error, self.path)
                    if told is None or told.reason != "busy" or attempt == RETRIES - 1:
                        raise told or error from error
        raise AssertionError("unreachable")

    async def checkpoint(self) -> None:
        """Move the WAL into the database and empty it; waits for readers. Raises StoreError if one never ends."""
        assert self._writer is not None, "opened for reading"
        async with self._turn, self._writer.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            cursor = await raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy, _, _ = await cursor.fetchone()
            await cursor.close()
        if busy:
            raise StoreError("busy", f"{self.path}: a program that reads it does not let go: close it")

    async def close(self) -> None:
        """Wait for running writes, then close every connection."""
        if self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        await self._readers.dispose()
        if self._writer is not None:
            await self._writer.dispose()
