"""Messages that no event told of: where the gateway's session begins anew, what was said before is not repeated."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import discord
from discord.ext import commands

from .rights import known
from .service import Service
from .transient import TROUBLE, passing, seconds_to_wait

log = logging.getLogger(__name__)

MISSED = timedelta(minutes=5)
"""Who asked longer ago does not wait for an answer any more."""
MOST_MESSAGES = 100
MOST_PLACES = 50
AGAIN = (2.0, 20.0, 60.0)
"""Seconds before each further try to read a place."""
MOST_UNSEEN = 10
"""Places with a conversation of which the gateway tells nothing: direct messages above all."""


async def missed(bot: commands.Bot, service: Service) -> AsyncIterator[discord.Message]:
    """What people said lately and got no reply to, place by place, oldest first. The bot may know some of it."""
    since = discord.utils.utcnow() - MISSED
    for place in await _places(bot, service, since):
        said = await _said(place, since)
        ours = [message for message in said if bot.user is not None and message.author.id == bot.user.id]
        answered = {message.reference.message_id for message in ours if message.reference is not None}
        for message in reversed(said):
            if not message.author.bot and message.id not in answered:
                await _with_roles(message, service)
                yield message


async def _said(place: discord.abc.Messageable, since: datetime) -> list[discord.Message]:
    """The newest first; nothing, where it cannot be read at all."""
    for wait in (*AGAIN, None):
        try:
            recent = place.history(limit=MOST_MESSAGES, after=since, oldest_first=False)
            return [message async for message in recent]
        except (discord.DiscordException, *TROUBLE) as error:
            log.info("what was said meanwhile cannot be read: %s", error)
            if wait is None or not passing(error):
                break
            await asyncio.sleep(seconds_to_wait(error, wait))
    return []


async def _places(bot: commands.Bot, service: Service, since: datetime) -> list[discord.abc.Messageable]:
    newest = discord.utils.time_snowflake(since)
    places: list[discord.abc.Messageable] = []
    for guild in bot.guilds:
        for channel in (*guild.channels, *guild.threads):
            if not isinstance(channel, discord.abc.Messageable) or (channel.last_message_id or 0) <= newest:
                continue
            has = known(channel, guild.me)
            if has is None or (has.view_channel and has.read_message_history):
                places.append(channel)
    return places[:MOST_PLACES] + await _unseen(bot, service)


async def _unseen(bot: commands.Bot, service: Service) -> list[discord.abc.Messageable]:
    sessions = await service.chat.store.sessions(limit=MOST_PLACES)
    ids = dict.fromkeys(row.channel_id for row in sessions if row.channel_id is not None)
    unseen = [id for id in ids if bot.get_channel(id) is None or isinstance(bot.get_channel(id), discord.DMChannel)]
    places: list[discord.abc.Messageable] = []
    for id in unseen[:MOST_UNSEEN]:
        try:
            place = bot.get_channel(id) or await bot.fetch_channel(id)
        except (discord.DiscordException, *TROUBLE, KeyError) as error:
            log.info("what was said meanwhile in %d cannot be read: %s", id, error)
            continue
        if isinstance(place, discord.abc.Messageable):
            places.append(place)
    return places


async def _with_roles(message: discord.Message, service: Service) -> None:
    """A message that was fetched does not tell which roles its author has."""
    guild = message.guild
    if guild is None or isinstance(message.author, discord.Member):
        return
    if service.preferences.guild(guild.id).allowed_roles:
        try:
            message.author = await guild.fetch_member(message.author.id)
        except (discord.DiscordException, *TROUBLE) as error:
            log.info("what roles somebody has cannot be looked up: %s", error)
