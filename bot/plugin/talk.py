"""Listening and answering: the cog that turns messages into replies."""

import asyncio
import contextlib
import logging
from dataclasses import replace

import discord
from discord.ext import commands

from ..chat import ReplyRequest
from ..errors import UserError
from .addressing import Heard, Once, Reason, addressed
from .cog import ServiceCog
from .display import small
from .history import History
from .permissions import SHOWN, missing, plea
from .presenter import present
from .service import NOBODY, Running, Service
from .surface import Surface

log = logging.getLogger(__name__)

WELCOME = (
    "First time here: I am a language model on this bot's own machine. What is said to me and what I answer is "
    "logged, so that any reply can be explained. `/privacy` says what is kept, `/forget` erases it."
)


class Talk(ServiceCog, name="Glasshead"):
    """Answers whoever addresses the bot."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self._once = Once()

    @property
    def us(self) -> discord.ClientUser:
        assert self.bot.user is not None, "messages come after login"
        return self.bot.user

    @property
    def history(self) -> History:
        return History(self.service, self.us)

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        reason = addressed(self._heard(message))
        if reason is None or not self._once.first(message.id):
            return
        if self.service.closing or not self.service.may_talk(message.author, message.channel, message.guild):
            return
        self.service.spawn(self._answer(message, reason))

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        if not payload.message.author.bot:
            await self.history.edited(payload.message)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        await self._deleted(payload.message_id)

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        for message in payload.message_ids:
            await self._deleted(message)

    async def _deleted(self, message: int) -> None:
        """What a person deleted in Discord goes from the log too."""
        if await self.service.chat.store.message_of_discord(message) is not None:
            await self.service.chat.store.erase_message(message)

    def _heard(self, message: discord.Message) -> Heard:
        channel = message.channel
        resolved = message.reference.resolved if message.reference is not None else None
        replies_to = resolved.author.id if isinstance(resolved, discord.Message) else None
        is_reply = message.type is discord.MessageType.reply
        ours = {self.us.id}
        if message.guild is not None and message.guild.self_role is not None:
            ours.add(message.guild.self_role.id)
        named = {*message.raw_mentions, *message.raw_role_mentions}
        always = self.service.settings.discord.always_answer
        return Heard(
            by_bot=message.author.bot or message.webhook_id is not None,
            by_system=message.is_system(),
            direct=message.guild is None,
            mentions_us=bool(named & ours),
            mentions_others=bool(named - ours),
            replies_to_us=is_reply and replies_to == self.us.id,
            replies_to_other=is_reply and replies_to != self.us.id,
            in_own_thread=isinstance(channel, discord.Thread) and channel.owner_id == self.us.id,
            in_always=channel.id in always or self.service.set_here(channel).always,
        )

    async def _answer(self, message: discord.Message, reason: Reason) -> None:
        try:
            if not await self._can_speak(message) or not await self._in_measure(message):
                return
            whole_channel = message.guild is None or isinstance(message.channel, discord.Thread)
            line = self.service.line(message.channel.id) if whole_channel else contextlib.nullcontext()
            async with line:
                if self.service.closing or await self._already(message):
                    return
                await self._reply(message, reason)
        except UserError as error:
            await self._say(message, str(error))
        except discord.HTTPException as error:
            log.warning("message %d could not be answered: %s", message.id, error)
        except Exception:
            log.exception("message %d could not be answered", message.id)
            await self._say(message, "Something went wrong here; it is in my operator's log.")

    async def _already(self, message: discord.Message) -> bool:
        """Whether the log shows that this very message was answered, before a restart say."""
        return await self.service.chat.store.message_of_discord(message.id) is not None

    async def _can_speak(self, message: discord.Message) -> bool:
        """Check permissions beforehand; where something is missing, say so wherever that is possible."""
        if message.guild is None:
            return True
        channel = message.channel
        assert isinstance(channel, discord.abc.GuildChannel | discord.Thread)
        has = channel.permissions_for(message.guild.me)
        granted = [name for name in SHOWN if getattr(has, name)]
        lacking = missing(granted, thread=isinstance(channel, discord.Thread))
        if not lacking and not message.guild.me.is_timed_out():
            return True
        text = plea(lacking, f"#{channel.name}") if lacking else f"I am timed out in {message.guild.name}."
        if lacking == ("read_message_history",):
            await channel.send(small(text), allowed_mentions=NOBODY)
            return False
        with contextlib.suppress(discord.HTTPException):
            await message.author.send(small(text), allowed_mentions=NOBODY)
        return False

    async def _in_measure(self, message: discord.Message) -> bool:
        wait = self.service.wait(message.author.id, message.guild.id if message.guild else None)
        if wait:
            await self._say(message, f"That is a lot at once. Please ask again in {max(1, round(wait))} seconds.")
        return not wait

    async def _reply(self, message: discord.Message, reason: Reason) -> None:
        text, declined = await self._read(message, reason)
        if not text:
            return
        guild = message.guild.id if message.guild else None
        request = ReplyRequest(
            session=0,
            message=0,
            sampling=self.service.sampling(message.channel, guild),
            seed=self.service.set_here(message.channel).seed,
            user=str(message.author.id),
            requester=message.author.id,
            model=self.service.model(message.channel, guild),
        )
        notes = [f"I read text files only. Not read: {', '.join(declined)}."] if declined else []
        if self.service.private(message.author.id, message.channel):
            reply = self.service.chat.unlogged(self.history.single(text, message.channel), request)
        else:
            logged = await self.history.add(message, text)
            reply = self.service.chat.reply(replace(request, session=logged.session, message=logged.message))
            notes += await self._welcome(message)
        running = Running(reply, message.author.id, message.channel.id)
        surface = Surface(message.channel, name=str(message.id), answers=message)
        await present(self.service, running, surface, tuple(notes))

    async def _read(self, message: discord.Message, reason: Reason) -> tuple[str, tuple[str, ...]]:
        """What the message says; empty, and answered here, if that is nothing. Raises UserError."""
        if not message.content and not message.attachments:
            if self.bot.intents.message_content:
                await self._say(message, "I see an empty message.")
            elif reason not in ("thread", "always"):
                off = "I may only read messages that mention me (the message-content intent is off)."
                await self._say(message, f"I see an empty message. {off}")
            return "", ()
        limit = self.service.settings.chat.max_message_chars
        if len(message.content) > limit:
            raise UserError(f"the message has {len(message.content)} characters, and {limit} is the most I read")
        text, declined = await self.history.text(message)
        if not text:
            await self._say(message, "Hello! Mention me with a question, or reply to what I said.")
        return text, declined

    async def _welcome(self, message: discord.Message) -> list[str]:
        """The privacy notice, with the first reply in a server."""
        if message.guild is None or self.service.preferences.guild(message.guild.id).welcomed:
            return []
        await self.service.preferences.set_guild(message.guild.id, welcomed=True)
        return [WELCOME]

    async def _say(self, message: discord.Message, text: str) -> None:
        """A line of small print in answer to ``message``."""
        with contextlib.suppress(discord.HTTPException, asyncio.TimeoutError):
            await message.reply(small(text[:1000]), allowed_mentions=NOBODY, mention_author=False)
