"""`glasshead run` on Discord: a bot of our own that does nothing but load the plugin."""

import asyncio
import logging
import signal

import discord
from discord.ext import commands

from ..config import Settings
from ..errors import UserError
from . import load, sync_if_changed, unload
from .service import NOBODY, Service
from .transient import TROUBLE

log = logging.getLogger(__name__)

SYNC_AGAIN = (60.0, 600.0, 3600.0)
"""Seconds before each further try."""


class Client(commands.Bot):
    """The host of the plugin when nobody else is."""

    def __init__(self, settings: Settings, *, message_content: bool) -> None:
        intents = discord.Intents.default()
        intents.message_content = message_content
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=intents,
            allowed_mentions=NOBODY,
            max_messages=1000,
            chunk_guilds_at_startup=False,
        )
        self._settings = settings
        self._syncing: asyncio.Task[None] | None = None
        self.service: Service | None = None

    async def setup_hook(self) -> None:
        self.service = await load(self, self._settings)
        if not await self._synced():
            self._syncing = asyncio.create_task(self._sync_later())

    async def _synced(self) -> bool:
        """Commands that cannot be told now must not keep the bot from talking."""
        try:
            await sync_if_changed(self)
        except (discord.DiscordException, *TROUBLE, KeyError, TypeError, ValueError) as error:
            log.warning("the commands could not be synced, trying again later: %s: %s", type(error).__name__, error)
            return False
        return True

    async def _sync_later(self) -> None:
        for wait in SYNC_AGAIN:
            await asyncio.sleep(wait)
            if await self._synced():
                return

    async def on_message(self, message: discord.Message) -> None:
        """Messages are the plugin's business; there are no prefix commands."""

    async def close(self) -> None:
        self.service = None
        if self._syncing is not None:
            self._syncing.cancel()
        await unload(self)
        await super().close()


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Replies being written are stopped, shown and logged before it ends."""
    try:
        await _serve(settings, message_content=True)
    except discord.PrivilegedIntentsRequired:
        log.warning(
            "The message-content intent is off in Discord's developer portal: I answer where I am mentioned and in "
            "direct messages; threads, always-answer channels and replies without a mention stay unread."
        )
        await _serve(settings, message_content=False)


async def _serve(settings: Settings, *, message_content: bool) -> None:
    client = Client(settings, message_content=message_content)
    loop = asyncio.get_running_loop()
    asked_to_end = asyncio.Event()
    running = asyncio.create_task(client.start(settings.discord.token.get_secret_value()))
    ending = asyncio.create_task(asked_to_end.wait())
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked_to_end.set)
    try:
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    except discord.LoginFailure:
        raise UserError("Discord refuses the token: check DISCORD_TOKEN or [discord] token_file") from None
    finally:
        await client.close()
        for task in (running, ending):
            task.cancel()
        await asyncio.gather(running, ending, return_exceptions=True)
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)
