"""Where a whole place is one conversation, a message is answered when what was said before it is."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import discord

from ..chat.unlogged import NO_TURN
from .pacing import USUAL_WAIT
from .presenter import keep_typing
from .service import Service, Waiting
from .surface import Gone, Surface
from .transient import TROUBLE, passing, seconds_to_wait
from .views import running_view
from .waiting import EVERY, GRACE, in_queue

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def turn_of(
    service: Service,
    waiting: Waiting,
    surface: Surface,
    line: contextlib.AbstractAsyncContextManager[object],
) -> AsyncIterator[bool]:
    """Wait for the turn, and show the place in the line where the reply will be. False: stopped meanwhile."""
    if not isinstance(line, asyncio.Lock) or not line.locked():
        async with line:
            yield True
        return
    service.waiting.append(waiting)
    typing, showing = (
        asyncio.create_task(keep_typing(surface)),
        asyncio.create_task(_show(service, waiting, surface)),
    )
    try:
        come = await _acquired(line, waiting)
    finally:
        typing.cancel()
        service.waiting.remove(waiting)
        waiting.ended.set()
        for each in (waiting, *service.waiting):
            each.news.set()
    try:
        yield come
    finally:
        if come:
            line.release()
        await showing  # at most a request that is under way


async def _acquired(line: asyncio.Lock, waiting: Waiting) -> bool:
    """Whether its turn has come, and it holds the line; False: it was stopped before."""
    acquiring, stopping = asyncio.create_task(line.acquire()), asyncio.create_task(waiting.stopped.wait())
    come = False
    try:
        await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
        come = not waiting.stopped.is_set()
        return come
    finally:
        stopping.cancel()
        if not acquiring.done():
            acquiring.cancel()
        elif not come:
            line.release()


async def _show(service: Service, waiting: Waiting, surface: Surface) -> None:
    """Its place, whenever that has changed, but not at once and only now and then."""
    turnstile = service.turnstile(waiting.channel)
    await _pause(waiting, GRACE)
    while not waiting.ended.is_set():
        async with turnstile.second():
            if waiting.ended.is_set():
                return
            waiting.news.clear()
            try:
                await surface.show([in_queue(service.place_in_line(waiting), here=True)], running_view(NO_TURN))
            except Gone as gone:
                log.info("nobody can be told to wait: %s", gone)
                return
            except (discord.DiscordException, *TROUBLE) as error:
                log.info("a place in the line is not shown: %s", error)
                if passing(error):
                    turnstile.pace.refused(seconds_to_wait(error, USUAL_WAIT))
            waiting.messages = surface.ids
        await _pause(waiting, EVERY)
        await waiting.news.wait()


async def _pause(waiting: Waiting, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting.ended.wait()
