"""Several models within one memory budget: loaded when asked for, the longest unused unloaded first."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import gguf
from .adapter import adapt
from .engine import EngineError
from .footprint import stream_size, weights_size
from .local import EngineSettings, LocalEngine
from .model import Model


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that can be asked for: its file, and how it is to be run."""

    path: Path
    settings: EngineSettings
    n_gpu_layers: int = 0
    adapter: Path | None = None
    adapter_scale: float = 1.0


@dataclass(slots=True)
class _Loaded:
    """An engine, the bytes it takes, and how many use it just now; ``unused`` is set while nobody does."""

    engine: LocalEngine
    size: int
    users: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)


class ModelPool:
    """Engines by name. ``budget`` bounds weights and KV of all loaded ones, in bytes. Lives on one event loop."""

    def __init__(self, choices: Mapping[str, ModelChoice], budget: int) -> None:
        self._choices = choices
        self._budget = budget
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._unloading: list[_Loaded] = []
        """Models of which somebody still reads."""
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[LocalEngine]:
        """The engine of this name; while this is open, no other model takes its place, not even between replies:
        its vocabulary is being read. Unloads unused ones for it; raises UserError where that is not enough."""
        loaded = await self._take(name)
        try:
            yield loaded.engine
        finally:
            loaded.users -= 1
            if not loaded.users:
                loaded.unused.set()

    async def unload(self, name: str) -> None:
        """Free a model; replies it is making end with the reason ``model_unloaded``, and are read to their end."""
        async with self._lock:
            loaded = self._loaded.pop(name, None)
            if loaded is None:
                return
            self._unloading.append(loaded)
        try:
            await loaded.engine.stop(EngineError("model_unloaded", f"the model {name} was unloaded"))
            await loaded.unused.wait()
            await loaded.engine.aclose()
        finally:
            self._unloading.remove(loaded)

    async def forget(self, sessions: Collection[int] | None = None) -> None:
        """Drop the KV that models keep of earlier prompts, of these sessions or of all. One that is just unloaded
        writes its own to disk first."""
        async with self._lock:
            for loaded in (*self._loaded.values(), *self._unloading):
                await loaded.engine.forget(sessions)

    async def aclose(self) -> None:
        """Free all."""
        async with self._lock:
            while self._loaded:
                await self._loaded.popitem()[1].engine.aclose()

    async def _take(self, name: str) -> _Loaded:
        if name not in self._choices:
            raise EngineError("no_model", f"there is no model {name!r}: there are {', '.join(self._choices)}")
        if name not in self._loaded:  # one that is there does not wait while another is loaded
            async with self._lock:
                if name not in self._loaded:
                    size = await self._make_room(name)
                    self._loaded[name] = _Loaded(await self._load(name), size)
        self._loaded.move_to_end(name)
        loaded = self._loaded[name]
        loaded.users += 1
        loaded.unused.clear()
        return loaded

    async def _make_room(self, name: str) -> int:
        """Unload unused models, the longest unused first, until this one fits; the bytes it takes."""
        needed = await asyncio.to_thread(footprint, self._choices[name])
        self._require_room(name, needed, [loaded for loaded in self._loaded.values() if loaded.users])
        for other, loaded in list(self._loaded.items()):
            if needed + _size((*self._loaded.values(), *self._unloading)) <= self._budget:
                break
            if not loaded.users:
                del self._loaded[other]
                await loaded.engine.aclose()
        self._require_room(name, needed, self._loaded.values())  # one may have been taken up meanwhile
        return needed

    def _require_room(self, name: str, needed: int, beside: Iterable[_Loaded]) -> None:
        if needed + _size((*beside, *self._unloading)) <= self._budget:
            return
        busy = [other for other, loaded in self._loaded.items() if loaded.users]
        at_work = f", and {', '.join(busy)} at work" if busy else ""
        raise EngineError(
            "no_memory",
            f"{name} takes {-(-needed >> 20)} MB of the {self._budget >> 20} MB for models{at_work}: "
            "lower streams or context, or raise memory_mb",
        )

    async def _load(self, name: str) -> LocalEngine:
        choice, loop = self._choices[name], asyncio.get_running_loop()

        def load() -> LocalEngine:
            model = load_model(name, choice)
            try:
                return LocalEngine(model, choice.settings, loop=loop)
            except BaseException:
                model.close()
                raise

        return await asyncio.to_thread(load)


def _size(models: Iterable[_Loaded]) -> int:
    return sum(loaded.size for loaded in models)


def load_model(name: str, choice: ModelChoice) -> Model:
    """The model with its adapter, without an engine. Raises UserError."""
    model = Model.load(choice.path, name=name, n_gpu_layers=choice.n_gpu_layers)
    try:
        if choice.adapter is not None:
            adapt(model, choice.adapter, choice.adapter_scale)
    except BaseException:
        model.close()
        raise
    return model


def footprint(choice: ModelChoice) -> int:
    """Bytes of weights and KV, from the file's header."""
    header, settings = gguf.read(choice.path), choice.settings
    positions = settings.positions(header.n_ctx_train or 0)
    return weights_size(header) + settings.streams * stream_size(header, positions)
