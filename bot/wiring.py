"""Builds everything once, from the settings, and hands it to whoever needs it."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .catalog import Catalog
from .chat import Chat, Speaker
from .config import Settings
from .predict.local import EngineSettings, LocalEngine
from .predict.model import Model
from .predict.render import Renderer
from .store import Store


def load_model(settings: Settings) -> Model:
    """The configured model, fetched if it is not there yet. Raises UserError."""
    section = settings.model
    catalog = Catalog.load(section.folder)
    path = catalog.find(section.name) or catalog.pull(section.name)
    return Model.load(path, name=section.name, n_gpu_layers=section.gpu_layers)


def engine_settings(settings: Settings, model: Model) -> EngineSettings:
    """The engine's share of the settings; a context longer than the model was trained for is cut to that."""
    trained = model.identity.n_ctx_train or settings.model.context
    return EngineSettings(
        n_ctx=min(settings.model.context, trained),
        max_running=settings.engine.streams,
        max_waiting=settings.engine.queue,
        max_per_user=settings.engine.queue_per_user,
        k=settings.explain.candidates,
        threads=settings.engine.threads,
        cache_bytes=settings.engine.kv_memory_mb << 20,
        spill_folder=settings.engine.kv_folder if settings.engine.kv_disk_mb else None,
        spill_bytes=settings.engine.kv_disk_mb << 20,
    )


@asynccontextmanager
async def open_chat(settings: Settings) -> AsyncIterator[Chat]:
    """A chat over the configured model and log. Leaving it stops what runs, logs it, and closes both."""
    store = await Store.open(settings.store.path)
    try:
        model = await asyncio.to_thread(load_model, settings)
        engine = LocalEngine(model, engine_settings(settings, model))
        try:
            await store.save_vocabulary(engine.model, model.vocabulary.pieces())
            renderer = Renderer(model.vocabulary, model.template, date=datetime.date.today())
            speaker = Speaker(engine, model.vocabulary, renderer, renderer.stop)
            chat = Chat(store, speaker, settings.sampling.sampling(), k=settings.explain.candidates)
            try:
                yield chat
            finally:
                await chat.aclose()
        finally:
            await engine.aclose()
    finally:
        await store.close()
