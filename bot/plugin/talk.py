"""Listening and answering: the cog that turns messages into replies."""

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from datetime import datetime
from weakref import WeakValueDictionary

import discord
from discord.ext import commands

from ..chat import ReplyRequest
from ..errors import UserError
from ..store import StoreError
from ..store.continuing import answered
from .addressing import Once, Reason, addressed
from .cog import ServiceCog, in_words
from .deleting import Deleting
from .display import sentence, small
from .hearing import Hearing, mentions
from .history import History
from .lately import Seen, lately
from .line import turn_of
from .missed import MISSED, answers, missed, wordless
from .permissions import plea
from .presenter import present
from .question import Question
from .reading import says_something
from .rights import lacking_in
from .service import NOBODY, Running, Service, Waiting, a_lot, guild_of
from .surface import Gone, Surface
from .transient import TROUBLE
from .waiting import LEFT, STARTED_AGAIN, STOPPED, only_waits

log = logging.getLogger(__name__)


class Talk(ServiceCog, name="Glasshead"):
    """Answers whoever addresses the bot."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self._once = Once()
        self._told: dict[int, float] = {}
        """People who know that they have to wait, until when."""
        self._deleting = Deleting(bot, service)
        self._hearing = Hearing(bot, service)
        self._questions: dict[int, Question] = {}
        """By the message that is to be answered."""
        self._edits: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @property
    def us(self) -> discord.ClientUser:
        assert self.bot.user is not None, "messages come after login"
        return self.bot.user

    @property
    def history(self) -> History:
        return History(self.service, self.us)

    async def cog_load(self) -> None:
        if self.bot.is_ready():  # loaded anew: the bot goes on, and was not listening for a moment
            self.service.later(self._catch_up())

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """The gateway's session began, or began anew: it repeats nothing of what happened before."""
        self.service.later(self._catch_up())

    @commands.Cog.listener()
    async def on_guild_available(self, guild: discord.Guild) -> None:
        """A server that was not there yet when the session began, or was away: nothing of it was told till now."""
        self.service.later(self._catch_up(guild))

    async def _catch_up(self, server: discord.Guild | None = None) -> None:
        fresh = discord.utils.utcnow() - MISSED
        async for seen in lately(self.bot, self.service, fresh, server):
            for message in seen.edited:
                self.service.change(self._edited(message, told=False))
            self.service.change(self._deleting.meanwhile(seen))
            self.service.change(self._clear(seen, fresh))
            for question in answers(seen, self.us):
                self._once.first(question)
            async for message in missed(seen, self.us, self.service, fresh):
                await self.on_message(message)

    async def _clear(self, seen: Seen, fresh: datetime) -> None:
        """Take away what an earlier process has left where replies were to come; what nobody answers any more is
        told so there."""
        left = [each for each in seen.messages if each.author.id == self.us.id and only_waits(each.content)]
        if not left:
            return
        async with self.service.turnstile(seen.channel):  # one that is just sent is known when that is done
            for message in left:
                asked = message.reference.message_id if message.reference is not None else None
                ours = any(message.id in each.surface.ids for each in self._questions.values())
                if ours or self.service.shown_in(message.id) is not None or not await self._is_nobodys(message):
                    continue
                with contextlib.suppress(discord.HTTPException, *TROUBLE):
                    if asked is not None and discord.utils.snowflake_time(asked) > fresh:
                        await message.delete()
                    else:
                        await message.edit(content=small(STARTED_AGAIN), view=None, allowed_mentions=NOBODY)

    async def _is_nobodys(self, message: discord.Message) -> bool:
        """Whether it shows no reply, or one that was stopped before its first word."""
        store = self.service.chat.store
        turn = await store.turn_of_discord_message(message.id)
        if turn is not None and wordless(await store.turn(turn)):
            await store.link_discord(turn, [])  # its going is not to look as if somebody had deleted a reply
            turn = None
        return turn is None

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot:
            return
        reason = addressed(await self._hearing.heard(message, self.us))
        if reason is None or not self._once.first(message.id):
            return
        if self.service.closing or not self.service.may_talk(message.author, message.channel, guild_of(message)):
            return
        if await self._is_for_host(message):
            return
        self.service.spawn(self._answer(message, reason))

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        message = payload.message
        if message.author.bot:
            return
        self.service.change(self._edited(message))
        fresh = message.edited_at is not None and message.created_at > discord.utils.utcnow() - MISSED
        if fresh and mentions(message, self.us):  # by now: whatever else is meant for the bot was so before
            await self.on_message(message)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        self._deleting.hear(payload.message_id, payload.channel_id)

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        for message in payload.message_ids:
            self._deleting.hear(message, payload.channel_id)

    def _edit(self, message: int) -> asyncio.Lock:
        """Held while an edit of a message is logged, and while a reply to it is begun."""
        return self._edits.setdefault(message, asyncio.Lock())

    async def _edited(self, message: discord.Message, *, told: bool = True) -> None:
        """A reply to how it read before is not written any more, unless something of it was said already."""
        question = self._questions.get(message.id)
        if question is not None:
            question.is_now(message)
        async with self._edit(message.id):  # one after the other, as they came
            question = self._questions.get(message.id)
            changed = await self.history.edited(message, told=told or question is not None)
            if question is not None and (changed or await self._reads_differently(question)):
                await question.outdated()

    async def _reads_differently(self, question: Question) -> bool:
        """Whether it is not what is being answered, also where the log has no edit of it: of some it keeps none."""
        if question.running is None or question.running.said:
            return False
        text, _ = await self.history.text(question.message)
        return text not in ("", question.read)

    async def _answer(self, message: discord.Message, reason: Reason) -> None:
        try:
            if await self._can_speak(message) and await self._in_measure(message):
                await self._answer_in_turn(message, reason)
        except UserError as error:
            await self._say(message, in_words(error))
        except discord.HTTPException as error:
            log.warning("message %d could not be answered: %s", message.id, error)
        except Exception:
            log.exception("message %d could not be answered", message.id)
            await self._say(message, "Something went wrong here; it is in my operator's log.")

    async def _answer_in_turn(self, message: discord.Message, reason: Reason) -> None:
        waiting = Waiting(message.author.id, message.channel.id, asked=message.id)
        # An earlier process may have taken back what it sent under a name of this message alone.
        name = f"{message.id:x}{time.time_ns() // 1_000_000 & 0xFFFF:04x}"
        surface = Surface(message.channel, name=name, answers=message)
        line, answered = self.service.line(message.channel, guild_of(message)), False
        question = self._questions[message.id] = Question(message, surface, waiting)
        try:
            async with turn_of(self.service, waiting, surface, line) as come:
                asked = come
                while asked and (begun := await self._begun(question, reason)) is not None:
                    running, notes = begun
                    answered = True
                    await self._show(message, surface, running, notes)
                    answered = not (running.edited or running.left)
                    asked = running.edited and not running.stopped
        finally:
            del self._questions[message.id]
            if not answered:
                await self._let_go(question)

    async def _let_go(self, question: Question) -> None:
        """It is not answered: what showed that somebody waits says why, or goes."""
        store, running, guild = self.service.chat.store, question.running, guild_of(question.message)
        surface = question.surface
        turn = running.turn if running is not None else None
        if question.welcome and guild is not None:
            await self.service.unwelcome(guild)
        if not surface.messages and (running is None or not running.left):
            return
        stopped = question.waiting.stopped.is_set() or (running is not None and running.stopped)
        why = LEFT if self.service.closing else STOPPED if stopped else ""
        gone = question.message.id in self._deleting.lately or (running is not None and running.removed)
        with contextlib.suppress(Gone, discord.HTTPException, *TROUBLE):
            if why and not gone:
                await surface.show([small(why)])
            else:
                await surface.withdraw(store, turn)
        if turn is not None:
            await store.link_discord(turn, [])

    async def _is_for_host(self, message: discord.Message) -> bool:
        """Whether it is a command of the bot that has loaded this plugin."""
        return bool((await self.bot.get_context(message)).valid)

    async def _already(self, message: discord.Message) -> bool:
        """Whether the log shows that this very message was answered, before a restart say."""
        return await self.service.chat.store.database.read(lambda c: answered(c, message.id))

    async def _can_speak(self, message: discord.Message) -> bool:
        """Check permissions beforehand; where something is missing, say so wherever that is possible."""
        guild = message.guild
        if guild is None or guild.unavailable or guild.me is None:
            return True
        lacking, timed_out = lacking_in(message.channel, guild.me), guild.me.is_timed_out()
        if not lacking and not timed_out:
            return True
        place = f"#{getattr(message.channel, 'name', 'that channel')}"
        text = f"I am timed out in {guild.name}." if timed_out else plea(lacking, place)
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
        """Whoever asks too much is told once until when to wait: a flood is not answered by another."""
        author, now = message.author.id, time.monotonic()
        self._told = {who: until for who, until in self._told.items() if until > now}
        wait = self.service.wait(author, guild_of(message))
        if wait and author not in self._told:
            self._told[author] = now + wait
            await self._say(message, sentence(a_lot(wait)))
        return not wait

    async def _begun(self, question: Question, reason: Reason) -> tuple[Running, tuple[str, ...]] | None:
        """The reply to a message as it reads now, and its small print; None where there is nothing to answer."""
        message, waiting = question.message, question.waiting
        waiting.messages = question.surface.ids
        self.service.coming.append(waiting)
        try:
            async with self.service.beginning(message.author.id):
                await self.service.changed()
                async with self._edit(message.id):  # edited now, it is answered anew
                    begun = await self._begin(question, reason)
        finally:
            self.service.coming.remove(waiting)
        if begun is not None and waiting.stopped.is_set():
            await begun[0].stop()
        return begun

    async def _begin(self, question: Question, reason: Reason) -> tuple[Running, tuple[str, ...]] | None:
        message = question.message
        if self.service.closing or message.id in self._deleting.lately:
            return None
        if question.running is None:
            if await self._already(message):
                return None
        else:
            await self.history.edited(message)  # an edit whose turn has not come yet
        text, declined = await self._read(message, reason)
        if not text:
            return None
        guild = guild_of(message)
        request = ReplyRequest(
            session=0,
            message=0,
            sampling=self.service.sampling(message.channel, guild),
            seed=self.service.seed(message.channel, guild),
            user=str(message.author.id),
            requester=message.author.id,
            model=self.service.model(message.channel, guild),
        )
        notes = [f"Not read: {'; '.join(declined)}."] if declined else []
        question.read = text
        if self.service.private(message.author.id, message.channel):
            reply = self.service.chat.unlogged(self.history.single(text, message.channel), request)
        else:
            try:
                logged = await self.history.add(message, text)
                question.welcome = question.welcome or await self.service.welcome(guild)
                notes += question.welcome
            except StoreError as gap:
                reply = self.service.chat.unlogged(self.history.single(text, message.channel), request, gap)
            else:
                if message.id in self._deleting.lately:
                    await self.service.chat.store.erase_message(message.id)
                    return None
                notes += logged.notes
                reply = self.service.chat.reply(replace(request, session=logged.session, message=logged.message))
        question.running = Running(reply, message.author.id, message.channel.id, asked=message.id)
        return question.running, tuple(notes)

    async def _show(
        self, message: discord.Message, surface: Surface, running: Running, notes: tuple[str, ...]
    ) -> None:
        await present(self.service, running, surface, notes)
        if surface.refused:
            place = f"#{getattr(message.channel, 'name', 'that channel')}"
            what = "go on" if surface.messages else "answer"
            await self._whisper(message, f"I cannot {what} in {place}: {surface.refused}")

    async def _read(self, message: discord.Message, reason: Reason) -> tuple[str, tuple[str, ...]]:
        """What the message says; empty, and answered here, if that is nothing. Raises UserError."""
        if not says_something(message):
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
        if not text or (text == self.history.call and not self.history.has_above(message)):
            await self._say(message, "Hello! Mention me with a question, or reply to what I said.")
            return "", ()
        return text, declined

    async def _say(self, message: discord.Message, text: str) -> None:
        """A line of small print in answer to ``message``."""
        with contextlib.suppress(discord.HTTPException, *TROUBLE):
            await message.reply(small(text[:1000]), allowed_mentions=NOBODY, mention_author=False)
