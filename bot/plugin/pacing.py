"""How often a channel's messages are edited: one pace for everything the bot writes there."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

SLOWEST = 6.0
USUAL_WAIT = 0.7
"""Seconds that a refusal counts for which does not say how long to wait."""


@dataclass(frozen=True, slots=True)
class Left:
    """What Discord's headers allow: so many edits more in so many seconds, then anew."""

    edits: int
    seconds: float


class Pace:
    """The seconds between two edits: those configured; more where fewer edits are left, and for a while after
    Discord has refused one."""

    def __init__(self, interval: float) -> None:
        self.base = interval
        self.interval = interval

    def refused(self, seconds: float) -> None:
        """Discord was out of order, or said to wait so long."""
        self.interval = min(SLOWEST, self.interval + seconds / 2)

    def passed(self) -> None:
        """An edit went through, or at least its turn is over."""
        self.interval = max(self.base, self.interval * 0.8)

    def until_next(self, left: Left | None) -> float:
        """What is left is spread over its time: one that would have to wait inside of a request is not begun."""
        if left is None:
            return self.interval
        return max(self.interval, left.seconds / (left.edits + 1))


class Turnstile:
    """Lets one edit of a channel through at a time, ``pace.interval`` apart, in the order they came.

    ``async with turnstile:`` around an edit; what to show is looked up inside, so that a wait only makes it newer.
    Around what shows only that somebody waits: ``async with turnstile.second():``.
    """

    def __init__(self, interval: float, left: Callable[[], Left | None] = lambda: None) -> None:
        """``left`` says what Discord allows just now."""
        self.pace = Pace(interval)
        self._left = left
        self._lock = asyncio.Lock()
        self._next = 0.0
        self._first = 0
        """How many wait that are not second."""
        self._second_passed = False

    async def quiet(self) -> None:
        """Wait until the edits that are under way or waiting now are done."""
        async with self._lock:
            pass

    async def __aenter__(self) -> Self:
        self._first += 1
        try:
            await self._enter()
        finally:
            self._first -= 1
        self._second_passed = False
        return self

    @contextlib.asynccontextmanager
    async def second(self) -> AsyncIterator[None]:
        """The same, but of many only one passes before each that is not second: their places all change at once,
        and that is when the next reply begins."""
        await self._enter()
        while self._first and self._second_passed:
            self._lock.release()
            await self._enter()
        self._second_passed = True
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        await self._lock.acquire()
        try:
            await asyncio.sleep(max(0.0, self._next - time.monotonic()))
        except BaseException:
            self._lock.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self.pace.passed()
        self._next = time.monotonic() + self.pace.until_next(self._left())
        self._lock.release()
