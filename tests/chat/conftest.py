"""One engine and one log for the room, on one event loop; every test talks in sessions of its own."""

import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from glasshead.chat import Chat, Speaker
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.model import Model
from glasshead.predict.render import Renderer
from glasshead.predict.sampling import Sampling
from glasshead.store import Store
from lent import lent

from .talking import Room

BRIEF = Sampling(temperature=0, max_tokens=8)
RUNNING, WAITING = 2, 2


@pytest.fixture(scope="package")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chat") / "log.db"


def speaker_of(loaded: Model, n_ctx: int = 2048) -> Speaker:
    model = lent(loaded, "test")
    settings = EngineSettings(n_ctx=n_ctx, max_running=RUNNING, max_waiting=WAITING, max_per_user=2, threads=1)
    renderer = Renderer(model.vocabulary, model.template, date=datetime.date(2026, 11, 22))
    return Speaker(LocalEngine(model, settings), model.vocabulary, renderer)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def store(log_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(log_path)
    yield store
    await store.close()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def speaker(shallow_model: Model, store: Store) -> AsyncIterator[Speaker]:
    speaker = speaker_of(shallow_model)
    await store.save_vocabulary(speaker.engine.model, speaker.vocabulary.pieces())
    yield speaker
    await speaker.engine.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def room(store: Store, speaker: Speaker) -> AsyncIterator[Room]:
    room = Room(Chat(store, speaker, BRIEF), await store.start_session())
    yield room
    await room.chat.aclose()
