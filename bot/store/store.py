"""The log: what front ends and `chat` use. Encoding and decoding run in threads, SQL in the connections' own."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..explain.turn import Status, Turn
from ..predict.engine import Finish, ModelIdentity, Timings
from ..predict.message import Conversation, Role
from ..predict.prompt import Prompt
from ..predict.sampling import Sampling
from ..predict.schedule import Schedule
from ..predict.step import Step
from . import marks, models, raw_turns, sessions, settings, turns
from .blocks import PackedPrompt
from .columns import Damaged
from .database import Database
from .eraser import Eraser, Receipt
from .faults import StoreError
from .line import Line, above, line
from .lock import OwnerLock
from .marks import Marks
from .migrate import check_folder, migrate, require_version
from .missing import Missing
from .order import keep_order
from .records import MessageRow, SessionRow, TurnRow
from .search import Order, Page
from .search import search as search_messages
from .search_syntax import Query
from .spans import pack_spans
from .work import Work

VOCABULARIES = 4
"""Vocabularies kept decoded."""
KEYS = 1024
"""Keys of sessions kept at hand."""


class Store:
    """One database. A writable store owns it: one process at a time."""

    def __init__(self, database: Database, lock: OwnerLock | None, caches: Sequence[Path] = ()) -> None:
        self.database = database
        self._eraser = Eraser(database, caches)
        self._lock = lock
        self._pieces: dict[tuple[int, int], list[bytes]] = {}
        self._keys: dict[int, bytes] = {}
        self._begun: dict[int, tuple[int, tuple[int, ...]]] = {}
        """Of each open turn, its seed, and the reply's tokens that stand at the end of its prompt."""
        self.interrupted: tuple[int, ...] = ()
        """Turns a crash had left open, found at start."""

    @classmethod
    async def open(
        cls, path: Path, *, writable: bool = True, caches: Sequence[Path] = (), passing: bool = False
    ) -> "Store":
        """Open, creating or upgrading as needed; ``writable=False`` only reads, beside the owner if there is one.

        ``caches`` are folders of saved KV caches: every erasure deletes what was saved there. ``passing``: for a
        command, which ends by itself; a bot waits for it.
        Raises UserError: another process owns it, it is newer than the program, it cannot be written.
        """
        if not writable:
            await asyncio.to_thread(require_version, path)
            return cls(await Database.open(path, writable=False), None)
        lock = OwnerLock(path, passing=passing)
        await asyncio.to_thread(_own, lock, path)
        try:
            store = cls(await Database.open(path), lock, caches)
        except BaseException:
            lock.release()
            raise
        try:
            store.interrupted = tuple(await store.database.write(turns.interrupt_pending))
            await store.database.write(keep_order)
            await store._eraser.resume()
        except BaseException:
            await store.close()
            raise
        return store

    def when_erased(self, forget: Callable[[Collection[int] | None], Awaitable[None]]) -> None:
        """Have every erasure call this: what is derived from these sessions (None: all) and in memory goes, too."""
        self._eraser.forget = forget

    async def drop_caches(self, sessions: Collection[int] | None = None) -> None:
        """Drop what is derived from conversations, of these sessions or of all, as every erasure does."""
        await self._eraser.drop_caches(sessions)

    async def close(self) -> None:
        await self._eraser.close()
        await self.database.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def gap(self) -> StoreError | None:
        """Why the newest turns are held in memory and not in the file yet; None: everything is there."""
        return self.database.gap

    def announce(self, socket: str) -> None:
        """Say in the lock file where others may hand in what they want written."""
        assert self._lock is not None
        self._lock.announce(socket)

    # What is said

    async def start_session(
        self,
        *,
        title: str = "",
        kind: str = "terminal",
        guild_id: int | None = None,
        channel_id: int | None = None,
        person: int | None = None,
    ) -> int:
        """A new session. ``kind``: terminal, channel, thread, direct; ``person``: who opened it, on Discord."""
        return await self.database.write(
            lambda c: sessions.start_session(
                c, title=title, kind=kind, guild_id=guild_id, channel_id=channel_id, discord_id=person
            ),
            keep=True,
        )

    async def append_message(
        self,
        session: int,
        role: Role,
        text: str,
        *,
        parent: int | None = None,
        author: str | None = None,
        person: int | None = None,
        discord_message_id: int | None = None,
    ) -> int:
        """Log what a person typed (or a system prompt). A second child of ``parent`` is another version."""
        return await self.database.write(
            lambda c: sessions.append_message(
                c,
                session,
                role,
                text,
                parent=parent,
                author=author,
                discord_id=person,
                discord_message_id=discord_message_id,
            ),
            keep=True,
        )

    async def copy_message(
        self, message_id: int, *, parent: int | None, session: int | None = None, discord_id: int | None = None
    ) -> int:
        """Log a message again, unchanged, in another place: below an edited one, say, or in another ``session``,
        where ``discord_id`` is the Discord message it goes with."""
        place = {"parent": parent, "session_id": session, "discord_message_id": discord_id}
        return await self.database.write(lambda c: sessions.copy_message(c, message_id, **place), keep=True)

    async def line(self, message_id: int) -> Line:
        return await self.database.read(lambda c: line(c, message_id))

    async def conversation(self, message_id: int) -> Conversation:
        """Everything from the first message to this one; replies carry the ids they were generated as."""
        return (await self.line(message_id)).conversation

    async def message(self, message_id: int) -> MessageRow:
        return await self.database.read(lambda c: sessions.require_message(c, message_id))

    async def above(self, message_id: int) -> int | None:
        """The message before one that may be lost to damage; None: it was the first."""
        return await self.database.read(lambda c: above(c, message_id))

    async def session_of(self, message_id: int) -> int:
        """The session of a message that may be lost to damage."""
        return await self.database.read(lambda c: sessions.session_of(c, message_id))

    async def messages(self, session: int) -> list[MessageRow]:
        return await self.database.read(lambda c: sessions.messages(c, session))

    async def message_of_discord(self, discord_message_id: int) -> int | None:
        """The newest logged version of a person's Discord message."""
        return await self.database.read(lambda c: sessions.message_of_discord(c, discord_message_id))

    async def rename_session(self, session: int, title: str) -> None:
        await self.database.write(lambda c: sessions.update_session(c, session, title=title))

    async def session(self, session: int) -> SessionRow:
        return await self.database.read(lambda c: sessions.require_session(c, session))

    async def sessions(
        self, *, limit: int = 50, before: tuple[int, int] | None = None, channel_id: int | None = None
    ) -> list[SessionRow]:
        """The most recently used first; ``before`` is (last_turn or 0, id) of the last one of the page before."""
        return await self.database.read(
            lambda c: sessions.sessions(c, limit=limit, before=before, channel_id=channel_id)
        )

    # What the model said

    async def save_vocabulary(self, model: ModelIdentity, pieces: Sequence[bytes]) -> None:
        """Keep the bytes of every token, so that replies stay readable when the model file is gone."""
        digest, packed = await asyncio.to_thread(models.pack_pieces, pieces)
        await self.database.write(lambda c: models.save_vocabulary(c, model, digest, packed))

    async def open_turn(
        self,
        *,
        session: int,
        prompt_message: int,
        prompt: Prompt,
        model: ModelIdentity,
        sampling: Sampling,
        seed: int,
        k: int,
        first_step: int = 0,
        requester: int | None = None,
        parent_turn: int | None = None,
    ) -> int:
        """A durable `pending` turn, before the first token. ``requester``: a Discord user, None in the terminal.

        Raises UserError if a message that the prompt holds has been erased since it was read.
        """
        key = await self._key(session)

        def make() -> Work[int]:
            opening = turns.Opening(
                session=session, prompt_message=prompt_message, prompt=prompt, packed=PackedPrompt(prompt.ids, key),
                spans=pack_spans(prompt.spans), model=model, sampling=sampling, seed=seed, first_step=first_step,
                requester=requester, parent_turn=parent_turn, k=k,
            )  # fmt: skip
            return lambda c: turns.open_new_turn(c, opening)

        turn = await self.database.write_made(make, keep=True)
        self._begun[turn] = seed, prompt.ids[len(prompt.ids) - first_step :]
        return turn

    async def _key(self, session: int) -> bytes:
        """Of the hashes of a session's prompt blocks; it never changes."""
        if session not in self._keys:
            if len(self._keys) >= KEYS:
                self._keys.pop(next(iter(self._keys)))
            self._keys[session] = await self.database.read(lambda c: sessions.session_key(c, session))
        return self._keys[session]

    async def save_progress(
        self,
        turn: int,
        *,
        steps: Sequence[Step],
        schedule: Schedule,
        reply: str,
        reasoning: str = "",
        n_cached: int = 0,
    ) -> int:
        """Save what an unfinished turn has generated so far: a crash keeps it. Returns the reply's message id."""
        return await self._save(
            turn, steps, schedule, reply=reply, reasoning=reasoning, status="pending", n_cached=n_cached
        )

    async def finish_turn(
        self,
        turn: int,
        *,
        steps: Sequence[Step],
        schedule: Schedule,
        reply: str,
        reasoning: str = "",
        finish: Finish,
        status: Status,
        error: str | None = None,
        n_cached: int = 0,
        timings: Timings | None = None,
    ) -> int:
        """The reply, its trace and how it ended, in one transaction. Returns the reply's message id."""
        message = await self._save(
            turn, steps, schedule, keep=True, reply=reply, reasoning=reasoning, status=status, finish=finish,
            error=error, n_cached=n_cached, timings=timings,
        )  # fmt: skip
        self._begun.pop(turn, None)
        self._eraser.ended(turn)
        return message

    async def _save(
        self, turn: int, steps: Sequence[Step], schedule: Schedule, *, keep: bool = False, **ended: Any
    ) -> int:
        if turn not in self._begun:
            raise UserError(f"turn {turn} was not opened here, or is already finished")
        seed, kept = self._begun[turn]
        made = tuple(steps)

        def make() -> Work[int]:
            outcome = turns.outcome(kept, made, schedule, seed, **ended)
            return lambda c: turns.save_outcome(c, turn, outcome, erased=self._eraser.repeats(turn, outcome))

        return await self.database.write_made(make, keep=keep)

    async def turn(self, turn: int) -> Turn:
        """Everything recorded of a turn. A damaged part is named in ``trace.fault``, the rest is there."""
        raw = await self.raw_turn(turn)
        pieces = await self.pieces(raw.vocabulary)
        return await asyncio.to_thread(raw_turns.decode_turn, raw, pieces)

    async def raw_turn(self, turn: int) -> raw_turns.RawTurn:
        """A turn undecoded."""
        return await self.database.read(lambda c: raw_turns.raw_turn(c, turn))

    async def pieces(self, vocabulary: int | None) -> list[bytes]:
        """The bytes of every token of a vocabulary, by its row; none where they are not kept or damaged."""
        if vocabulary is None:
            return []
        kept = self.database.swaps, vocabulary
        if kept not in self._pieces:
            try:
                blob = await self.database.read(lambda c: models.vocabulary_blob(c, vocabulary))
                pieces = await asyncio.to_thread(models.unpack_pieces, blob)
            except Damaged:
                return []
            if len(self._pieces) >= VOCABULARIES:
                self._pieces.pop(next(iter(self._pieces)))
            self._pieces[kept] = pieces
        return self._pieces[kept]

    async def turns(self, session: int) -> list[TurnRow]:
        """The turns of a session, oldest first, without prompts and traces."""
        return await self.database.read(lambda c: turns.turns_of_session(c, session))

    async def turn_rows(self, ids: Sequence[int]) -> list[TurnRow]:
        """Some turns, oldest first, without prompts and traces."""
        return await self.database.read(lambda c: turns.turn_rows_of(c, ids, Missing()))

    async def latest_turn(self, *, channel_id: int | None = None) -> int | None:
        """The newest turn that has a reply: of a channel, or of all."""
        return await self.database.read(lambda c: turns.latest_turn(c, channel_id))

    async def link_discord(self, turn: int, discord_ids: Sequence[int]) -> None:
        """Say which Discord messages show a reply, in order."""
        ids = tuple(discord_ids)
        await self.database.write(lambda c: turns.link_discord(c, turn, ids), keep=True)

    async def turn_of_discord_message(self, discord_message_id: int) -> int | None:
        """The turn whose reply a Discord message shows, or a part of it."""
        return await self.database.read(lambda c: turns.turn_of_discord_message(c, discord_message_id))

    async def discord_messages(self, turn: int) -> list[int]:
        """The Discord messages that show a reply, in order."""
        return await self.database.read(lambda c: turns.discord_messages(c, turn))

    # What is looked for and thought of it

    async def search(
        self, query: Query, *, order: Order = "newest", limit: int = 50, after: tuple[float, int] | None = None
    ) -> Page:
        """One page of what ``search_syntax.parse`` asked for; ``after`` is the ``next`` of the page before."""
        return await self.database.read(lambda c: search_messages(c, query, order=order, limit=limit, after=after))

    async def marks(self, session: int) -> dict[int, Marks]:
        """Tags, ratings, thumbs and notes on a session's turns, by turn."""
        return await self.database.read(lambda c: marks.marks(c, session))

    async def set_feedback(self, turn: int, *, person: int, value: int, note: str = "") -> None:
        """A Discord user's thumb: 1, -1, or 0 to take it back."""
        await self.database.write(lambda c: marks.thumb(c, turn, person, value, note), keep=True)

    async def settings(self, scope: str, scope_id: int) -> dict[str, Any]:
        """What a front end remembers of a server, channel or person."""
        return await self.database.read(lambda c: settings.settings_of(c, scope, scope_id))

    async def set_setting(self, scope: str, scope_id: int, name: str, value: Any) -> None:
        """Remember a JSON value; None forgets it."""
        await self.database.write(lambda c: settings.set_setting(c, scope, scope_id, name, value), keep=True)

    # What is to be forgotten

    async def erase_person(self, discord_id: int) -> Receipt:
        """Everything a Discord user said and was answered; docs/privacy.md says what that means."""
        return await self._eraser.person(discord_id)

    async def erase_message(self, discord_message_id: int) -> Receipt:
        """A person's message and what was answered to it; or the reply of ours that this Discord message shows,
        or shows a part of: its text, its trace, its tokens in later prompts."""
        return await self._eraser.message(discord_message_id)


def _own(lock: OwnerLock, path: Path) -> None:
    check_folder(path)
    lock.acquire()
    try:
        migrate(path)
    except BaseException:
        lock.release()
        raise
