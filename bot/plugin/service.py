"""What all cogs share: the chat, the settings, the replies being made, the pace of each channel."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import discord

from ..chat import Chat
from ..chat.reply import Reply
from ..config import Scope, Settings
from ..errors import UserError
from ..predict.halt import Halt
from ..predict.sampling import Sampling
from .allowance import Allowance
from .bounds import SAMPLED, bounded
from .display import counted
from .pacing import Left, Turnstile
from .preferences import ChannelPreferences, Preferences

NOBODY = discord.AllowedMentions.none()
WELCOME = (
    "First time here: I am a language model on this bot's own machine. What is said to me and what I answer is "
    "logged, so that any reply can be explained. `/privacy` says what is kept, `/forget` erases it."
)
LONGEST_CHANGE = 5.0
LONGEST_END = 7.0
"""Seconds in which replies that were stopped are shown; what Discord has not taken by then is in the log."""


@dataclass(eq=False)
class Running:
    """A reply being shown: who asked, where, and its turn once the log has it."""

    reply: Reply
    requester: int
    channel: int
    asked: int | None = None
    """The Discord message it answers, if it answers one."""
    withdrawn: bool = False
    """That message was deleted: of a reply that has not said anything yet, nothing is to stay."""
    removed: bool = False
    """One of the messages that show it was deleted: nothing of it is to stay."""
    edited: bool = False
    """That message was edited before the reply said anything: it is answered anew."""
    stopped: bool = False
    """Somebody wanted it to end."""
    left: bool = False
    """Nothing is shown of it: it ended before it had said anything, or that message was deleted by then."""
    said: bool = False
    """Its first words have come."""
    turn: int | None = None
    messages: Sequence[int] = ()
    """The Discord messages that show it so far."""
    ends_at: float | None = None
    """Monotonic time by which it has to end, where Discord lets the bot answer for a while only."""
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has ended, is logged, and stands in Discord as far as that was possible."""

    async def stop(self) -> None:
        """What was said stays."""
        self.stopped = True
        await self.reply.stop()


@dataclass(eq=False)
class Waiting:
    """A message that is answered when the conversation it belongs to has come to it."""

    requester: int
    channel: int
    asked: int | None = None
    messages: Sequence[int] = ()
    """The Discord message that shows its place, once there is one."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Its turn has come, or it was stopped."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Its place may have changed."""

    async def stop(self) -> None:
        """It is not answered."""
        self.stopped.set()


@dataclass(eq=False)
class Service:
    """Built once by `setup`, closed by `teardown`."""

    chat: Chat
    settings: Settings
    preferences: Preferences
    edits_left: Callable[[int], Left | None] = lambda _: None
    """What Discord allows in a channel just now."""
    running: set[Running] = field(default_factory=set)
    waiting: list[Waiting] = field(default_factory=list)
    """In the order in which they came."""
    coming: list[Waiting] = field(default_factory=list)
    """Those whose turn has come, until the reply is queued: their files may have to be fetched."""
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    closing: bool = False
    proving: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever has the model loaded once more."""
    halt: Halt = field(default_factory=Halt)
    """Ends a proof."""
    editing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while what a message now says is compared with the log, and added to it."""
    started: float = field(default_factory=time.monotonic)
    _turnstiles: dict[int, Turnstile] = field(default_factory=dict)
    _allowances: dict[tuple[str, int], Allowance] = field(default_factory=dict)
    _changes: set["asyncio.Task[None]"] = field(default_factory=set)
    _later: set["asyncio.Task[None]"] = field(default_factory=set)
    _welcomed: set[int] = field(default_factory=set)
    _lines: WeakValueDictionary[int, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _beginnings: WeakValueDictionary[int, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def turnstile(self, channel: int) -> Turnstile:
        if channel not in self._turnstiles:
            left = partial(self.edits_left, channel)
            self._turnstiles[channel] = Turnstile(self.settings.discord.edit_interval, left)
        return self._turnstiles[channel]

    def line(self, channel: object, guild: int | None) -> contextlib.AbstractAsyncContextManager[object]:
        """Held while a reply is made where the whole channel is one conversation: the next message follows it."""
        if self.scope(channel, guild) == "replies":
            return contextlib.nullcontext()
        return self._lines.setdefault(getattr(channel, "id", 0), asyncio.Lock())

    def beginning(self, person: int) -> asyncio.Lock:
        """Held until a reply to this person is queued: what they say next comes after it."""
        return self._beginnings.setdefault(person, asyncio.Lock())

    async def turn_shown(self, message: int, *channels: int | None) -> int | None:
        """The turn whose reply a Discord message shows, in one of these places. People can be quicker than the log:
        a message that appeared this moment is given the time to be linked."""
        turn = await self.chat.store.turn_of_discord_message(message)
        for channel in channels:
            if turn is None and channel in self._turnstiles:
                await self._turnstiles[channel].quiet()
                turn = await self.chat.store.turn_of_discord_message(message)
        return turn

    @property
    def unfinished(self) -> list[Running | Waiting]:
        """What people may stop."""
        return [*self.running, *self.waiting, *self.coming]

    def running_turn(self, turn: int) -> Running | None:
        return next((running for running in self.running if running.turn == turn), None)

    def shown_in(self, message: int) -> Running | Waiting | None:
        """What a Discord message is showing, also if it is not logged."""
        return next((each for each in self.unfinished if message in each.messages), None)

    def place_in_line(self, waiting: Waiting) -> int:
        """Among those that wait in the same conversation: 1 is next."""
        return [each for each in self.waiting if each.channel == waiting.channel].index(waiting) + 1

    def set_here(self, channel: object) -> ChannelPreferences:
        """What is set for a channel; where a thread has nothing of its own, its channel's counts."""
        return self.preferences.channel(*places(channel))

    def sampling(self, channel: object, guild: int | None) -> Sampling:
        here = self.set_here(channel)
        asked = {name: getattr(here, name) for name in SAMPLED}
        return bounded(self.preferences.guild(guild).bounds, asked, self.chat.sampling)

    def seed(self, channel: object, guild: int | None) -> int | None:
        """The seed set there; None: a fresh one."""
        forbidden = "seed" in self.preferences.guild(guild).bounds
        return None if forbidden else self.set_here(channel).seed

    def spawn(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        """Run beside the event that asked for it; `teardown` waits for it."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    @contextlib.contextmanager
    def waited_for(self) -> Iterator[None]:
        """What is done in this block is waited for like what was spawned: an answer to a command, say."""
        task: asyncio.Task[Any] | None = asyncio.current_task()
        assert task is not None, "there are tasks wherever there is an event"
        self.tasks.add(task)
        try:
            yield
        finally:
            self.tasks.discard(task)

    def later(self, work: Coroutine[object, object, None]) -> None:
        """Do something once Discord is there again: nobody waits for it, `close` least of all."""
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def change(self, work: Coroutine[object, object, None]) -> None:
        """`spawn` for an edit or a deletion: what is said next is to see it."""
        task = self.spawn(work)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def changed(self) -> None:
        """Wait until the edits and deletions that Discord told of so far are in the log; not for ever."""
        if self._changes:
            await asyncio.wait(self._changes, timeout=LONGEST_CHANGE)

    def model(self, channel: object, guild: int | None) -> str:
        """The model that answers there; the usual one if what was chosen is not offered any more."""
        chosen = self.set_here(channel).model
        return chosen if chosen in self.models(guild) else ""

    def models(self, guild: int | None) -> tuple[str, ...]:
        """The models people may choose from in a server."""
        allowed = self.preferences.guild(guild).models
        return tuple(name for name in self.chat.models if not allowed or name in allowed)

    def private(self, user: int, channel: object) -> bool:
        """Whether nothing of what this person says there is to be kept."""
        return self.preferences.opted_out(user) or self.set_here(channel).private

    def check(self, interaction: discord.Interaction[Any]) -> None:
        """Raise UserError if this person may not have a reply made there, or not now."""
        if self.closing:
            raise UserError("I am just being stopped; please ask again when I am back")
        user, guild = interaction.user, interaction.guild_id
        if not self.may_talk(user, interaction.channel, guild):
            raise UserError("the people who run this server have not let me talk with you here")
        wait = self.wait(user.id, guild)
        if wait:
            raise UserError(a_lot(wait))

    def check_kept(self, interaction: discord.Interaction[Any]) -> None:
        """Raise UserError if nothing is to be kept of what this person does there."""
        if self.private(interaction.user.id, interaction.channel):
            raise UserError("that would be kept, and nothing is to be kept of what you do here (`/privacy`)")

    async def check_shown(self, interaction: discord.Interaction[Any], turn: int) -> None:
        """Raise UserError if a pressed button belongs to a reply that the log has lost; its number may be another
        one's by now."""
        message, store = interaction.message, self.chat.store
        if message is None or await self.turn_shown(message.id, interaction.channel_id) is not None:
            return
        if await store.discord_messages(turn) or not await store.turn_rows([turn]):
            over = "its time there is over, or the log was begun anew or restored from a backup"
            raise UserError(f"that reply is not in my log any more: {over}")

    def may_talk(self, user: discord.abc.User, channel: object, guild: int | None) -> bool:
        """Whether the server's staff, or the settings, let this person talk to the bot there."""
        if self.preferences.blocked(user.id):
            return False
        if guild is None:
            return True
        served = self.settings.discord.guilds
        if served and guild not in served:
            return False
        here = self.preferences.guild(guild)
        of_category = channel.parent if isinstance(channel, discord.Thread) else channel
        there = {*places(channel), getattr(of_category, "category_id", None)}
        if user.id in here.blocked_users or there & set(here.blocked_channels):
            return False
        roles = {role.id for role in getattr(user, "roles", [])}
        if roles & set(here.blocked_roles):
            return False
        return not here.allowed_roles or bool(roles & set(here.allowed_roles))

    async def welcome(self, guild: int | None) -> list[str]:
        """The privacy notice, with the first reply in a server."""
        if guild is None or guild in self._welcomed or self.preferences.guild(guild).welcomed:
            return []
        self._welcomed.add(guild)
        await self.preferences.set_guild(guild, welcomed=True)
        return [WELCOME]

    async def unwelcome(self, guild: int) -> None:
        """The first reply there was not shown after all."""
        self._welcomed.discard(guild)
        await self.preferences.set_guild(guild, welcomed=False)

    def scope(self, channel: object, guild: int | None) -> Scope:
        """What something said there continues."""
        section = self.settings.discord
        if isinstance(channel, discord.Thread):
            return section.in_threads
        if guild is None:
            return section.in_direct
        alone = section.in_channels == "replies" and self.answers_all(channel)
        return "recent" if alone else section.in_channels  # nobody replies where nobody has to

    def answers_all(self, channel: object) -> bool:
        """Whether it is set to always answer, itself or the channel that a thread belongs to."""
        return bool({*places(channel)} & {*self.settings.discord.always_answer}) or self.set_here(channel).always

    def wait(self, user: int, guild: int | None) -> float:
        """0 if this person may ask once more (and has), else the seconds until then."""
        usual, here = self.settings.discord, self.preferences.guild(guild)
        if here.per_person:
            wait = self._taken("people", guild, here.per_person, here.per_person, user)
        else:
            wait = self._taken("people", None, usual.at_once, usual.per_minute, user)
        if wait or guild is None:
            return wait
        if here.per_minute:
            return self._taken("server", guild, here.per_minute, here.per_minute, guild)
        return self._taken("server", guild, usual.server_at_once, usual.server_per_minute, guild)

    def _taken(self, whose: str, place: int | None, at_once: int, per_minute: float, key: int) -> float:
        if not per_minute:
            return 0.0
        allowance = self._allowances.get((whose, place or 0))
        if allowance is None or (allowance.burst, allowance.per_second) != (at_once, per_minute / 60):
            allowance = Allowance(at_once, per_minute, time.monotonic)
            self._allowances[whose, place or 0] = allowance
        return allowance.take(key)

    async def close(self) -> None:
        """Stop the replies and let each show what it has; what waits its turn is not begun any more."""
        self.closing = True
        self.halt.call()
        for task in self._later:
            task.cancel()
        for waiting in self.waiting:
            await waiting.stop()
        self.spawn(self.chat.aclose())
        end = time.monotonic() + LONGEST_END
        while self.tasks and (left := end - time.monotonic()) > 0:
            await asyncio.wait(self.tasks, timeout=left)  # what ends may have begun something
        late = list(self.tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def a_lot(wait: float) -> str:
    """For who asks more than they may."""
    return f"that is a lot at once: please ask again in {counted(max(1, round(wait)), 'second')}"


def places(channel: object) -> tuple[int | None, int | None]:
    """The ids of a channel and, of a thread, of the one it belongs to: what it was opened on stands there."""
    return getattr(channel, "id", None), getattr(channel, "parent_id", None)


def guild_of(message: discord.Message) -> int | None:
    """The id of the server a message was said in, also where Discord has not told anything else of it yet."""
    return message.guild.id if message.guild else getattr(message.channel, "guild_id", None)
