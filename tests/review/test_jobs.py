"""What runs beside the page."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from glasshead.review import jobs


def test_more_jobs_than_are_kept_can_wait() -> None:
    with ThreadPoolExecutor(1) as thread:  # in this one a browser's event loop may run
        thread.submit(asyncio.run, _many_jobs()).result()


async def _many_jobs() -> None:
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
