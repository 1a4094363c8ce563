"""How the tests talk."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from glasshead.chat import BranchRequest, Chat, Done, Event, Reply, ReplyRequest, Text
from glasshead.explain.turn import Turn
from glasshead.predict.sampling import Sampling

END = 2
"""The default model's end of a turn."""
ENDLESS = Sampling(temperature=0, max_tokens=2000, logit_bias=((END, -100.0), (0, -100.0)))
"""A reply that goes on until it is stopped."""


@dataclass(frozen=True)
class Heard:
    """A reply, listened to until its end."""

    events: list[Event]

    @property
    def done(self) -> Done:
        assert isinstance(self.events[-1], Done)
        return self.events[-1]

    @property
    def text(self) -> str:
        """What was shown, piece by piece."""
        return "".join(event.text for event in self.events if isinstance(event, Text))


async def listen(reply: Reply) -> Heard:
    return Heard([event async for event in reply])


async def until(reply: Reply, kind: type[Any]) -> Any:
    """Listen up to the first event of a kind."""
    async for event in reply:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


@dataclass
class Room:
    """A session of its own, in a chat whose settings a test may change."""

    chat: Chat
    session: int

    def with_sampling(self, **changes: Any) -> "Room":
        sampling = replace(self.chat.sampling, **changes)
        return Room(Chat(self.chat.store, self.chat.speaker, sampling), self.session)

    async def ask(self, text: str, parent: int | None = None) -> int:
        return await self.chat.store.append_message(self.session, "user", text, parent=parent)

    async def start(self, text: str = "Count to a thousand.", **request: Any) -> Reply:
        return self.chat.reply(ReplyRequest(self.session, await self.ask(text), **request))

    async def say(self, text: str, parent: int | None = None, **request: Any) -> Heard:
        return await self.answer(await self.ask(text, parent), **request)

    async def answer(self, message: int, **request: Any) -> Heard:
        return await listen(self.chat.reply(ReplyRequest(self.session, message, **request)))

    async def branch(self, turn: int, step: int, choice: int, **request: Any) -> Heard:
        return await listen(self.chat.branch(BranchRequest(turn, step, choice, **request)))

    async def turn(self, id: int) -> Turn:
        return await self.chat.store.turn(id)

    async def ended(self, id: int) -> Turn:
        """Wait for a turn nobody listens to."""
        async with asyncio.timeout(30):
            while (turn := await self.turn(id)).status == "pending":
                await asyncio.sleep(0)
        return turn
