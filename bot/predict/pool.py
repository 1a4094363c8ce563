"""Several models within one memory budget: loaded when asked for, the longest unused unloaded first."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import gguf
from .adapter import adapt
from .engine import EngineError
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


class ModelPool:
    """Engines by name. ``budget`` bounds weights and KV of all loaded ones, in bytes; ``pinned`` ones stay loaded.
    Lives on one event loop."""

    def __init__(self, choices: Mapping[str, ModelChoice], budget: int, *, pinned: Collection[str] = ()) -> None:
        self._choices = choices
        self._budget = budget
        self._pinned = pinned
        self._engines: OrderedDict[str, LocalEngine] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def get(self, name: str) -> LocalEngine:
        """The engine of this name. Unloads idle ones for it; raises UserError where that is not enough."""
        async with self._lock:
            if name not in self._choices:
                raise EngineError("no_model", f"there is no model {name!r}: there are {', '.join(self._choices)}")
            if name not in self._engines:
                await self._make_room(name)
                self._engines[name] = await self._load(name)
            self._engines.move_to_end(name)
            return self._engines[name]

    async def unload(self, name: str) -> None:
        """Free a model; replies it is making end with the reason ``model_unloaded``."""
        async with self._lock:
            engine = self._engines.pop(name, None)
            if engine is not None:
                await engine.close(EngineError("model_unloaded", f"the model {name} was unloaded"))

    async def forget(self) -> None:
        """Drop the KV that the loaded models keep of earlier prompts."""
        async with self._lock:
            for engine in self._engines.values():
                await engine.forget()

    async def aclose(self) -> None:
        """Free all."""
        async with self._lock:
            while self._engines:
                await self._engines.popitem()[1].aclose()

    async def _make_room(self, name: str) -> None:
        needed = self._sizes[name] = await asyncio.to_thread(footprint, self._choices[name])
        for other, engine in list(self._engines.items()):
            if needed + self._used() <= self._budget:
                return
            if engine.idle and other not in self._pinned:
                del self._engines[other]
                await engine.aclose()
        if needed + self._used() > self._budget:
            busy = f", and {', '.join(self._engines)} at work" if self._engines else ""
            raise EngineError(
                "no_memory",
                f"{name} takes {needed >> 20} MB of the {self._budget >> 20} MB for models{busy}: "
                "lower streams or context, or raise memory_mb",
            )

    def _used(self) -> int:
        return sum(self._sizes[name] for name in self._engines)

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
    """Bytes of weights and KV, from the file's header: f16 keys and values for every stream's positions."""
    header = gguf.read(choice.path)

    def number(key: str, default: int) -> int:
        return header.number(f"{header.architecture}.{key}") or default

    heads = number("attention.head_count", 1)
    head_size = number("attention.key_length", number("embedding_length", 0) // heads)
    width = head_size * number("attention.head_count_kv", heads)
    settings = choice.settings
    cells = settings.positions(header.n_ctx_train or 0) * settings.streams
    weights = sum(tensor.size for tensor in header.tensors)
    return weights + cells * number("block_count", 0) * width * 2 * 2
