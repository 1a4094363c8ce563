"""From Discord's messages to the log's: which conversation a message continues, and what it now says.

The log is the conversation. Replies are taken from it, never read back from Discord; messages of people that it
does not hold yet (the one replied to, what was said in a thread meanwhile) are added to it.
"""

import logging
from datetime import timedelta
from typing import Any

import discord

from ..predict.message import Conversation, Message
from ..store import Store
from ..store.continuing import end_of, left_open
from ..store.records import MessageRow
from .adding import Adding
from .damaged import around_damage, readable
from .hearing import typed
from .interaction_surface import is_member
from .logged import BLANK, MOST_HISTORY, UNKEPT, Logged, Opening
from .reading import beginning, replied_to, replies, says_something, text_of
from .rereading import Rereading, system_prompt
from .service import Service, guild_of, places
from .transient import UNREADABLE

log = logging.getLogger(__name__)

Before = tuple[int, int | None]
"""A session, and the message in it that the next one follows (None: none)."""


class History:
    """Reads and extends the log for one bot account."""

    def __init__(self, service: Service, us: discord.ClientUser) -> None:
        self._service = service
        self._store: Store = service.chat.store
        self._us = us
        self._adding = Adding(service, us)
        self._cut = False
        self._lost = 0
        self._unread = ""

    async def add(self, message: discord.Message, text: str) -> Logged:
        """Log a message meant for the bot, as ``text``, behind what it continues."""
        waiting = await self._waiting(message, text)
        if waiting is not None:
            return waiting
        session, parent = await self._behind(await self._before(message), self._adding.opening(message))
        return self._placed(session, await self._adding.append(session, parent, message, text))

    def _placed(self, session: int, message: int) -> Logged:
        return Logged(session, message, self._cut, self._lost, self._unread)

    async def _waiting(self, message: discord.Message, text: str) -> Logged | None:
        """The message itself, where the log has it as the last word: read as context, or before a crash."""
        found = await self._store.database.read(lambda c: left_open(c, message.id))
        if found is None or (await self._store.message(found[1])).text != text:
            return None
        here = (await self._store.session(found[0])).channel_id == message.channel.id
        return Logged(*found) if here else None

    async def _behind(self, before: Before | None, opening: Opening) -> Before:
        """``before`` as it reads now; a new session where there is none."""
        if before is None:
            session = await self._adding.start(opening)
            return session, await self._adding.root(session, opening.channel)
        session, leaf = before
        if leaf is None:
            return before
        leaf = await self._around_damage(leaf)
        if leaf is None:
            return session, await self._adding.root(session, opening.channel)
        system = system_prompt(self._service, opening.channel)
        return session, await Rereading(self._service).as_it_now_reads(session, leaf, system)

    async def add_text(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        before: Before | None,
        thread: discord.Thread | None = None,
    ) -> Logged:
        """Log what was said in a command: behind ``before``, or as the beginning of a conversation."""
        user, opening = interaction.user, self._adding.asked(interaction, text, thread)
        session, parent = await self._behind(before, opening)
        author = await self._adding.named(session, user) if interaction.guild_id else None
        added = await self._store.append_message(
            session, "user", text, parent=parent, author=author, person=user.id
        )
        return self._placed(session, added)

    async def latest_of(self, interaction: discord.Interaction[Any], text: str) -> Before | None:
        """What something said in a command follows: where a whole place is one conversation, the end of that; else
        of what the person last talked about there by command, if that was not long ago."""
        scope = self._service.scope(interaction.channel, interaction.guild_id)
        if scope == "all" and is_member(interaction):
            return await self._everything(self._adding.asked(interaction, text), discord.Object(interaction.id))
        for row in await self._store.sessions(channel_id=interaction.channel_id, limit=20):
            if row.person == interaction.user.id and row.ended_us is None:
                return await self._end(row.id, self._recent)
        return None

    def single(self, text: str, channel: object) -> Conversation:
        """A conversation of one message, for those who want nothing kept."""
        system = system_prompt(self._service, channel)
        first = (Message("system", system),) if system else ()
        return (*first, Message("user", text))

    # which conversation

    async def _before(self, message: discord.Message) -> Before | None:
        """Session and message that this one follows; None: it begins a conversation."""
        scope = self._service.scope(message.channel, guild_of(message))
        if scope == "all":  # whatever it replies to is part of it
            return await self._everything(self._adding.opening(message), message)
        if replies(message):
            found = await self._referenced(message)
            if found is not None:
                return found
        return await self._latest(message.channel.id, since=self._recent) if scope == "recent" else None

    @property
    def _recent(self) -> timedelta:
        return timedelta(hours=self._service.settings.discord.recent_hours)

    async def _referenced(self, message: discord.Message) -> Before | None:
        assert message.reference is not None and message.reference.message_id is not None
        target = message.reference.message_id
        turn = await self._service.turn_shown(target, *places(message.channel))
        logged = await self._logged(target) if turn is None else await self.end_of_turn(turn)
        if logged is not None:
            if await self.erased(logged[1]):
                self._unread = UNKEPT
            return await self._here(message, logged)
        if turn is not None:
            return None
        chain = await self._unlogged_chain(message)
        if not chain:
            return None
        first = chain[0]
        before = await self._referenced(first) if replies(first) else None
        if before is None:
            session = await self._adding.start(self._adding.opening(message))
            before = session, await self._adding.root(session, message.channel)
        session, parent = before
        for each in chain:
            text, _ = await self.text(each)
            parent = await self._adding.append(session, parent, each, text)
        return session, parent

    async def _here(self, message: discord.Message, logged: tuple[int, int]) -> Before:
        """``logged``, or its line copied into a session of the place where ``message`` is: what was said in a
        channel may begin a thread."""
        if (await self._store.session(logged[0])).channel_id == message.channel.id:
            return logged
        session = await self._adding.start(self._adding.opening(message))
        return session, await self._adding.copied(session, logged[1])

    async def _unlogged_chain(self, message: discord.Message) -> list[discord.Message]:
        """The people's messages above ``message`` that the log does not hold, oldest first."""
        chain: list[discord.Message] = []
        current = message
        while len(chain) < MOST_HISTORY and current.reference is not None:
            above = await replied_to(current)
            if above is None or not self._counts(above, quoted=True) or await self._logged(above.id) is not None:
                break
            chain.append(above)
            current = above
        return chain[::-1]

    async def _everything(self, opening: Opening, until: discord.abc.Snowflake) -> Before:
        """The end of the place's one conversation, with what was said there since."""
        latest = await self._latest(opening.channel_id)
        if latest is None and isinstance(until, discord.Message):
            latest = await self._taken_over(until)
        if latest is None:
            session = await self._adding.start(opening)
            latest = session, await self._above_thread(session, opening.channel)
        session, parent = latest
        if parent is not None:
            parent = await self._around_damage(parent) or await self._adding.root(session, opening.channel)
        after = await self._last_read(parent)
        reading = opening.channel.history(limit=MOST_HISTORY, before=until, after=after, oldest_first=False)
        try:
            said = [m async for m in reading]
            self._cut = len(said) == MOST_HISTORY
        except UNREADABLE as error:
            log.info("what was said before cannot be read: %s", error)
            said = []
        for each in sorted(said, key=lambda m: m.id):
            if self._counts(each) and await self._store.message_of_discord(each.id) is None:
                text, _ = await self.text(each)
                parent = await self._adding.append(session, parent, each, text)
        return session, parent

    async def _taken_over(self, message: discord.Message) -> Before | None:
        """What a place's first conversation goes on from, if it begins with a reply to one of ours."""
        target = message.reference.message_id if message.reference is not None and replies(message) else None
        turn = None if target is None else await self._service.turn_shown(target, *places(message.channel))
        end = None if turn is None else await self.end_of_turn(turn)
        return None if end is None else await self._here(message, end)

    async def _above_thread(self, session: int, channel: object) -> int | None:
        """What a new session begins with: the system prompt, and in a thread what that was opened on."""
        first = await beginning(channel)
        turn = await self._store.turn_of_discord_message(first.id) if first is not None else None
        if turn is not None:
            end = await self.end_of_turn(turn)
            if end is not None:
                return await self._adding.copied(session, end[1])
        parent = await self._adding.root(session, channel)
        if turn is None and first is not None and self._counts(first):
            text, _ = await self.text(first)
            parent = await self._adding.append(session, parent, first, text)
        return parent

    async def _last_read(self, message: int | None) -> discord.Object | None:
        """The newest Discord message of a line of the log."""
        while message is not None:
            row = await readable(self._store, message)
            if row is not None and row.discord_message_id is not None:
                return discord.Object(row.discord_message_id)
            message = await self._store.above(message) if row is None else row.parent
        return None

    async def _around_damage(self, leaf: int) -> int | None:
        """``leaf``, or what can be followed instead."""
        at, lost = await around_damage(self._store, leaf)
        self._lost += lost
        return at

    async def _latest(self, channel: int | None, since: timedelta | None = None) -> Before | None:
        """The end of the channel's current session."""
        rows = await self._store.sessions(channel_id=channel, limit=1)
        if not rows or rows[0].ended_us is not None:
            return None
        return await self._end(rows[0].id, since)

    async def _end(self, session: int, since: timedelta | None) -> Before | None:
        """The last thing said in a session, None if that was longer ago than ``since``."""
        found = await self._store.database.read(lambda c: end_of(c, session))
        if found is None:
            return None
        end, begun_us = found
        if since is not None and discord.utils.utcnow().timestamp() - begun_us / 1e6 > since.total_seconds():
            return None
        return session, end

    async def end_of_turn(self, turn: int) -> tuple[int, int] | None:
        """The reply of a turn, to be followed."""
        full = await self._store.turn(turn)
        row = next(row for row in await self._store.turns(full.session) if row.id == turn)
        end = row.reply_message or row.prompt_message
        return (full.session, end) if end is not None else None

    async def erased(self, message: int) -> bool:
        """Whether its words are not in the log any more."""
        row = await readable(self._store, message)
        return row is not None and row.erased

    async def _logged(self, discord_id: int) -> tuple[int, int] | None:
        found = await self._store.message_of_discord(discord_id)
        if found is None:
            return None
        row = await readable(self._store, found)
        if row is None:
            return await self._store.session_of(found), found
        return None if row.erased else (row.session, row.id)

    def _counts(self, message: discord.Message, *, quoted: bool = False) -> bool:
        """Whether what somebody else said may be read as part of a conversation; what is ``quoted`` (replied to),
        also if another bot said it."""
        if message.author.bot or message.webhook_id is not None:
            ours = message.author.id == self._us.id
            if ours and quoted and not message.content.startswith("-# "):  # what is no small print is a reply
                self._unread = UNKEPT
            return quoted and not ours and says_something(message) and not self.private(message)
        if not typed(message):
            return False
        if self.private(message):
            self._unread = UNKEPT if quoted else self._unread
            return False
        self._unread = self._unread if says_something(message) else BLANK
        return says_something(message)

    def private(self, message: discord.Message) -> bool:
        """Of a person or in a channel that wants nothing kept."""
        return self._service.private(message.author.id, message.channel)

    # what it now says

    async def edited(self, message: discord.Message, *, told: bool = True) -> bool:
        """Whether a logged message reads differently now: the log gets it as another version. Not ``told`` of it,
        the bot found it edited: the log may know."""
        if self.private(message) or not await self._outdated(message, told):
            return False
        text, _ = await self.text(message)
        async with self._service.editing:
            row = await self._outdated(message, told)  # fetching files takes its time
            if row is None or text in ("", row.text):
                return False
            await self._adding.append(row.session, row.parent, message, text, author=row.author)
            return True

    async def _outdated(self, message: discord.Message, told: bool) -> MessageRow | None:
        """What the log has of a person's message, if that is older than its last edit."""
        found = await self._store.message_of_discord(message.id)
        if found is None or message.author.id == self._us.id:
            return None
        row = await self._store.message(found)
        edited = message.edited_at.timestamp() * 1e6 if message.edited_at is not None else 0
        return None if row.erased or (not told and row.created_us >= edited) else row

    async def text(self, message: discord.Message) -> tuple[str, tuple[str, ...]]:
        """What a message says, and which of its files were not read. One that is nothing but a mention of the bot
        calls it to what is said above."""
        text, declined = await text_of(message, self._us.id)
        return text or (self.call if message.content else ""), declined

    @property
    def call(self) -> str:
        """The bot's name, as a mention of it reads."""
        return f"@{self._us.display_name}"

    def has_above(self, message: discord.Message) -> bool:
        """Whether something is said above it that it can be about."""
        return replies(message) or self._service.scope(message.channel, guild_of(message)) == "all"
