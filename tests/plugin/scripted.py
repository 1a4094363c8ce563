"""A chat whose model says what a test tells it to; everything else, the log included, is the real thing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from glasshead.chat import Chat, Done, Queued, ReplyRequest, Speaker, Started, Text
from glasshead.chat.reply import Reply
from glasshead.chat.unlogged import Unlogged
from glasshead.config import Settings
from glasshead.explain.turn import Status
from glasshead.plugin.client import Client
from glasshead.predict.engine import Finish, ModelIdentity
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run
from glasshead.store import Store
from glasshead.store.line import Line
from store.making import MODEL, PIECES, TIMINGS, prompt, steps

OTHER = "another"


@dataclass(frozen=True)
class _Named:
    """What is asked of an engine that never runs: its model."""

    model: ModelIdentity


class _Words:
    """What is asked of its vocabulary: which tokens end a reply."""

    ends = frozenset((0,))


class Scripted(Chat):
    """``says`` is the reply to everything, ``heard`` the conversations that were given to the model."""

    def __init__(self, store: Store) -> None:
        nothing: Any = None
        engine: Any = _Named(MODEL)
        words: Any = _Words()
        super().__init__(store, Speaker(engine, words, nothing), Sampling(max_tokens=64), others={OTHER: nothing})
        self.says = "Well, then."
        self.thinks = ""
        self.fails = ""
        """Why there is nothing but an error."""
        self.heard: list[list[tuple[str, str]]] = []
        self.requests: list[ReplyRequest] = []
        self.before: Callable[[Reply], Awaitable[None]] | None = None
        """What happens before the first word."""
        self.after: Callable[[Reply], Awaitable[None]] | None = None
        """And after the last."""

    async def _answer_to(self, reply: Reply, request: ReplyRequest, line: Line, store: Store | Unlogged) -> None:
        conversation = line.conversation
        self.heard.append([(message.role, message.text) for message in conversation])
        self.requests.append(request)
        assert request.sampling is not None
        turn = await store.open_turn(
            session=request.session,
            prompt_message=request.message,
            prompt=prompt(conversation[-1].text, request.message),
            model=MODEL,
            sampling=request.sampling,
            seed=7,
            requester=request.requester,
            k=10,
        )
        reply.emit(Started(turn, 9, 0, 0, None))
        if self.before is not None:
            await self.before(reply)
        status: Status = "error" if self.fails else "stopped" if reply.stopping else "ok"
        finish: Finish = "stop" if status == "ok" else status
        says = self.says if status == "ok" else ""
        reply.emit(Text(says))
        if self.after is not None:
            await self.after(reply)
        said = await store.finish_turn(
            turn,
            steps=steps(),
            schedule=(Run("many", 5), Run("one", 12)),
            reply=says,
            reasoning=self.thinks,
            finish=finish,
            status=status,
            error=self.fails or None,
            timings=TIMINGS,
        )
        error = self.fails or None
        reply.emit(Done(turn, said, says, self.thinks, status, finish, 12, 7, logged=bool(turn), error=error))


class Gate:
    """Holds replies before their first word (or after their last), until they are let go or stopped."""

    def __init__(
        self, bot: Client, places: Sequence[int] = (), *, at: Literal["before", "after"] = "before"
    ) -> None:
        assert bot.service is not None
        self.open = asyncio.Event()
        self.shuts = False
        """Behind each that is let go."""
        self.held = asyncio.Event()
        self.news: asyncio.Queue[int] = asyncio.Queue()
        for place in places:
            self.news.put_nowait(place)
        setattr(bot.service.chat, at, self.wait)

    async def wait(self, reply: Reply) -> None:
        await reply.attach(self)  # type: ignore[arg-type]
        telling = asyncio.create_task(self._tell(reply))
        self.held.set()
        await self.open.wait()
        telling.cancel()

    async def _tell(self, reply: Reply) -> None:
        while True:
            reply.emit(Queued(await self.news.get()))

    async def aclose(self) -> None:
        """As a generation is ended."""
        self.open.set()
        if self.shuts:
            self.open.clear()


@asynccontextmanager
async def open_scripted(settings: Settings) -> AsyncIterator[Scripted]:
    """Stands where `open_chat` stands."""
    store = await Store.open(settings.store.path)
    try:
        await store.save_vocabulary(MODEL, PIECES)
        chat = Scripted(store)
        yield chat
        await chat.aclose()
    finally:
        await store.close()
