"""What runs beside the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from glasshead.review import jobs


async def test_more_jobs_than_are_kept_can_wait() -> None:
    begun = asyncio.Event()

    @asynccontextmanager
    async def actions() -> AsyncIterator[Any]:
        yield None

    async def work(_: jobs.Actions) -> list[str]:
        await begun.wait()
        return ["done"]

    many = jobs.Jobs(actions)
    numbers = [many.start("prove", 1, work) for _ in range(jobs.KEPT + 2)]
    begun.set()
    await asyncio.gather(*(many.find(number).task for number in numbers))
    many.start("prove", 1, work)
    assert many.find(numbers[-1]).task.result() == ["done"]
    await many.close()
