"""What the engine's tests share: short-lived engines on the real model."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.model import Model


@pytest.fixture(scope="session")
def replay_model(model_path: Path):
    """A second load of the model, for replays and tokenising."""
    with Model.load(model_path) as model:
        yield model


@pytest.fixture
async def start(model_path: Path) -> AsyncIterator[Callable[..., Awaitable[LocalEngine]]]:
    """``await start(max_running=4, …)`` gives an engine; it is closed after the test."""
    engines: list[LocalEngine] = []

    async def begin(path: Path = model_path, **settings: object) -> LocalEngine:
        defaults: dict[str, object] = {"n_ctx": 512, "max_running": 4, "max_per_user": 100, "threads": 2}
        engine = LocalEngine(Model.load(path), EngineSettings(**(defaults | settings)))  # type: ignore[arg-type]
        engines.append(engine)
        return engine

    yield begin
    for engine in engines:
        await engine.aclose()
