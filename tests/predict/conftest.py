"""What the engine's tests share: short-lived engines, on the shallow model where none is named."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from glasshead.predict import gap
from glasshead.predict.context import Context, Place
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.model import Model
from lent import lent


@pytest.fixture
async def start(shallow_model: Model) -> AsyncIterator[Callable[..., Awaitable[LocalEngine]]]:
    """``await start(max_running=4, …)`` gives an engine; it is closed after the test.

    Of one thread: what is tested here is what comes out, and two threads on a busy machine wait for each other.
    """
    engines: list[LocalEngine] = []

    async def begin(of: Path | Model | None = None, **settings: object) -> LocalEngine:
        defaults: dict[str, object] = {"n_ctx": 512, "max_running": 4, "max_per_user": 100, "threads": 1}
        model = Model.load(of) if isinstance(of, Path) else lent(of or shallow_model)
        engine = LocalEngine(model, EngineSettings(**(defaults | settings)))  # type: ignore[arg-type]
        engines.append(engine)
        return engine

    yield begin
    for engine in engines:
        await engine.aclose()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[Place]]:
    """The rows of each batch that is decoded."""
    seen: list[list[Place]] = []
    decode = Context.decode

    def spy(self: Context, rows: list[Place]) -> None:
        seen.append(rows)
        decode(self, rows)

    monkeypatch.setattr(Context, "decode", spy)
    return seen


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside running replies chunks have the fewest rows there are."""
    for limit in ("GAP_S", "LEAST_S", "FELT_S", "BRIEF_STEPS"):
        monkeypatch.setattr(gap, limit, 0.0)
