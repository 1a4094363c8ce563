"""A reply as the answer to an interaction: through its token while that lives, then as messages."""

import time
from collections.abc import Sequence
from typing import Any

import discord

from .service import NOBODY
from .surface import Attached, Surface, as_file

TOKEN_SECONDS = 15 * 60
MARGIN = 45.0
MOST_FOLLOW_UPS = 5
"""Of an app that only a person has installed."""


class InteractionSurface(Surface):
    """Begins in the deferred response. ``ends_at`` (monotonic) is when a reply that cannot move must be cut."""

    def __init__(self, interaction: discord.Interaction[Any]) -> None:
        channel = interaction.channel
        assert isinstance(channel, discord.abc.Messageable)
        super().__init__(channel, name=str(interaction.id))
        self._interaction = interaction
        self._expires = time.monotonic() + TOKEN_SECONDS - MARGIN
        self._moved = False
        self.only_here = not is_member(interaction)
        """The bot is not a member there: it has the interaction and nothing else."""

    @property
    def ends_at(self) -> float | None:
        return self._expires if self.only_here else None

    async def typing(self) -> None:
        """Discord itself shows that the bot is thinking."""

    async def show(
        self, texts: Sequence[str], view: discord.ui.View | None = None, *, file: Attached = None, view_on: int = -1
    ) -> None:
        if self.only_here and len(texts) > MOST_FOLLOW_UPS + 1:
            texts = texts[: MOST_FOLLOW_UPS + 1]
        if not self.only_here and time.monotonic() > self._expires and not self._moved:
            self._move()
        await super().show(texts, view, file=file, view_on=view_on)

    def _move(self) -> None:
        """From here on by the bot's own right: what the token made can still be edited as messages of a member."""
        channel: Any = self.channel  # all that a bot is a member of have partial messages
        self.messages = [channel.get_partial_message(message.id) for message in self.messages]
        self._moved = True

    async def _send(self, place: int, text: str, view: discord.ui.View | None, file: Attached) -> bool:
        if self._moved:
            return await super()._send(place, text, view, file)
        sent: discord.InteractionMessage | discord.WebhookMessage
        more: dict[str, Any] = {"view": view} if view is not None else {}
        if place == 0:
            if file is not None:
                more["attachments"] = [as_file(*file)]
            first = self._interaction.edit_original_response(content=text, allowed_mentions=NOBODY, **more)
            sent = await self._guarded(first)
        else:
            if file is not None:
                more["file"] = as_file(*file)
            further = self._interaction.followup.send(
                text, wait=True, allowed_mentions=NOBODY, suppress_embeds=True, **more
            )
            sent = await self._guarded(further)
        self.messages.append(sent)
        return True


def is_member(interaction: discord.Interaction[Any]) -> bool:
    """Whether the bot itself may write where it was asked, rather than the person having brought it along."""
    if interaction.guild_id is None:
        here, direct = interaction.context, isinstance(interaction.channel, discord.DMChannel)
        return bool(here.dm_channel) or (direct and not here.private_channel)
    if interaction.is_guild_integration():
        return True
    return not interaction.is_user_integration() and interaction.client.get_guild(interaction.guild_id) is not None
