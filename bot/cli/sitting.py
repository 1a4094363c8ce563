"""A sitting: one person at a terminal, in conversation with the bot."""

import asyncio
import signal
from collections.abc import Callable

from ..chat import Chat, Done, Queued, ReplyRequest, Started, Text, Thought
from ..chat.reply import Reply
from ..errors import UserError

Write = Callable[[str], None]


class Sitting:
    """The parent chain of what was said here. All of it is in the log; this only points into it.

    ``write`` prints a piece of the reply as it comes, ``note`` a line about it.
    """

    def __init__(self, chat: Chat, session: int, parent: int | None, write: Write, note: Write) -> None:
        self.chat = chat
        self.session = session
        self.parent = parent
        self.turns: list[int] = []
        self._question: int | None = None
        self.write = write
        self.note = note

    @classmethod
    async def begin(cls, chat: Chat, system: str, write: Write, note: Write, title: str = "") -> "Sitting":
        """A new session; a system prompt, where there is one, is its first message."""
        session = await chat.store.start_session(kind="terminal", title=title)
        sitting = cls(chat, session, None, write, note)
        if system:
            sitting.parent = await chat.store.append_message(session, "system", system)
        return sitting

    @classmethod
    async def resume(cls, chat: Chat, session: int, write: Write, note: Write) -> "Sitting":
        """Go on where a logged session stopped. Raises UserError for one that does not exist."""
        messages = await chat.store.messages(session)
        return cls(chat, session, messages[-1].id if messages else None, write, note)

    def restart(self, session: int, parent: int | None) -> None:
        """Go on in another session; what was said before is no longer given to the model."""
        self.session, self.parent, self._question = session, parent, None

    async def say(self, text: str, seed: int | None = None) -> Done:
        """Log what was typed and print the reply to it."""
        check_typed(text)
        self._question = await self.chat.store.append_message(self.session, "user", text, parent=self.parent)
        return await self._answer(self._question, seed)

    async def retry(self) -> Done:
        """Another reply to the last message, with a fresh seed; the first stays in the log beside it."""
        if self._question is None:
            raise UserError("nothing to retry: say something first")
        return await self._answer(self._question, None)

    async def _answer(self, question: int, seed: int | None) -> Done:
        reply = self.chat.reply(ReplyRequest(session=self.session, message=question, seed=seed, user="terminal"))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: loop.create_task(reply.stop()))
        try:
            done = await self._print(reply)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
        self.turns.append(done.turn)
        if done.message is not None:
            self.parent = done.message
        return done

    async def _print(self, reply: Reply) -> Done:
        done: Done | None = None
        async for event in reply:
            match event:
                case Started(dropped_turns=turns, dropped_tokens=tokens, budget=budget) if turns:
                    self.note(f"{turns} oldest turns ({tokens} tokens) left out: the context holds {budget} tokens")
                case Queued(place=place) if place:
                    self.note(f"waiting: number {place} in the queue")
                case Text(text=text) | Thought(text=text):
                    self.write(text)
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
