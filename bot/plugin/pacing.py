"""How often a channel's messages are edited: one pace for everything the bot writes there."""

import asyncio
import time
from types import TracebackType
from typing import Self

SLOWEST = 6.0
NOTICEABLE = 0.7
"""An edit that took this long waited for Discord's rate limit."""


class Pace:
    """The seconds between two edits, learnt from how long edits take.

    discord.py sleeps inside a request when the rate-limit headers say that the bucket is empty, so a slow
    request is what a limit looks like from here.
    """

    def __init__(self, interval: float) -> None:
        self.base = interval
        self.interval = interval

    def took(self, seconds: float) -> None:
        if seconds >= NOTICEABLE:
            self.interval = min(SLOWEST, self.interval + seconds / 2)
        else:
            self.interval = max(self.base, self.interval * 0.8)


class Turnstile:
    """Lets one edit of a channel through at a time, ``pace.interval`` apart, in the order they came.

    ``async with turnstile:`` around an edit; what to show is looked up inside, so that a wait only makes it newer.
    """

    def __init__(self, interval: float) -> None:
        self.pace = Pace(interval)
        self._lock = asyncio.Lock()
        self._next = 0.0
        self._entered = 0.0

    async def quiet(self) -> None:
        """Wait until the edits that are under way or waiting now are done."""
        async with self._lock:
            pass

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        try:
            await asyncio.sleep(max(0.0, self._next - time.monotonic()))
        except BaseException:
            self._lock.release()
            raise
        self._entered = time.monotonic()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = time.monotonic()
        self.pace.took(now - self._entered)
        self._next = now + self.pace.interval
        self._lock.release()
