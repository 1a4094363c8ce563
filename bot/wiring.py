"""Builds everything once, from the settings, and hands it to whoever needs it."""

import asyncio
import datetime
import gc
import logging
import os
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from .catalog import Catalog
from .chat import Chat, Endings, Other, Speaker
from .chat.what_if import what_if
from .config import Settings
from .errors import UserError
from .predict import cgroup, gguf, pool
from .predict.local import EngineSettings, LocalEngine
from .predict.model import Model, file_sha256
from .predict.pool import ModelChoice, ModelPool
from .predict.render import Renderer
from .predict.sampler import check
from .predict.sampling import Sampling
from .store import Store
from .store.owner import own, take_writes
from .store.retention import Limit, Limits, prune

log = logging.getLogger(__name__)

PRUNE_S = 3600


def load_model(settings: Settings, name: str = "") -> Model:
    """A configured model ("": the usual one), fetched if it is not there yet. Raises UserError."""
    name = name or settings.model.name
    return pool.load_model(name, model_choice(settings, name))


def model_choice(settings: Settings, name: str) -> ModelChoice:
    """How the settings run a model; it is fetched if it is not there yet. The adapter is the usual model's."""
    section = settings.model
    catalog = Catalog.load(section.folder)
    path = catalog.ready(name)
    adapter = section.adapter if name == section.name else ""
    return ModelChoice(
        path=path,
        settings=engine_settings(settings, trained=gguf.read(path).n_ctx_train),
        n_gpu_layers=section.gpu_layers,
        adapter=catalog.ready(adapter) if adapter else None,
        adapter_scale=section.adapter_scale,
    )


def engine_settings(settings: Settings, trained: int | None) -> EngineSettings:
    """The engine's share of the settings; a context longer than the model was trained for is cut to that, and what
    idle conversations may take in memory is shared among the models."""
    context, engine = settings.model.context, settings.engine
    models = len({settings.model.name, *settings.model.others})
    return EngineSettings(
        n_ctx=min(context, trained or context),
        max_running=engine.streams,
        max_waiting=engine.queue,
        max_per_user=engine.queue_per_user,
        k=settings.explain.candidates,
        threads=engine.threads,
        cache_bytes=(engine.kv_memory_mb << 20) // models,
        spill_folder=engine.kv_folder,
        spill_bytes=engine.kv_disk_mb << 20,
    )


@asynccontextmanager
async def open_chat(settings: Settings) -> AsyncIterator[Chat]:
    """A chat over the configured models and log. Leaving it stops what runs, logs it, and closes both."""
    usual = settings.model.name
    others = [name for name in settings.model.others if name != usual]
    store = await own(settings.store.path, (settings.engine.kv_folder,))
    try:
        choices = {name: await asyncio.to_thread(model_choice, settings, name) for name in (usual, *others)}
        models = ModelPool(choices, memory_for_models(settings))
        try:
            speakers, sampling = _Speakers(models, store), settings.sampling.sampling()
            async with speakers.use(usual) as speaker:
                _check(sampling, speaker.engine.model.n_vocab)
                chat = Chat(
                    store,
                    speaker,
                    sampling,
                    k=settings.explain.candidates,
                    others={
                        name: Other(
                            partial(speakers.use, name), partial(asyncio.to_thread, endings, choices[name].path)
                        )
                        for name in others
                    },
                )

                async def forget(sessions: Collection[int] | None) -> None:
                    chat.keep_no_state(sessions)
                    await models.forget(sessions)

                store.when_erased(forget)
                try:
                    also = {"what_if": partial(what_if, chat)}
                    async with take_writes(store, also), _pruning(store, limits(settings)):
                        with _started():
                            yield chat
                finally:
                    await chat.aclose()
        finally:
            await models.aclose()
    finally:
        await store.close()


def _check(sampling: Sampling, n_vocab: int) -> None:
    try:
        check(sampling, n_vocab)
    except UserError as error:
        raise UserError(f"[sampling] {error}") from None


@contextmanager
def _started() -> Iterator[None]:
    """While this is open, the garbage collector leaves alone what there was before.

    A full collection over everything imported takes a tenth of a second, in which no loop and no engine moves.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@cache
def endings(path: Path) -> Endings:
    """Of a model's file, its weights left on the disk. Raises UserError."""
    with Model.load(path, vocab_only=True) as model:
        return Endings(model.identity, model.vocabulary.ends)


def endings_here(settings: Settings, name: str = "") -> Endings:
    """Of a configured model ("": the usual one) whose file is here; nothing is fetched or loaded for it.

    Raises UserError.
    """
    section = settings.model
    name = name or section.name
    catalog = Catalog.load(section.folder)
    path = catalog.find(name)
    if path is None:
        raise UserError(f"{name} is not here: get it with `glasshead model pull {name}`")
    found = endings(path)
    adapter = catalog.find(section.adapter) if section.adapter and name == section.name else None
    if adapter is None:
        return found
    sha256, scale = file_sha256(adapter), section.adapter_scale
    return replace(found, model=replace(found.model, adapter_sha256=sha256, adapter_scale=scale))


def limits(settings: Settings) -> Limits:
    """How long the log keeps sessions, and how many bytes of them; 0 in the settings is no limit."""

    def limit(days: int, megabytes: int) -> Limit:
        return Limit(days or None, megabytes << 20 or None)

    section = settings.store
    servers = {server: limit(days, megabytes) for server, days, megabytes in section.keep_servers}
    return Limits(limit(section.keep_days, section.keep_mb), servers)


@asynccontextmanager
async def _pruning(store: Store, kept: Limits) -> AsyncIterator[None]:
    """While this is open, sessions beyond the limits go: at once, then every hour."""

    async def work() -> None:
        while True:
            try:
                if gone := await prune(store.database, kept):
                    await store.drop_caches(gone)
                    log.info("%d sessions beyond the limits of [store] were deleted", len(gone))
            except Exception:
                log.exception("sessions beyond the limits were not deleted; tried again in an hour")
            await asyncio.sleep(PRUNE_S)

    if kept == Limits():
        yield
        return
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Speakers:
    """Speakers over the pool's engines; a model that was unloaded meanwhile gets a new one."""

    def __init__(self, models: ModelPool, store: Store) -> None:
        self._models = models
        self._store = store
        self._ready: dict[str, Speaker] = {}

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[Speaker]:
        """The model stays loaded while this is open."""
        async with self._models.use(name) as engine:
            speaker = self._ready.get(name)
            if speaker is None or speaker.engine is not engine:
                speaker = self._ready[name] = await self._introduce(engine, told=speaker is not None)
            yield speaker

    async def _introduce(self, engine: LocalEngine, *, told: bool) -> Speaker:
        """``told``: what it cannot do was said before."""
        vocabulary = engine.vocabulary
        await self._store.save_vocabulary(engine.model, await asyncio.to_thread(vocabulary.pieces))

        def prepare() -> tuple[Renderer, Sequence[str]]:
            renderer = Renderer(vocabulary, engine.template, date=datetime.date.today())
            return renderer, renderer.limits()

        renderer, limits = await asyncio.to_thread(prepare)  # others are answered meanwhile
        for limit in () if told else (*engine.limits, *limits):
            log.warning("%s: %s", engine.model.name, limit)
        return Speaker(engine, vocabulary, renderer, renderer.stop)


def memory_for_models(settings: Settings) -> int:
    """Bytes that weights and KV of all models may take: three quarters of the machine's, or of the container's."""
    if settings.model.memory_mb:
        return settings.model.memory_mb << 20
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(installed, cgroup.memory())) * 3 // 4
