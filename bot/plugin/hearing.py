"""What is known about a message that arrived. What an event leaves out is looked up: cache, log, Discord."""

import logging
from collections.abc import Sequence

import discord
from discord.ext import commands

from .addressing import Heard
from .service import Service
from .transient import UNREADABLE, passing

log = logging.getLogger(__name__)


class Hearing:
    """Turns messages into facts for one bot account."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        self._bot = bot
        self._service = service
        self._places: dict[int, discord.abc.Messageable] = {}
        """Channels that arrived unknown, as fetched; those that Discord does not show as they came."""

    async def heard(self, message: discord.Message, us: discord.ClientUser) -> Heard:
        if isinstance(message.channel, discord.PartialMessageable):
            await self._locate(message)
        channel = message.channel
        replies_to = await self._answered(message)
        return Heard(
            by_bot=message.author.bot or message.author.id == us.id or message.webhook_id is not None,
            by_system=not typed(message),
            direct=isinstance(channel, discord.DMChannel),
            mentions_us=mentions(message, us),
            mentions_others=message.mention_everyone or bool(_named(message) - _ours(message, us)),
            replies_to_us=replies_to == us.id,
            replies_to_other=replies_to not in (None, us.id),
            in_own_thread=isinstance(channel, discord.Thread) and channel.owner_id == us.id,
            in_always=self._service.answers_all(channel),
        )

    async def _locate(self, message: discord.Message) -> None:
        """A thread or channel no event has told of: what it is decides how the message is read."""
        id = message.channel.id
        if id not in self._places:
            try:
                self._places[id] = await self._bot.fetch_channel(id)  # type: ignore[assignment]
            except UNREADABLE as error:
                log.info("channel %d cannot be looked up: %s", id, error)
                if passing(error):
                    return
                self._places[id] = message.channel
        message.channel = self._places[id]  # type: ignore[assignment]
        message.guild = message.guild or getattr(message.channel, "guild", None)

    async def _answered(self, message: discord.Message) -> int | None:
        """The author of the message this one replies to, None if it replies to none; 0: nobody knows any more."""
        reference = message.reference
        if (
            reference is None
            or reference.message_id is None
            or reference.type is not discord.MessageReferenceType.reply
        ):
            return None
        above = reference.resolved or reference.cached_message
        if isinstance(above, discord.Message):
            return above.author.id
        if await self._service.chat.store.turn_of_discord_message(reference.message_id) is not None:
            return self._bot.user.id if self._bot.user else 0
        if isinstance(above, discord.DeletedReferencedMessage):
            return 0
        try:
            above = await message.channel.fetch_message(reference.message_id)
        except UNREADABLE:
            return 0
        reference.resolved = above
        return above.author.id


def mentions(message: discord.Message, us: discord.ClientUser) -> bool:
    """Whether it names the bot, itself or by the role that Discord gave it in a server."""
    return bool(_named(message) & _ours(message, us))


def _ours(message: discord.Message, us: discord.ClientUser) -> set[int]:
    role = message.guild.self_role if message.guild is not None else None
    return {us.id} if role is None else {us.id, role.id}


def _named(message: discord.Message) -> set[int]:
    return {*message.raw_mentions, *message.raw_role_mentions, *(user.id for user in mentioned_users(message))}


def mentioned_users(message: discord.Message) -> Sequence[discord.abc.User]:
    """Those that the event names: discord.py has no such attribute where it names nobody at all."""
    return getattr(message, "mentions", ())


def typed(message: discord.Message) -> bool:
    """Whether a person wrote it, and not Discord on their behalf: that a poll of theirs ended, that a thread was
    opened on what they said. discord.py's own notion of a system message leaves these out."""
    return message.type in (discord.MessageType.default, discord.MessageType.reply)
