"""The event loop's side of a reply: steps arrive from the engine's thread, and nobody waits for it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from .engine import Finish, Timings
from .queue import FairQueue
from .reply import End, Reply
from .schedule import Schedule
from .step import Step


class LocalGeneration:
    """Implements ``engine.Generation``. Dropping the last reference to it closes it."""

    def __init__(self, queue: FairQueue, wake: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self._queue = queue
        self._loop = loop
        self._wake = wake
        self._reply: Reply | None = None
        self._steps: deque[Step] = deque()
        self._end: End | None = None
        self._ended = asyncio.Event()
        self._news = asyncio.Event()
        self._closed = False

    def attach(self, reply: Reply) -> None:
        """Before it is used: the reply this is the handle of."""
        self._reply = reply

    def receive(self, news: Step | End) -> None:
        """On the event loop: the engine made a step, or ended the reply."""
        if isinstance(news, Step):
            self._steps.append(news)
        elif self._end is None:
            self._end = news
            self._ended.set()
        self._news.set()

    def __aiter__(self) -> "LocalGeneration":
        return self

    async def __anext__(self) -> Step:
        while not self._closed:
            if self._steps:
                return self._steps.popleft()
            if self._end is not None:
                self._closed = True
                if self._end.error is not None:
                    raise self._end.error
                break
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop decoding within one step. Returns when the engine has let go of the reply."""
        self._closed = True
        self._news.set()
        if self._end is None:
            self._cancel()
            await self._ended.wait()

    def _cancel(self) -> None:
        if self._reply is None or self._reply.cancelled:
            return
        self._reply.cancelled = True
        if _leave(self._reply, self._queue, self._wake):
            self.receive(End("stopped"))

    def __del__(self) -> None:
        """The garbage collector calls this in the midst of anything, on any thread: it must not take a lock, which
        that very thread may hold."""
        if self._reply is None or self._end is not None or self._reply.cancelled:
            return
        self._reply.cancelled = True
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(_leave, self._reply, self._queue, self._wake)

    @property
    def place(self) -> int:
        """How many replies will have begun when this one has: 1 is next, 0 once running."""
        return self._queue.place(self._its)

    @property
    def n_cached(self) -> int:
        """Prompt tokens whose KV was reused instead of computed."""
        return self._its.n_cached

    @property
    def finish(self) -> Finish | None:
        """How it ended; None while it runs."""
        return self._end.finish if self._end is not None else None

    @property
    def schedule(self) -> Schedule:
        """Kernel classes of all positions computed so far, reused ones included."""
        return self._its.schedule

    @property
    def timings(self) -> Timings:
        """As far as they are known yet."""
        return self._its.timings

    @property
    def _its(self) -> Reply:
        if self._reply is None:
            raise RuntimeError("no reply is attached")
        return self._reply


def _leave(reply: Reply, queue: FairQueue, wake: Callable[[], None]) -> bool:
    """Take a cancelled reply out of the queue; else the engine, told to look, lets go of it. Whether it waited."""
    waited = queue.remove(reply)
    if not waited:
        wake()
    return waited
