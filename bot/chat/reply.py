"""A reply in the making, as a front end holds it."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from ..predict.engine import Generation
from .events import Event


class Reply:
    """Iterate for its events. It is made in a task of its own: a front end that stops listening loses nothing.

    Bad input (a message that cannot fit, say) raises its UserError out of the iteration; once there is a turn, what
    goes wrong is told by its ``Done``.
    """

    def __init__(self, after: "Reply | None" = None, session: int | None = None) -> None:
        """``after``: its person's one before, which comes first in the engine's queue. ``session``: where it is
        logged, None where that is not known yet."""
        self._after = after
        self.session = session
        self._queued = asyncio.Event()
        """Set when it is in the queue, or its turn came and it never will be."""
        self._events: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._generation: Generation | None = None
        self.stopping = False
        self.keeps_state = True
        """Whether the engine may keep a state of it, for what begins the same."""

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    async def stop(self) -> None:
        """Stop decoding within one step. What was said is kept, and `Done` still comes."""
        self.stopping = True
        if self._generation is not None:
            await self._generation.aclose()

    async def turn_comes(self) -> None:
        """Wait until the one before is in the queue: opened side by side, the second may be quicker."""
        after, self._after = self._after, None
        if after is not None:
            await after._queued.wait()

    async def let_pass(self) -> None:
        """It has ended, whether it got as far as the queue or not."""
        await self.turn_comes()
        self._queued.set()

    async def attach(self, generation: Generation) -> None:
        """Tie to the running generation; a reply stopped before this begins ends at once."""
        self._queued.set()
        self._generation = generation
        if self.stopping:
            await generation.aclose()

    def emit(self, event: Event) -> None:
        self._events.put_nowait(event)

    def emit_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.emit(event)

    def end(self, error: BaseException | None = None) -> None:
        """Close the stream of events, with ``error`` raised to whoever listens."""
        if error is not None:
            self._events.put_nowait(error)
        self._events.put_nowait(None)
