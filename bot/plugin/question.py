"""A message that is to be answered, from its coming to the end of its reply."""

from collections.abc import Sequence
from dataclasses import dataclass

import discord

from .service import Running, Waiting
from .surface import Surface


@dataclass(eq=False)
class Question:
    """``message``: as it reads now, for all that Discord has told; ``surface``: where the reply is shown."""

    message: discord.Message
    surface: Surface
    waiting: Waiting
    running: Running | None = None
    """The reply that is being written, or was when the message was edited."""
    welcome: Sequence[str] = ()
    """The privacy notice, where this is the first question of a server."""
    read: str = ""
    """What that reply has read."""

    def is_now(self, message: discord.Message) -> None:
        """It may have been found by looking, and be older than what an event has told since; or no edit at all, and
        say no more than that a link in it has a preview now."""
        newer = (message.edited_at or message.created_at) >= (self.message.edited_at or self.message.created_at)
        if newer and (message.content or message.edited_at is not None):
            self.message = message

    async def outdated(self) -> None:
        """It was edited: a reply of which nobody has read anything, and which nobody has ended, is written anew."""
        running = self.running
        if running is not None and (running.edited or not (running.said or running.stopped)):
            running.edited = True
            await running.reply.stop()
