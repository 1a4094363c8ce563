import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from glasshead.store import Store

from .making import MODEL, PIECES


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


@pytest.fixture
async def store(path: Path, empty_log: Path) -> AsyncIterator[Store]:
    shutil.copy2(empty_log, path)
    store = await Store.open(path)
    yield store
    await store.close()
