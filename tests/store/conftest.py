from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from glasshead.store import Store

from .making import MODEL, PIECES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await Store.open(path)
    await store.save_vocabulary(MODEL, PIECES)
    yield store
    await store.close()
