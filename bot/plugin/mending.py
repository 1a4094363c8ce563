"""After a restart: what Discord does not show as the log has it is brought up to date, buttons included."""

import asyncio
import logging

import discord
from discord.ext import commands

from . import unshown
from .again import texts_again
from .cog import ServiceCog
from .missed import MISSED, wordless
from .presenter import LATER
from .rights import takes_files
from .service import Service
from .surface import Gone, Surface
from .transient import TROUBLE, passing
from .views import finished_view, versions_of

log = logging.getLogger(__name__)


class Mending(ServiceCog, name="Glasshead mending"):
    """Runs once, when Discord is there; again later for what Discord did not take."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self._work: asyncio.Task[None] | None = None

    async def cog_load(self) -> None:
        store = self.service.chat.store
        behind = sorted({*store.interrupted, *await unshown.left(store)})
        if behind:
            self._work = asyncio.create_task(self._mend_all(behind))

    async def cog_unload(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _mend_all(self, behind: list[int]) -> None:
        await self.bot.wait_until_ready()
        for wait in (0.0, *LATER):
            await asyncio.sleep(wait)
            behind = [turn for turn in behind if not await self._done_with(turn)]
            if not behind:
                return

    async def _done_with(self, turn: int) -> bool:
        """False: Discord is out of order, and the turn is to be tried again."""
        try:
            if not await self._mend(turn):
                return False
        except (Gone, discord.DiscordException, *TROUBLE) as error:
            log.info("turn %d stays as it is in Discord: %s", turn, error)
            if passing(error):
                return False
        except Exception:
            log.exception("turn %d stays as it is in Discord", turn)
        await unshown.settled(self.service.chat.store, turn)
        return True

    async def _mend(self, turn: int) -> bool:
        """What was generated, with its small print; where nothing was shown yet, as the answer."""
        store = self.service.chat.store
        recorded = await store.turn(turn)
        session = await store.session(recorded.session)
        if session.channel_id is None or recorded.prompt_message is None or recorded.parent_turn is not None:
            return True
        asked = await store.message(recorded.prompt_message)
        channel = self.bot.get_partial_messageable(session.channel_id, guild_id=session.guild_id)
        shown = [channel.get_partial_message(id) for id in await store.discord_messages(turn)]
        question = channel.get_partial_message(asked.discord_message_id) if asked.discord_message_id else None
        if asked.erased or (not shown and (question is None or await self._shown_otherwise(turn))):
            return True
        if wordless(recorded) and question is not None and _is_fresh(question.id):
            return True  # it is answered anew
        surface = Surface(channel, name=f"mend-{turn}", answers=question, messages=shown)
        surface.takes_files = takes_files(self.bot.get_channel(session.channel_id))
        texts, file = await texts_again(self.service, recorded, surface)
        async with self.service.turnstile(session.channel_id):
            whole = await surface.finish(texts, await finished_view(store, turn), file)
            await surface.settle(store, turn)
        return whole

    async def _shown_otherwise(self, turn: int) -> bool:
        """Whether another reply to the same message stands there: this one was to take its place."""
        store = self.service.chat.store
        others = [other for other in await versions_of(store, turn) if other != turn]
        return any([await store.discord_messages(other) for other in others])


def _is_fresh(message: int) -> bool:
    return discord.utils.snowflake_time(message) > discord.utils.utcnow() - MISSED
