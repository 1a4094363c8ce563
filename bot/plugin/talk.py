"""Listening and answering: the cog that turns messages into replies."""

import contextlib
import logging
from dataclasses import replace

import discord
from discord.ext import commands

from ..chat import ReplyRequest
from ..errors import UserError
from .addressing import Once, Reason, addressed
from .cog import ServiceCog
from .display import small
from .hearing import Hearing
from .history import History
from .permissions import plea
from .presenter import present
from .rights import lacking_in
from .service import NOBODY, Running, Service
from .surface import Surface
from .transient import TROUBLE
from .views import versions_of

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
        self._hearing = Hearing(bot, service)

    @property
    def us(self) -> discord.ClientUser:
        assert self.bot.user is not None, "messages come after login"
        return self.bot.user

    @property
    def history(self) -> History:
        return History(self.service, self.us)

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot:
            return
        reason = addressed(await self._hearing.heard(message, self.us))
        if reason is None or not self._once.first(message.id):
            return
        if self.service.closing or not self.service.may_talk(message.author, message.channel, message.guild):
            return
        self.service.spawn(self._answer(message, reason))

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        if not payload.message.author.bot:
            self.service.change(self.history.edited(payload.message))

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        self.service.change(self._deleted(payload.message_id))

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        for message in payload.message_ids:
            self.service.change(self._deleted(message))

    async def _deleted(self, message: int) -> None:
        """It goes from the log too: what a person said, or every version of a reply that the message showed."""
        store = self.service.chat.store
        if await store.message_of_discord(message) is not None:
            await store.erase_message(message)
        turn = await store.turn_of_discord_message(message)
        if turn is None:
            return
        running = self.service.running_turn(turn)
        if running is not None:
            await running.reply.stop()
            await running.shown.wait()
        for version in {turn, *await versions_of(store, turn)}:
            await store.link_discord(version, [message])
            await store.erase_message(message)

    async def _answer(self, message: discord.Message, reason: Reason) -> None:
        try:
            if not await self._can_speak(message) or not await self._in_measure(message):
                return
            apart = self.service.scope(message) == "replies"
            line = contextlib.nullcontext() if apart else self.service.line(message.channel.id)
            async with line:
                await self.service.changed()
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
        guild = message.guild
        if guild is None or guild.me is None:
            return True
        lacking = lacking_in(message.channel, guild.me)
        if not lacking and not guild.me.is_timed_out():
            return True
        place = f"#{getattr(message.channel, 'name', 'that channel')}"
        text = plea(lacking, place) if lacking else f"I am timed out in {guild.name}."
        if lacking == ("read_message_history",):
            await message.channel.send(small(text), allowed_mentions=NOBODY)
        else:
            await self._whisper(message, text)
        return False

    async def _whisper(self, message: discord.Message, text: str) -> None:
        """Where the bot may not speak: a direct message, if the person takes any."""
        with contextlib.suppress(discord.HTTPException, *TROUBLE):
            await message.author.send(small(text), allowed_mentions=NOBODY)

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
        if surface.refused and not surface.messages:
            place = f"#{getattr(message.channel, 'name', 'that channel')}"
            await self._whisper(message, f"I cannot answer in {place}: {surface.refused}")

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
        with contextlib.suppress(discord.HTTPException, *TROUBLE):
            await message.reply(small(text[:1000]), allowed_mentions=NOBODY, mention_author=False)
