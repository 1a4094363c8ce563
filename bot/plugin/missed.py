"""Messages that no event told of: where the gateway's session begins anew, what was said before is not repeated."""

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import discord

from ..explain.turn import Turn
from .lately import Seen
from .service import Service
from .transient import TROUBLE
from .waiting import only_waits

log = logging.getLogger(__name__)

MISSED = timedelta(minutes=5)
"""Who asked longer ago does not wait for an answer any more."""


def wordless(turn: Turn) -> bool:
    """Whether a reply was stopped before it said anything: what it was to answer may be answered yet."""
    return turn.status == "stopped" and not (turn.reply or turn.reasoning)


def answers(seen: Seen, us: discord.abc.User) -> set[int]:
    """The messages of a place that the bot has replied to there, be it to say why it does not answer."""
    said = [each for each in seen.messages if each.author.id == us.id and not only_waits(each.content)]
    return {each.reference.message_id for each in said if each.reference is not None and each.reference.message_id}


async def missed(
    seen: Seen, us: discord.abc.User, service: Service, since: datetime
) -> AsyncIterator[discord.Message]:
    """What people said in a place since then and got no reply to, oldest first. The bot may know some of it."""
    answered = answers(seen, us)
    for message in reversed(seen.messages):
        if message.created_at > since and not message.author.bot and message.id not in answered:
            await _with_roles(message, service)
            yield message


async def _with_roles(message: discord.Message, service: Service) -> None:
    """A message that was fetched does not tell which roles its author has."""
    guild = message.guild
    if guild is None or isinstance(message.author, discord.Member):
        return
    here = service.preferences.guild(guild.id)
    if here.allowed_roles or here.blocked_roles:
        try:
            message.author = await guild.fetch_member(message.author.id)
        except (discord.DiscordException, *TROUBLE) as error:
            log.info("what roles somebody has cannot be looked up: %s", error)
