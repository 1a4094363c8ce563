"""What the bot shows under its name: the model, and how many are waiting."""

import logging

import discord
from discord.ext import commands, tasks

from ..predict.engine import short_name
from .cog import ServiceCog
from .service import Service

log = logging.getLogger(__name__)

EVERY = 15.0
"""Discord takes five changes a minute."""


class Presence(ServiceCog, name="Glasshead presence"):
    """Looks now and then, and tells Discord only what changed. A host shows what it likes."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self._shown = ""

    async def cog_load(self) -> None:
        if self.bot.activity is None:
            self._look.start()

    async def cog_unload(self) -> None:
        self._look.cancel()
        if self._shown:
            await self._tell(None)

    @tasks.loop(seconds=EVERY)
    async def _look(self) -> None:
        await self._show()

    @_look.before_loop
    async def _ready(self) -> None:
        await self.bot.wait_until_ready()

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """A new session has forgotten it."""
        self._shown = ""

    async def _show(self) -> None:
        chat = self.service.chat
        in_line, streams = len(self.service.waiting), self.service.settings.engine.streams
        text = standing(chat.models[0], chat.running, streams, in_line)
        if text != self._shown and await self._tell(discord.CustomActivity(text)):
            self._shown = text

    async def _tell(self, activity: discord.CustomActivity | None) -> bool:
        if self.bot.is_closed():
            return False
        try:
            await self.bot.change_presence(activity=activity, status=self.bot.status)
        except (discord.DiscordException, ConnectionError):
            log.debug("the presence was not shown")
            return False
        return True


def standing(model: str, running: int, streams: int, in_line: int) -> str:
    """One line: the model, and whether one has to wait for it, or in the line of a conversation."""
    name = short_name(model)
    waiting = max(0, running - streams) + in_line
    return f"{name} · busy ({waiting} waiting)"[:128] if waiting else name[:128]
