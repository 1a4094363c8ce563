"""After a crash: the messages that were being written say so, and get their buttons."""

import asyncio
import logging

import discord
from discord.ext import commands

from .cog import ServiceCog
from .presenter import final_texts
from .service import Service
from .surface import Gone, Surface
from .transient import TROUBLE
from .views import finished_view

log = logging.getLogger(__name__)

NOTE = "I was interrupted here and started again since. *Retry* writes another reply."


class Mending(ServiceCog, name="Glasshead mending"):
    """Runs once, when Discord is there."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self._work: asyncio.Task[None] | None = None

    async def cog_load(self) -> None:
        if self.service.chat.store.interrupted:
            self._work = asyncio.create_task(self._mend_all())

    async def cog_unload(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _mend_all(self) -> None:
        await self.bot.wait_until_ready()
        for turn in self.service.chat.store.interrupted:
            try:
                await self._mend(turn)
            except (Gone, discord.DiscordException, *TROUBLE) as error:
                log.info("turn %d stays as it is in Discord: %s", turn, error)

    async def _mend(self, turn: int) -> None:
        """What was generated, with a note; where nothing was shown yet, the note as the answer."""
        store = self.service.chat.store
        recorded = await store.turn(turn)
        session = await store.session(recorded.session)
        if session.channel_id is None or recorded.prompt_message is None:
            return
        asked = await store.message(recorded.prompt_message)
        channel = self.bot.get_partial_messageable(session.channel_id, guild_id=session.guild_id)
        shown = [channel.get_partial_message(id) for id in await store.discord_messages(turn)]
        question = channel.get_partial_message(asked.discord_message_id) if asked.discord_message_id else None
        if not shown and question is None:
            return
        surface = Surface(channel, name=f"mend-{turn}", answers=question, messages=shown)
        texts, file = final_texts(recorded.reply, "", [NOTE], self.service.settings.discord.file_above_chars)
        await surface.finish(texts, await finished_view(store, turn), file)
        await surface.settle(store, turn)
