"""The messages one reply is shown in: sent, edited, and removed until they show what they should."""

import asyncio
import io
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import discord

from ..store import Store
from .display import small
from .rights import takes_files
from .service import NOBODY
from .splitting import LIMIT, split
from .transient import OLD_EDITS, STRANGE, TROUBLE, passing, seconds_to_wait

log = logging.getLogger(__name__)
T = TypeVar("T")
Shown = discord.Message | discord.PartialMessage
ByToken = discord.InteractionMessage | discord.WebhookMessage

FINAL_TRIES = 6
BAD_REQUEST, FORBIDDEN, TOO_LARGE = 400, 403, 413
THREAD_ARCHIVED = 50083


@dataclass(frozen=True, slots=True)
class Attached:
    """A reply as a file; ``instead``: in messages, for where Discord takes none."""

    name: str
    text: str
    instead: tuple[str, ...]

    def file(self) -> discord.File:
        return discord.File(io.BytesIO(self.text.encode()), self.name)


class FileRefused(Exception):
    """Discord takes no file there, or none of that size."""


class Gone(Exception):
    """The place or the message is no longer there, or the bot may no longer speak: nobody can be shown anything."""


class Surface:
    """Keeps a list of messages equal to a list of texts, with as few requests as possible.

    ``answers`` is replied to with the first message. ``name`` makes sending idempotent: a send that failed after
    Discord had taken it does not appear twice.
    """

    def __init__(
        self,
        channel: discord.abc.Messageable,
        *,
        name: str,
        answers: Shown | None = None,
        messages: Sequence[discord.Message | discord.PartialMessage] = (),
    ) -> None:
        self.channel = channel
        self.messages: list[Shown] = list(messages)
        self._name = name
        self.most_chars = 1_000_000
        """A longer reply is attached: there may be no more messages than this takes."""
        self.over = bool(messages)
        """It begins in messages that showed something else."""
        self.takes_files = takes_files(channel)
        self.heading = ""
        """Stands before the reply, in the first message: the question, where no message shows it."""
        self.refused = ""
        """What Discord said when it did not let the bot speak."""
        self._sure = True
        self._gone = 0
        """How often it took messages away: another in such a place is not the one Discord knows by that name."""
        self._surplus: list[Shown] = []
        self._answers = answers
        self._shown: list[tuple[str, object]] = [("", None)] * len(self.messages)

    async def typing(self) -> None:
        await self.channel.typing()

    @property
    def untouched(self) -> bool:
        """Whether the messages it begins in still show what they showed before."""
        return self.over and all(shown == ("", None) for shown in self._shown)

    @property
    def ids(self) -> list[int]:
        return [message.id for message in self.messages]

    async def settle(self, store: Store, turn: int | None) -> None:
        """Link the messages to the turn they show, if it is logged, and remove those that are left over: linked to
        nothing by then, so that their going does not look as if somebody had deleted a reply."""
        if turn and self._surplus:
            await store.link_discord(turn, [*self.ids, *(message.id for message in self._surplus)])
        if turn and (self.messages or self._surplus):
            await store.link_discord(turn, self.ids)
        while self._surplus:
            try:
                await self._surplus[-1].delete()
            except (discord.DiscordException, *TROUBLE) as error:
                log.info("a message that is left over stays: %s", error)
            self._surplus.pop()

    async def withdraw(self, store: Store, turn: int | None = None) -> None:
        """Nothing is to be shown after all."""
        self._surplus += self.messages
        del self.messages[:], self._shown[:]
        await self.settle(store, turn)

    async def show(
        self,
        texts: Sequence[str],
        view: discord.ui.View | None = None,
        *,
        file: Attached | None = None,
        view_on: int = -1,
    ) -> None:
        """Make the messages read ``texts``; ``view`` goes under one of them, ``file`` to the last."""
        carrier, known = view_on % len(texts), len(self.messages)
        for place, text in enumerate(texts):
            wanted = (text, view if place == carrier else None)
            attached = file if place == len(texts) - 1 else None
            if place >= len(self.messages):
                sure = await self._send(place, text, wanted[1], attached)
                self._shown.append(wanted if sure else ("", None))
            if self._shown[place] != wanted or (attached and place < known):
                await self._edit(place, text, wanted[1], attached)
                self._shown[place] = wanted
        if len(self.messages) > len(texts):
            self._gone += 1
        self._surplus += self.messages[len(texts) :]
        del self.messages[len(texts) :], self._shown[len(texts) :]

    async def finish(
        self, texts: Sequence[str], view: discord.ui.View | None, file: Attached | None = None
    ) -> bool:
        """`show`, whatever it takes: through Discord's bad minutes, into archived threads, past a rate limit and
        slow mode, in messages where no file is taken. False: the minutes are too many."""
        attempt, there = 0, len(self.messages)
        while attempt < FINAL_TRIES:
            try:
                await self.show(texts, view, file=file)
                return True
            except FileRefused as error:
                assert file is not None, "nothing else is refused so"
                log.info("a long reply goes into messages: %s", error)
                texts, file = file.instead, None
                continue
            except Gone:
                if not self.refused or not 0 < len(self.messages) < len(texts):
                    raise
                log.info("the rest of a reply is not shown: %s", self.refused)
                texts, file = self._as_far_as_it_goes(texts), None
            except (discord.DiscordException, *TROUBLE) as error:
                if isinstance(error, discord.HTTPException) and error.code == OLD_EDITS and self.messages:
                    self._begin_anew()
                    continue
                if not passing(error):
                    raise
                log.warning("the end of a reply could not be shown yet: %s", error)
                await asyncio.sleep(seconds_to_wait(error, min(2.0**attempt, 20.0)))
                attempt = attempt + 1 if len(self.messages) <= there else 0
                there = len(self.messages)
        return False

    def _as_far_as_it_goes(self, texts: Sequence[str]) -> list[str]:
        """What the messages hold that are there, where no further ones may be sent."""
        here = list(texts[: len(self.messages)])
        note = small(f"Cut here, the rest is in my log: I may send no further message ({self.refused}).")
        self.refused = ""  # it is said
        here[-1] = f"{split(here[-1], LIMIT - len(note) - 1)[0].text}\n{note}"
        return here

    def _begin_anew(self) -> None:
        """What is too old to be edited again stays as it is; the reply goes into messages of its own."""
        self._answers = self.messages[0]
        self.messages, self._shown = [], []

    async def _send(self, place: int, text: str, view: discord.ui.View | None, file: Attached | None) -> bool:
        """Send one message. False if it may be the one of an earlier try, with what that one said."""
        sure, self._sure = self._sure, False
        try:
            sent = await self._guarded(self._sending(place, text, view, file), file)
        except discord.HTTPException as error:
            if error.code == THREAD_ARCHIVED:
                raise self._locked(error) from error
            if error.status != BAD_REQUEST or passing(error) or place or self._answers is None:
                raise
            log.info("what is answered cannot be replied to: %s", error)
            self._answers = None
            sent = await self._guarded(self._sending(place, text, view, file), file)
        self.messages.append(sent)
        self._sure = True
        return sure

    async def _sending(
        self, place: int, text: str, view: discord.ui.View | None, file: Attached | None
    ) -> discord.Message:
        more: dict[str, Any] = {}
        if place == 0 and self._answers is not None:
            more["reference"] = self._answers.to_reference(fail_if_not_exists=False)
        if view is not None:
            more["view"] = view
        if file is not None:
            more["file"] = file.file()
        return await self.channel.send(
            text,
            mention_author=False,
            allowed_mentions=NOBODY,
            suppress_embeds=True,
            nonce=f"{self._name}-{place}{f'.{self._gone}' if self._gone else ''}"[:25],
            **more,
        )

    async def _edit(self, place: int, text: str, view: discord.ui.View | None, file: Attached | None) -> None:
        message = self.messages[place]
        change: dict[str, Any] = {"content": text, "view": view, "allowed_mentions": NOBODY}
        if isinstance(message, discord.Message) and not isinstance(message, ByToken):
            change["suppress"] = True  # left out, discord.py would bring embeds back
        if file is not None:
            change["attachments"] = [file.file()]
        try:
            await self._guarded(message.edit(**change), file)
        except discord.HTTPException as error:
            if error.code != THREAD_ARCHIVED:
                raise
            try:
                if isinstance(self.channel, discord.Thread):
                    await self._guarded(self.channel.edit(archived=False))
                    await self._guarded(message.edit(**change), file)
                    return
            except discord.HTTPException as again:
                if again.code != THREAD_ARCHIVED:
                    raise
            raise self._locked(error) from error

    def _locked(self, error: discord.HTTPException) -> Gone:
        """Of an archived thread that is locked, too: any other is opened by what is sent, or can be."""
        self.refused = error.text or "Forbidden"
        return Gone(str(error))

    async def _guarded(self, request: Coroutine[Any, Any, T], file: Attached | None = None) -> T:
        """Run a request; what can never succeed becomes Gone, with a ``file`` FileRefused."""
        try:
            return await request
        except discord.NotFound as error:
            raise Gone(str(error)) from error
        except discord.HTTPException as error:
            if error.status not in (FORBIDDEN, TOO_LARGE) or error.code == THREAD_ARCHIVED:
                raise
            if file is not None:
                raise FileRefused(str(error)) from error
            if error.status == TOO_LARGE:
                raise
            self.refused = error.text or "Forbidden"
            raise Gone(str(error)) from error
        except STRANGE as error:
            raise aiohttp.ClientPayloadError(f"{type(error).__name__}: {error}") from error
