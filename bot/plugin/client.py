"""`glasshead run` on Discord: a bot of our own that does nothing but load the plugin."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Any

import discord
from discord.backoff import ExponentialBackoff
from discord.ext import commands

from ..config import Settings
from ..errors import UserError
from . import load, sync_if_changed, unload
from .display import counted
from .service import NOBODY, Service
from .transient import TROUBLE, UNREADABLE, passing

log = logging.getLogger(__name__)

REFUSED = "Discord refuses the token: check DISCORD_TOKEN or [discord] token_file"
CLOSED = {
    4004: REFUSED,
    4010: "Discord refuses the shard: this bot runs on one",
    4011: "Discord wants this bot sharded: it is in too many servers for one connection",
    4012: "Discord does not speak this version of its gateway any more: a newer discord.py may know the next",
    4013: "Discord does not know an intent this bot asks for: a newer version may",
}
"""Close codes after which there is no coming back."""
NOT_GRANTED = "Discord refuses the intents of this bot, message content not asked for: see its developer portal"
LOGIN_AGAIN = 5.0, 60.0
"""Seconds before the second try to log in, and at most before any."""

SYNC_AGAIN = (60.0, 600.0, 3600.0)
"""Seconds before each further try."""


class Client(commands.Bot):
    """The host of the plugin when nobody else is."""

    def __init__(self, settings: Settings, *, message_content: bool) -> None:
        intents = discord.Intents.default()
        intents.message_content = message_content
        # This bot does not speak: that it could not, needs no warning.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=intents,
            allowed_mentions=NOBODY,
            max_messages=1000,
            chunk_guilds_at_startup=False,
        )
        parsers = self._connection.parsers
        parsers.update({name: _survived(name, parse) for name, parse in parsers.items()})
        self._settings = settings
        self._loading: asyncio.Future[Service] | None = None
        self._syncing: asyncio.Task[None] | None = None
        self.service: Service | None = None

    async def setup_hook(self) -> None:
        self._loading = asyncio.ensure_future(load(self, self._settings))
        self.service = await asyncio.shield(self._loading)
        if not await self._synced():
            self._syncing = asyncio.create_task(self._sync_later())

    async def _synced(self) -> bool:
        """Commands that cannot be told now must not keep the bot from talking."""
        try:
            await sync_if_changed(self)
        except UNREADABLE as error:
            log.warning("the commands could not be synced, trying again later: %s: %s", type(error).__name__, error)
            return False
        return True

    async def _sync_later(self) -> None:
        for wait in SYNC_AGAIN:
            await asyncio.sleep(wait)
            if await self._synced():
                return

    async def on_ready(self) -> None:
        log.info("on Discord as %s, in %s", self.user, counted(len(self.guilds), "server"))

    async def on_message(self, message: discord.Message) -> None:
        """Messages are the plugin's business; there are no prefix commands."""

    async def connect(self, *, reconnect: bool = True) -> None:
        """Through a frame that is no JSON, or does not decompress, too: discord.py would end at it."""
        backoff = ExponentialBackoff()
        while True:
            try:
                return await super().connect(reconnect=reconnect)
            except (discord.DiscordException, *TROUBLE):
                raise
            except Exception as error:
                if self.ws is not None:
                    await self.ws.close()
                wait = backoff.delay()
                why = f"{type(error).__name__}: {error}"
                log.warning("Discord sent what cannot be read, connecting anew in %.0f s: %s", wait, why)
                await asyncio.sleep(wait)

    async def close(self) -> None:
        self.service = None
        if self._loading is not None:  # a model half loaded cannot be put away
            await asyncio.wait({self._loading})
        if self._syncing is not None:
            self._syncing.cancel()
        await unload(self)
        await super().close()


def _survived(name: str, parse: Callable[[Any], object]) -> Callable[[Any], None]:
    """An event that discord.py cannot read costs that event; by itself it would end the bot."""

    def parsed(data: Any) -> None:
        try:
            if name.startswith("MESSAGE_"):
                _complete(data)
            parse(data)
        except Exception as error:
            log.warning("Discord sent a %s that cannot be read: %s: %s", name, type(error).__name__, error)

    return parsed


def _complete(message: dict[str, Any]) -> None:
    """Some servers refer to no message in as many words, or do not say that it is in the same channel."""
    reference = message.get("message_reference")
    if reference:
        reference.setdefault("channel_id", message["channel_id"])
    else:
        message.pop("message_reference", None)
    if above := message.get("referenced_message"):
        _complete(above)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Replies being written are stopped, shown and logged before it ends."""
    loop, asked_to_end = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked_to_end.set)
    try:
        await _serve_on(settings, asked_to_end)
    finally:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)


async def _serve_on(settings: Settings, asked_to_end: asyncio.Event) -> None:
    """Past an intent that is not granted, and until a Discord or a network that is away is there again."""
    message_content, wait = True, LOGIN_AGAIN[0]
    while not asked_to_end.is_set():
        try:
            return await _serve(settings, asked_to_end, message_content=message_content)
        except discord.PrivilegedIntentsRequired:
            if not message_content:  # nothing is left that could be done without
                raise UserError(NOT_GRANTED) from None
            log.warning(
                "The message-content intent is off in Discord's developer portal: I answer where I am mentioned "
                "and in direct messages; threads, always-answer channels and replies without a mention stay unread."
            )
            message_content = False
        except discord.LoginFailure:
            raise UserError(REFUSED) from None
        except discord.ConnectionClosed as closed:
            usual = f"Discord closed the connection for good, code {closed.code}"
            raise UserError(CLOSED.get(closed.code, usual)) from None
        except (discord.DiscordException, *TROUBLE) as error:
            if not passing(error):
                raise UserError(f"Discord does not let this bot in: {error}") from None
            why = str(error) or type(error).__name__
            log.warning("Discord cannot be reached, trying again in %.0f s: %s", wait, why)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked_to_end.wait(), wait)
            wait = min(LOGIN_AGAIN[1], wait * 2)
    return None


async def _serve(settings: Settings, asked_to_end: asyncio.Event, *, message_content: bool) -> None:
    client = Client(settings, message_content=message_content)
    running = asyncio.create_task(client.start(settings.discord.token.get_secret_value()))
    ending = asyncio.create_task(asked_to_end.wait())
    try:
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        await client.close()
        for task in (running, ending):
            task.cancel()
        await asyncio.gather(running, ending, return_exceptions=True)
