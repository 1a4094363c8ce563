"""What stands where something may have happened lately that no event told of: one look at each place."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import discord
from discord.ext import commands

from ..store import StoreError
from ..store.standing import standing
from .rights import may_read
from .service import Service
from .transient import UNREADABLE, passing, seconds_to_wait

log = logging.getLogger(__name__)

LATELY = timedelta(days=1)
"""What is older stays as the log has it."""
MOST_MESSAGES = 100
"""Of a place: as many as Discord gives at once."""
MOST_PLACES = 50
AGAIN = (2.0, 20.0, 60.0)
"""Seconds before each further try to read a place."""
MOST_UNSEEN = 10
"""Places with a conversation of which the gateway tells nothing: direct messages above all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A place as it is now: its messages, newest first, none of those newer than ``since`` left out.

    ``logged``: the messages of the place that the log held before they were read.
    """

    place: discord.abc.Messageable
    channel: int
    messages: tuple[discord.Message, ...]
    since: int
    logged: Collection[int]

    @property
    def edited(self) -> list[discord.Message]:
        """What the log may have as it read before."""
        return [each for each in self.messages if each.edited_at is not None and not each.author.bot]

    @property
    def missing(self) -> list[int]:
        """What the log knows and is not listed here, oldest first."""
        here = {message.id for message in self.messages}
        return sorted(id for id in self.logged if id > self.since and id not in here)


async def lately(
    bot: commands.Bot, service: Service, fresh: datetime, server: discord.Guild | None = None
) -> AsyncIterator[Seen]:
    """Places with messages newer than ``fresh``, and those in which the log knows some of lately; of one
    ``server``, or everywhere."""
    since = discord.utils.time_snowflake(discord.utils.utcnow() - LATELY)
    logged = await _logged(service, since)
    async for place, channel in _places(bot, service, discord.utils.time_snowflake(fresh), logged, server):
        said = await _said(place, discord.Object(since))
        if said is not None:
            whole = said[-1].id if len(said) == MOST_MESSAGES else since
            yield Seen(place, channel, tuple(said), whole, logged.get(channel, ()))


async def _logged(service: Service, since: int) -> dict[int, set[int]]:
    """What the log knows, by place; nothing where it cannot say: who asked meanwhile is answered all the same."""
    try:
        return await service.chat.store.database.read(lambda c: standing(c, since))
    except StoreError as error:
        log.warning("what was deleted meanwhile is not looked for: %s", error)
        return {}


async def _said(place: discord.abc.Messageable, since: discord.Object) -> list[discord.Message] | None:
    """The newest first; None where it cannot be read."""
    for wait in (*AGAIN, None):
        try:
            recent = place.history(limit=MOST_MESSAGES, after=since, oldest_first=False)
            return [message async for message in recent]
        except UNREADABLE as error:
            log.info("what was said meanwhile cannot be read: %s", error)
            if wait is None or not passing(error):
                break
            await asyncio.sleep(seconds_to_wait(error, wait))
    return None


Place = tuple[discord.abc.Messageable, int]
"""With its id, which not all that can be written to tell."""


async def _places(
    bot: commands.Bot, service: Service, fresh: int, logged: Collection[int], server: discord.Guild | None
) -> AsyncIterator[Place]:
    """Those in which nothing was said come last: nobody waits for an answer there."""
    spoken: list[Place] = []
    quiet: list[Place] = []
    for guild in bot.guilds if server is None else (server,):
        for channel in (*guild.channels, *guild.threads):
            if not isinstance(channel, discord.abc.Messageable):
                continue
            new = (channel.last_message_id or 0) > fresh
            if not new and channel.id not in logged:
                continue
            if may_read(channel, guild.me) is not False:
                (spoken if new else quiet).append((channel, channel.id))
    for place in spoken[:MOST_PLACES]:
        yield place
    if server is None:
        async for place in _unseen(bot, service):
            yield place
    for place in quiet[: max(0, MOST_PLACES - len(spoken))]:
        yield place


async def _unseen(bot: commands.Bot, service: Service) -> AsyncIterator[Place]:
    sessions = await service.chat.store.sessions(limit=MOST_PLACES)
    ids = dict.fromkeys(row.channel_id for row in sessions if row.channel_id is not None)
    unseen = [id for id in ids if bot.get_channel(id) is None or isinstance(bot.get_channel(id), discord.DMChannel)]
    for id in unseen[:MOST_UNSEEN]:
        try:
            place = bot.get_channel(id) or await bot.fetch_channel(id)
        except UNREADABLE as error:
            log.info("what was said meanwhile in %d cannot be read: %s", id, error)
            continue
        if isinstance(place, discord.abc.Messageable):
            yield place, id
