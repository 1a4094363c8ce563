import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from glasshead.store import Store

from .making import MODEL, PIECES, ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture(scope="session")
def empty_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that knows its model and holds nothing else, made once: to migrate takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "log.db"

    async def make() -> None:
        store = await Store.open(path)
        await store.save_vocabulary(MODEL, PIECES)
        await store.close()

    asyncio.run(make())
    return path


@asynccontextmanager
async def copy_of(log: Path, path: Path) -> AsyncIterator[Store]:
    """A copy of ``log`` at ``path``, open."""
    shutil.copy2(log, path)
    store = await Store.open(path)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(path: Path, empty_log: Path) -> AsyncIterator[Store]:
    async with copy_of(empty_log, path) as store:
        yield store


@pytest.fixture(scope="session")
def long_log(empty_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose tables have some pages each."""
    path = tmp_path_factory.mktemp("long") / "log.db"

    async def fill() -> None:
        async with copy_of(empty_log, path) as store:
            for number in range(4):
                session = await store.start_session(title="t" * 500, guild_id=number, person=5)
                for each in range(12):
                    said = f"question {number}x{each} " + "w " * 60
                    await ask(store, session, said, "answer " * 20, n=2, person=5)

    asyncio.run(fill())
    return path


@pytest.fixture
def long(long_log: Path, path: Path) -> Path:
    shutil.copy2(long_log, path)
    return path
