"""What is deleted in Discord goes from the log, too; and a reply that loses one of its messages goes as a whole."""

import asyncio
import contextlib
import itertools
import logging

import discord
from discord.ext import commands

from ..store import StoreError
from .addressing import Once
from .gone import gone
from .lately import Seen
from .presenter import LATER
from .service import Service
from .transient import TROUBLE
from .views import versions_of

log = logging.getLogger(__name__)


class Deleting:
    """Takes deleted messages out of the log, for one bot account."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        self._bot = bot
        self._service = service
        self.lately = Once()
        """Messages that were deleted lately."""

    def hear(self, message: int, channel: int) -> None:
        """Discord has told of it."""
        self.lately.first(message)
        self._service.change(self._deleted(message, channel))

    async def meanwhile(self, seen: Seen) -> None:
        """Find what no event told of."""
        async for message in gone(seen):
            if self._service.closing:
                return
            self.lately.first(message)
            await self._deleted(message, seen.channel)

    async def _deleted(self, message: int, channel: int) -> None:
        """It goes from the log, later where the log takes no erasure now (its disk is full, say)."""
        try:
            await self._erase(message, channel)
        except StoreError as error:
            log.warning("message %d was deleted and cannot be erased yet: %s", message, error)
            self._service.later(self._erase_later(message, channel))

    async def _erase_later(self, message: int, channel: int) -> None:
        for wait in itertools.chain(LATER, itertools.repeat(LATER[-1])):
            await asyncio.sleep(wait)
            with contextlib.suppress(StoreError):
                return await self._erase(message, channel)

    async def _erase(self, message: int, channel: int) -> None:
        """What a person said, or every version of a reply that the message showed. A reply that is being written,
        to it or in it, ends first."""
        store = self._service.chat.store
        turn = await self._service.turn_shown(message, channel)
        for waiting in self._service.waiting:
            if message == waiting.asked or message in waiting.messages:
                await waiting.stop()
        for running in list(self._service.running):
            running.withdrawn |= running.asked == message
            running.removed |= message in running.messages or (turn is not None and running.turn == turn)
            if running.asked == message or running.removed:
                await running.reply.stop()
                await running.shown.wait()
        if await store.message_of_discord(message) is not None:
            await store.erase_message(message)
        if turn is not None:
            await self._erase_reply(turn, message, channel)

    async def _erase_reply(self, turn: int, message: int, channel: int) -> None:
        store = self._service.chat.store
        others = [each for each in await store.discord_messages(turn) if each != message]
        for version in {turn, *await versions_of(store, turn)}:
            await store.link_discord(version, [message])
            await store.erase_message(message)
        place = self._bot.get_partial_messageable(channel)
        for other in others:
            try:
                await place.get_partial_message(other).delete()
            except (discord.DiscordException, *TROUBLE) as error:
                log.info("part of a reply that was deleted stays: %s", error)
