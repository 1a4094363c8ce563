"""A sitting: one person at a terminal, in conversation with the bot."""

import asyncio
from collections.abc import Callable

from ..chat import Chat, Done, Queued, ReplyRequest, Started, Text, Thought
from ..chat.left_out import left_out
from ..chat.reply import Reply
from ..errors import UserError
from ..predict.message import Conversation, Message
from ..store import StoreError
from .interrupt import on_interrupt

Write = Callable[[str], None]


class Sitting:
    """The parent chain of what was said here. All of it is in the log; this only points into it.

    ``write`` prints a piece of the reply as it comes, ``think`` a piece of what the model thinks before it,
    ``note`` a line about it. The session begins with the first message.
    """

    def __init__(self, chat: Chat, system: str, write: Write, think: Write, note: Write) -> None:
        self.chat = chat
        self.session: int | None = None
        self.turns: list[int] = []
        self._system = system
        self._parent: int | None = None
        self._question: int | None = None
        self._write = write
        self._think = think
        self._note = note

    async def resume(self, session: int) -> None:
        """Go on where a logged session stopped; what-ifs are no part of it. Raises UserError for one that does not
        exist."""
        turns = await self.chat.store.turns(session)
        what_ifs = {turn.reply_message for turn in turns if turn.parent_turn is not None}
        messages = [row for row in await self.chat.store.messages(session) if row.id not in what_ifs]
        self.session, self._parent, self._question = session, None, None
        if messages and messages[-1].role == "user":  # it was never answered: /retry does
            self._parent, self._question = messages[-1].parent, messages[-1].id
        elif messages:
            self._parent, self._question = messages[-1].id, messages[-1].parent
        self.turns = [turn.id for turn in turns if turn.parent_turn is None and turn.reply_message is not None][-1:]

    def anew(self, system: str) -> None:
        """Begin another session: what was said before is no longer given to the model."""
        self.session, self._parent, self._question = None, None, None
        self._system = system

    async def say(self, text: str, seed: int | None = None) -> Done:
        """Log what was typed and print the reply to it."""
        check_typed(text)
        try:
            if self.session is None:
                self.session = await self.chat.store.start_session(kind="terminal")
                if self._system:
                    self._parent = await self.chat.store.append_message(self.session, "system", self._system)
            self._question = await self.chat.store.append_message(self.session, "user", text, parent=self._parent)
        except StoreError as gap:
            return await self._answer_unlogged(text, seed, gap)
        return await self._answer(self.session, self._question, seed)

    async def retry(self) -> Done:
        """Another reply to the last message, with a fresh seed; the first stays in the log beside it."""
        if self.session is None or self._question is None:
            raise UserError("nothing to retry: say something first")
        return await self._answer(self.session, self._question, None)

    async def _answer(self, session: int, question: int, seed: int | None) -> Done:
        request = ReplyRequest(session=session, message=question, seed=seed, user="terminal")
        return await self._hear(self.chat.reply(request))

    async def _answer_unlogged(self, text: str, seed: int | None, gap: StoreError) -> Done:
        """The log takes not even the message: it is answered all the same, behind what is logged."""
        before: Conversation = (Message("system", self._system),) if self._system else ()
        if self._parent is not None:
            before = await self.chat.store.conversation(self._parent)
        request = ReplyRequest(session=0, message=0, seed=seed, user="terminal")
        return await self._hear(self.chat.unlogged((*before, Message("user", text)), request, gap))

    async def _hear(self, reply: Reply) -> Done:
        loop = asyncio.get_running_loop()
        stopping: list[asyncio.Task[None]] = []
        with on_interrupt(lambda: stopping.append(loop.create_task(reply.stop()))):
            done = await self._print(reply)
        if done.turn:
            self.turns.append(done.turn)
        if done.message is not None and (done.text or done.status != "error"):
            self._parent = done.message
        return done

    async def _print(self, reply: Reply) -> Done:
        done: Done | None = None
        thinks = False
        async for event in reply:
            match event:
                case Started():
                    for line in left_out(event, "run `glasshead log check`"):
                        self._note(line)
                case Queued(place=place) if place:
                    self._note(f"waiting: number {place} in the queue")
                case Thought(text=text):
                    self._think(text)
                    thinks = True
                case Text(text=text):
                    if thinks:
                        self._think("\n\n")
                        thinks = False
                    self._write(text)
                case Done():
                    done = event
        assert done is not None, "a reply ends with Done or raises"
        return done


def check_typed(text: str) -> None:
    """Raise UserError for a message that says nothing or is not text."""
    if not text.strip():
        raise UserError("the message is empty: type something")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the message holds a lone surrogate at character {error.start + 1}: it is not valid text"
        ) from None
