"""Shows a reply while it is being made: waiting, place in the queue, growing text, the end."""

import asyncio
import logging
import textwrap
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

import discord

from ..chat import Done, Queued, Started, Text, Thought
from ..chat.left_out import left_out
from ..chat.unlogged import NO_TURN
from ..errors import UserError
from ..explain.turn import Status
from ..predict.engine import Finish
from . import unshown
from .cog import in_words
from .display import sentence, small, spoiler, unforged
from .pacing import USUAL_WAIT
from .service import Running, Service
from .splitting import LIMIT, split
from .surface import Attached, Gone, Surface
from .transient import TROUBLE, passing, seconds_to_wait
from .views import finished_view, running_view
from .waiting import EVERY, GRACE, THINKING, in_queue

log = logging.getLogger(__name__)

TYPING_EVERY = 8.0
LATER = (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Seconds before each further try to show the end of a reply."""
LONGEST_THOUGHT = 1500
ROOM_FOR_NOTES = 700
LONGEST_NOTE = 400
HALF = "\ufffd"
"""What stands for a character of which a reply that was cut has some bytes only: nobody misses it."""


async def present(service: Service, running: Running, surface: Surface, notes: tuple[str, ...] = ()) -> None:
    """Show a reply from its first word to its end. While it is written it can be found, to be stopped."""
    service.running.add(running)
    running.messages = surface.ids  # what shows that it waits: *Stop* may be pressed there
    await Presenter(service, running, surface, notes).run()


class Presenter:
    """One reply on its way to people. ``run`` returns how it ended, None if it never began; where it
    cannot begin in the place of another, it raises why."""

    def __init__(self, service: Service, running: Running, surface: Surface, notes: tuple[str, ...] = ()) -> None:
        self._service = service
        self._running = running
        self._surface = surface
        self._notes = list(notes)
        self._text = ""
        self._place: int | None = None
        self._place_told: int | None = None
        self._place_due = time.monotonic() + GRACE
        """When the place may be shown, or shown anew."""
        self._thinking = False
        self._room = room_at(service, surface)
        self._fresh = asyncio.Event()
        self._ended = False
        self._linked: list[int] = []
        self._noted: asyncio.Task[None] | None = None

    async def run(self) -> Done | None:
        """Consume the reply, show it, and link the messages to its turn."""
        typing = keep_typing(self._surface, lambda: not self._text)
        helpers = [asyncio.create_task(typing), asyncio.create_task(self._keep_showing())]
        if self._running.ends_at is not None:
            helpers.append(asyncio.create_task(self._cut_at(self._running.ends_at)))
        done: Done | None = None
        refusal: UserError | None = None
        try:
            done = await self._consume()
        except UserError as error:
            refusal = error
        finally:
            self._service.running.discard(self._running)
            self._ended = True
            self._fresh.set()
            for helper in (helpers[0], *helpers[2:]):
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        try:
            if refusal is not None:
                if self._surface.over:  # better an old reply than none
                    raise refusal
                self._notes.insert(0, in_words(refusal))
            await self._show_end(done)
        finally:
            self._running.shown.set()
        return done

    async def _consume(self) -> Done | None:
        done: Done | None = None
        async for event in self._running.reply:
            match event:
                case Started(turn=turn):
                    self._running.turn = turn or None
                    if turn:  # nobody waits for it: the log may be busy
                        self._noted = asyncio.create_task(unshown.note(self._service.chat.store, turn))
                    self._notes += left_out(event, "my operator can mend it")
                case Queued(place=place):
                    self._place = place
                    self._fresh_at(self._place_due)
                case Thought():
                    self._running.said = self._thinking = True
                    self._fresh.set()
                case Text(text=text):
                    self._running.said |= bool(text)
                    self._text += text
                    self._fresh.set()
                case Done():
                    done = event
        return done

    def _fresh_at(self, due: float) -> None:
        asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._fresh.set)

    async def _cut_at(self, ends_at: float) -> None:
        """Stop in time to show what there is."""
        await asyncio.sleep(max(0.0, ends_at - time.monotonic()))
        self._notes.append("Cut here: Discord lets me answer for 15 minutes in places where I am not a member.")
        await self._running.reply.stop()

    async def _keep_showing(self) -> None:
        """Each time it is this reply's turn in its channel: the newest text, if it is new."""
        turnstile = self._service.turnstile(self._running.channel)
        while not self._ended:
            await self._fresh.wait()
            async with turnstile:
                self._fresh.clear()
                if self._ended:
                    return
                try:
                    await self._show_now()
                except Gone as gone:
                    log.info("nobody can see this reply any more: %s", gone)
                    await self._running.reply.stop()
                    return
                except (discord.DiscordException, *TROUBLE) as error:
                    log.info("an edit was skipped: %s", error)
                    if passing(error):
                        turnstile.pace.refused(seconds_to_wait(error, USUAL_WAIT))

    async def _show_now(self) -> None:
        so_far = unforged(self._text[: self._room.most])  # what is longer will be a file
        if so_far.strip():
            texts = [part.text for part in split(self._surface.heading + so_far)]
        elif self._thinking:
            texts = [small(THINKING)]
        elif self._tells_place():
            texts = [in_queue(self._place or 0)]
        else:
            return
        turn = self._running.turn
        await self._surface.show(texts, running_view(turn or NO_TURN), view_on=0)
        self._running.messages = self._surface.ids
        if self._surface.ids != self._linked:
            await self._surface.settle(self._service.chat.store, turn)
            self._linked = self._surface.ids if turn else []

    def _tells_place(self) -> bool:
        """Whether it is time to show the place in the queue: of a reply that begins soon, none is shown."""
        if self._place is None or not (self._place or self._surface.messages):
            return False
        now = time.monotonic()
        if now < self._place_due:
            if self._place != self._place_told:
                self._fresh_at(self._place_due)
            return False
        self._place_told, self._place_due = self._place, now + EVERY
        return True

    async def _show_end(self, done: Done | None) -> None:
        turn = done.turn if done is not None and done.logged else None
        if self._noted is not None:
            await self._noted
        if self._running.removed or (self._running.withdrawn and not self._text):
            self._running.left = True
            await self._withdraw(turn)
            return
        self._running.left = self._is_left(done)
        if self._running.edited or self._running.left:
            if self._running.turn:
                await unshown.settled(self._service.chat.store, self._running.turn)
            return  # what shows that it waits goes on to do so
        texts, file = self._final(done)
        view = await finished_view(self._service.chat.store, turn) if turn else None
        if not await self._show_all(texts, view, file, turn):
            log.warning("the end of a reply cannot be shown yet: tried again until Discord takes it")
            self._service.later(self._show_later(texts, view, file, turn))

    def _is_left(self, done: Done | None) -> bool:
        """Whether nothing is shown of it: the bot ends before its first word, and it is answered by the next start
        or asked for again; or it has none to take the place of another reply."""
        running = self._running
        if done is None or running.said:
            return False
        if self._surface.over:
            return done.status != "ok"
        return done.status == "stopped" and self._service.closing and not running.stopped

    async def _withdraw(self, turn: int | None) -> None:
        store = self._service.chat.store
        async with self._service.turnstile(self._running.channel):
            await self._surface.withdraw(store, turn)
        if self._running.turn:
            await unshown.settled(store, self._running.turn)

    async def _show_later(
        self, texts: list[str], view: discord.ui.View | None, file: Attached | None, turn: int | None
    ) -> None:
        """An outage that lasts: the reply is in the log, and stands in Discord when that is over."""
        for wait in LATER:
            await asyncio.sleep(wait)
            if turn is not None and await self._is_erased(turn):
                await unshown.settled(self._service.chat.store, turn)
                return
            if await self._show_all(texts, view, file, turn):
                return
        log.error("the end of a reply could not be shown")

    async def _is_erased(self, turn: int) -> bool:
        """Whether it was erased since."""
        reply = (await self._service.chat.store.turn(turn)).reply_message
        return reply is not None and (await self._service.chat.store.message(reply)).erased

    async def _show_all(
        self, texts: list[str], view: discord.ui.View | None, file: Attached | None, turn: int | None
    ) -> bool:
        """False if Discord is out of order for longer than anybody else's edits can wait."""
        shown = placed = True
        async with self._service.turnstile(self._running.channel):
            try:
                shown = await self._surface.finish(texts, view, file)
            except (Gone, discord.DiscordException) as error:
                log.warning("the end of a reply has no place: %s", error)
                placed = not self._surface.untouched
            if placed:
                await self._surface.settle(self._service.chat.store, turn)
        if shown and self._running.turn:
            await unshown.settled(self._service.chat.store, self._running.turn)
        return shown

    def _final(self, done: Done | None) -> tuple[list[str], Attached | None]:
        """The texts of the finished reply, and a file if it is too long to be read as messages."""
        text, thought = (done.text, done.reasoning) if done else (self._text, "")
        notes = list(self._notes)
        if done is not None:
            notes += endings(done.status, done.finish, done.error)
            if done.gap:
                notes.append(f"⚠ Not in the log: {done.gap}.")
        return final_texts(
            text,
            hidden_thought(self._service, thought),
            notes,
            self._room,
            self._surface.heading,
        )


class Typing(Protocol):
    """A place that shows that the bot is typing."""

    def typing(self) -> Awaitable[object]: ...


async def keep_typing(place: Typing, as_long_as: Callable[[], bool] = lambda: True) -> None:
    """Until it is cancelled, or there is something to see.

    A request that is under way then ends by itself: one that is cancelled while discord.py waits out a rate limit
    of the whole bot leaves all others waiting for ever.
    """
    while as_long_as():
        await asyncio.shield(asyncio.ensure_future(_typing(place)))
        await asyncio.sleep(TYPING_EVERY)


async def _typing(place: Typing) -> None:
    try:
        await place.typing()
    except (discord.DiscordException, *TROUBLE):
        log.debug("typing was not shown")


@dataclass(frozen=True, slots=True)
class Room:
    """How a long reply is shown: of more than ``file_above`` characters as a file, where files are taken."""

    file_above: int
    files: bool = True

    @property
    def most(self) -> int | None:
        """Characters that messages may show; None: all there are."""
        return self.file_above if self.files else None


def room_at(service: Service, surface: Surface) -> Room:
    return Room(min(service.settings.discord.file_above_chars, surface.most_chars), surface.takes_files)


def hidden_thought(service: Service, thought: str) -> str:
    """What is shown of it before the reply, as the settings say."""
    return spoiler(unforged(thought)[:LONGEST_THOUGHT]) if service.settings.discord.reasoning == "spoiler" else ""


def final_texts(
    text: str, hidden: str, notes: list[str], room: Room, heading: str = ""
) -> tuple[list[str], Attached | None]:
    """What the messages say at the end. The small print stands under the reply, in the last message if it fits."""
    file: Attached | None = None
    visible = unforged(text.removesuffix(HALF))
    if not visible.strip() and not notes:
        notes = ["The model ended its turn without a word."]
    shown = heading + visible if visible.strip() else ""
    if len(text) > room.file_above and not room.files:
        notes = [f"So long a reply ({len(text)} characters) is a file where I have **Attach Files**.", *notes]
    elif len(text) > room.file_above:
        instead, _ = final_texts(text, hidden, notes, replace(room, files=False), heading)
        file = Attached("reply.md", text, tuple(instead))
        shown = split(shown[: 2 * LIMIT], LIMIT - ROOM_FOR_NOTES)[0].text
        notes = [f"The whole reply ({len(text)} characters) is attached.", *notes]
    texts = [part.text for part in split(shown)] if shown.strip() else []
    if hidden:
        texts = [part.text for part in split(f"{hidden}\n{shown}")]
    print_ = "\n".join(textwrap.shorten(small(note), LONGEST_NOTE, placeholder=" …") for note in notes)
    if print_ and texts and len(texts[-1]) + 1 + len(print_) <= LIMIT:
        texts[-1] += "\n" + print_
    elif print_:
        texts.append(print_[:LIMIT])
    return texts, file


def endings(status: Status, finish: Finish | None, error: str | None) -> list[str]:
    """How a reply ended, unless by itself."""
    if status == "error":
        return [f"⚠ {sentence(error or 'the reply could not go on')}"]
    said = {"stopped": "Stopped.", "length": "Cut at the length limit."}.get(finish or "")
    return [said] if said else []
