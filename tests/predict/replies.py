"""Replies as tests read them."""

import asyncio
from dataclasses import dataclass

from glasshead.predict.engine import EngineError, Generation
from glasshead.predict.local import LocalEngine
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Schedule
from glasshead.predict.step import Step

WILD = Sampling(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, max_tokens=12)
"""Draws from everything, so that replies differ and seldom end by themselves."""


@dataclass(frozen=True)
class Made:
    """A reply as it was made."""

    prompt: tuple[int, ...]
    steps: tuple[Step, ...]
    schedule: Schedule
    n_cached: int
    finish: str | None
    error: EngineError | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return (*self.prompt, *(step.id for step in self.steps))

    @property
    def hashes(self) -> list[int]:
        return [step.row_hash for step in self.steps]


async def read(prompt: tuple[int, ...], generation: Generation, *, at_most: int = 10**9) -> Made:
    """Read a reply to its end, or close it after ``at_most`` steps."""
    steps: list[Step] = []
    error = None
    try:
        async for step in generation:
            steps.append(step)
            if len(steps) >= at_most:
                await generation.aclose()
    except EngineError as fault:
        error = fault
    return Made(prompt, tuple(steps), generation.schedule, generation.n_cached, generation.finish, error)


async def settled(engine: LocalEngine) -> None:
    """Return when what the ended replies leave is kept, and their streams are free: a moment after their end."""
    rounds = engine._worker.rounds
    async with asyncio.timeout(20):
        while rounds is not None and rounds._streams.leaving:
            await asyncio.sleep(0.005)
