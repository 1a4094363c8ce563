"""Carrying an erasure through: in short transactions, resumable, ending with nothing left in any file."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from ..errors import UserError
from ..predict import spill
from . import erasure as edits
from . import search_indexes
from .clock import now_us
from .database import Database
from .faults import StoreError
from .ledger import Entry, Ledger, mac
from .quotes import Quotes
from .session_data import load, newest
from .tables import discord_part, erasure, message, person
from .turns import Outcome
from .work import T

log = logging.getLogger(__name__)

MERGE_PAGES = 64
"""Pages of a full-text index rewritten in one transaction."""
AGAIN_S = 30.0
"""Until what another program held up is tried again."""
PASSES = 5
"""A session is planned again while new turns bring the words back in."""
AT_ONCE = 3
"""Sessions gone through side by side: one is read and planned while another's edits are written."""


@dataclass(slots=True)
class Receipt:
    """How many of what. ``prompts``: other turns that held the words, and can no longer be verified."""

    sessions: int = 0
    messages: int = 0
    replies: int = 0
    passages: int = 0
    """Quotations taken out of what others typed."""
    prompts: int = 0
    notes: int = 0
    thumbs: int = 0
    requested_us: int = 0
    done_us: int = 0


class _Held(StoreError):
    """Another program keeps an erasure from being finished."""


class Eraser:
    """``caches`` are folders of saved KV caches: what was saved there may go at any time, and goes."""

    def __init__(self, database: Database, caches: Sequence[Path] = ()) -> None:
        self._database = database
        self._caches = tuple(caches)
        self._ledger = Ledger(database.path)
        self._unfinished: dict[int, list[Quotes]] = {}
        """Turns whose replies were being made during an erasure, and what they may not repeat."""
        self._finishing: asyncio.Task[None] | None = None
        self.forget: Callable[[Collection[int] | None], Awaitable[None]] | None = None
        """Drops what is derived from conversations and held in memory, of these sessions or of all."""

    async def person(self, discord_id: int) -> Receipt:
        """Everything a Discord user said, and what was answered."""
        return await self._held_up(self._begin(f"person:{_id(discord_id)}"))

    async def message(self, discord_message_id: int) -> Receipt:
        """One message, and what was answered to it; or, where it shows one of our replies, that reply."""
        return await self._held_up(self._begin(f"message:{_id(discord_message_id)}"))

    def repeats(self, turn: int, made: Outcome) -> bool:
        """Whether an unfinished reply has what was erased while it is made."""
        of_turn = self._unfinished.get(turn, ())
        return any(quotes.find(text) for quotes in of_turn for text in (made.reply, made.reasoning))

    def ended(self, turn: int) -> None:
        """It will say no more."""
        self._unfinished.pop(turn, None)

    async def resume(self) -> None:
        """Finish what a crash left, and apply again what a restored backup has not seen. What damage or another
        program keeps from being finished stays noted, and keeps nobody from starting."""
        try:
            with contextlib.suppress(_Held):
                await self._held_up(self._resume())
        except StoreError as error:
            if error.reason != "damaged":
                raise
            log.error("an erasure is not finished: %s", error)
        except UserError:
            raise
        except Exception:  # whatever it met: who cannot start cannot mend it either
            log.exception("an erasure is not finished")

    async def _resume(self) -> None:
        query = sa.select(erasure.c.id, erasure.c.subject, erasure.c.requested_us).where(
            erasure.c.done_us.is_(None)
        )
        for row in await self._database.read(lambda c: c.execute(query).all()):
            await self._carry_through(row.id, row.subject, row.requested_us)
        for subject, entry in await self._unseen():
            await self._begin(subject, entry)

    async def _held_up(self, erasing: Awaitable[T]) -> T:
        """Await ``erasing``. What a program that reads the log holds up is finished once that lets go, and _Held is
        raised."""
        try:
            return await erasing
        except StoreError as error:
            if error.reason != "busy":
                raise
            log.warning("an erasure is not finished: %s", error)
            if self._finishing is None or self._finishing.done():
                self._finishing = asyncio.create_task(self._finish())
            raise _Held(error.reason, f"{error}; then the erasure is finished") from None

    async def _finish(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            try:
                await self._resume()
                await self._database.checkpoint()
                return
            except StoreError as error:
                log.warning("an erasure is not finished: %s", error)

    async def close(self) -> None:
        if self._finishing is not None:
            self._finishing.cancel()
            await asyncio.wait({self._finishing})

    async def _unseen(self) -> list[tuple[str, Entry]]:
        """Erasures in the ledger that the database does not know, with subjects it still holds."""
        key = await asyncio.to_thread(self._ledger.key)
        if key is None:
            return []
        entries = {entry.mac: entry for entry in await asyncio.to_thread(self._ledger.entries)}
        known = sa.select(erasure.c.subject_hmac, erasure.c.requested_us)
        done = {(bytes(row[0]), row[1]) for row in await self._database.read(lambda c: c.execute(known).all())}
        wanted = {mac_: entry for mac_, entry in entries.items() if (entry.mac, entry.requested_us) not in done}
        if not wanted:
            return []
        persons = sa.select(person.c.discord_id)
        typed = sa.select(message.c.discord_message_id).where(message.c.discord_message_id.is_not(None))
        messages = sa.union(typed, sa.select(discord_part.c.discord_message_id))
        subjects = [
            f"person:{id_}" for id_ in await self._database.read(lambda c: c.execute(persons).scalars().all())
        ]
        subjects += [
            f"message:{id_}" for id_ in await self._database.read(lambda c: c.execute(messages).scalars().all())
        ]
        return [(subject, wanted[m]) for subject in subjects if (m := mac(key, subject)) in wanted]

    async def drop_caches(self, sessions: Collection[int] | None = None) -> None:
        """Drop what is derived from conversations: what is held in memory, and what was saved; of these sessions or
        of all."""
        if self.forget is not None:
            await self.forget(sessions)
        for folder in self._caches:
            await asyncio.to_thread(_empty, folder, sessions)

    async def _begin(self, subject: str, entry: Entry | None = None) -> Receipt:
        selective = entry is None
        if entry is None:
            entry = await asyncio.to_thread(self._ledger.add, subject, now_us())
        values = {"subject_hmac": entry.mac, "subject": subject, "requested_us": entry.requested_us}
        key = await self._database.write(lambda c: c.execute(erasure.insert().values(values)).inserted_primary_key)
        assert key is not None
        return await self._carry_through(int(key[0]), subject, entry.requested_us, selective=selective)

    async def _carry_through(
        self, id_: int, subject: str, requested_us: int, *, selective: bool = False
    ) -> Receipt:
        """``selective``: of what is derived, only that of the sessions where a message stood goes with it, for
        people delete messages all day long. All else, and what may have been begun before, takes everything."""
        receipt = Receipt(requested_us=requested_us)
        concerned: Collection[int] | None = None
        kind, _, number = subject.partition(":")
        if int(number) >= edits.ID_END:
            pass  # noted by a version that did not refuse it: nothing has such a number
        elif kind == "person":
            await self._erase_person(int(number), receipt)
        elif kind == "message":
            concerned = await self._erase_message(int(number), receipt) or None
        else:
            raise UserError(f"erasure {id_} is of an unknown kind: it needs a newer Glasshead")
        await self._clean_files(concerned if selective else None)
        receipt.done_us = now_us()
        done = {"done_us": receipt.done_us, "subject": None, "receipt": json.dumps(asdict(receipt))}
        await self._database.write(lambda c: c.execute(erasure.update().where(erasure.c.id == id_).values(done)))
        await self._database.checkpoint()
        return receipt

    async def _erase_person(self, discord_id: int, receipt: Receipt) -> None:
        query = sa.select(person.c.id).where(person.c.discord_id == discord_id)
        who = await self._database.read(lambda c: c.execute(query).scalar())
        if who is None:
            return
        left = iter(await self._database.read(lambda c: edits.sessions_of(c, who)))

        damaged: list[str] = []

        async def take() -> None:
            for session in left:
                try:
                    await self._erase_from(session, receipt, person_id=who)
                except StoreError as error:
                    if error.reason != "damaged":
                        raise
                    damaged.append(str(error))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(take())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        if damaged:
            await self._clean_files()
            raise StoreError(
                "damaged", f"{damaged[0]}; what can be read is erased, the rest at the start after that"
            )
        while await self._database.write(lambda c: edits.forget_asking(c, who)):
            pass
        receipt.thumbs = await self._database.write(lambda c: edits.forget_person(c, who))

    async def _erase_message(self, discord_message_id: int, receipt: Receipt) -> Collection[int]:
        """The sessions it stood in."""
        places = await self._database.read(lambda c: edits.places_of(c, discord_message_id))
        for session, replies in places.items():
            await self._erase_from(session, receipt, discord_message_id=discord_message_id, replies=replies)
        return places.keys()

    async def _erase_from(
        self,
        session: int,
        receipt: Receipt,
        *,
        person_id: int | None = None,
        discord_message_id: int | None = None,
        replies: Collection[int] = (),
    ) -> None:
        receipt.sessions += 1
        words = edits.Words()
        for _ in range(PASSES):
            data = await self._database.read(lambda c: load(c, session))
            plan = await asyncio.to_thread(
                edits.plan,
                data,
                person_id=person_id,
                discord_message_id=discord_message_id,
                replies=replies,
                words=words,
            )
            words = plan.words
            running = [row.id for row in data.turns if row.status == "pending"]
            for id_ in running:
                self._unfinished.setdefault(id_, []).append(plan.quotes)
            left = edits.edits(plan, data)
            if not left:
                return
            roles = {row.id: row.role for row in data.messages}
            gone = [id_ for id_, text in plan.messages.items() if text is None]
            receipt.replies += sum(roles[id_] == "assistant" for id_ in gone)
            receipt.messages += sum(roles[id_] != "assistant" for id_ in gone)
            receipt.passages += len(plan.messages) - len(gone)
            receipt.prompts += len(plan.unverifiable - plan.traces)
            receipt.notes += len(plan.notes)
            while left:
                done = await self._database.write(partial(edits.apply, some=left))
                left = left[done:]
            seen = tuple(max((row.id for row in rows), default=0) for rows in (data.messages, data.turns))
            if not running and await self._database.read(partial(newest, session_id=session)) == seen:
                return

    async def _clean_files(self, sessions: Collection[int] | None = None) -> None:
        """Rewrite the search indexes without what was deleted, empty the WAL, drop derived data."""
        for index in search_indexes.SEARCH_INDEXES:
            try:
                await self._merge(index)
            except StoreError as error:
                if error.reason != "damaged":
                    raise
                log.warning("the search index %s is damaged and is built anew: writing waits meanwhile", index)
                await self._database.write(partial(search_indexes.rebuild_search_index, index=index))
        await self._database.checkpoint()
        await self.drop_caches(sessions)

    async def _merge(self, index: str) -> None:
        """Merge all pieces of a full-text index into one, which drops what was deleted, in short steps. Pieces that
        replies add meanwhile hold nothing of it, and stay.

        It is begun once: to begin anew at every step loses what was merged whenever a piece has been added, and
        each time adds a level to the index, which calls itself corrupt when there are 2,000.
        """
        left, pages = await self._database.read(
            lambda c: (search_indexes.index_segments(c, index), search_indexes.index_pages(c, index))
        )
        step = -MERGE_PAGES
        for _ in range(2 * pages // MERGE_PAGES + 16):
            if not await self._database.write(partial(search_indexes.merge_search_index, index=index, pages=step)):
                return
            step = MERGE_PAGES
            left &= await self._database.read(partial(search_indexes.index_segments, index=index))
            if not left:
                return
        await self._database.write(
            partial(search_indexes.merge_search_index, index=index, pages=-2 * pages - 10_000)
        )


def _id(value: int) -> int:
    """Refuse what can be no id before the request is noted: one that is noted is carried out at every start."""
    if not 0 <= value < edits.ID_END:
        raise UserError("the log holds nothing under so large a number")
    return value


def _empty(folder: Path, sessions: Collection[int] | None) -> None:
    try:
        spill.empty(folder, sessions)
    except OSError as error:
        raise UserError(f"{error.filename} could not be removed: {error.strerror}; remove it by hand") from None
