"""A reply as the answer to an interaction: through its token while that lives, then as messages."""

import time
from collections.abc import Sequence
from typing import Any

import discord

from .service import NOBODY
from .surface import Attached, ByToken, Gone, Surface, as_file

TOKEN_SECONDS = 15 * 60
MARGIN = 45.0
MOST_FOLLOW_UPS = 5
"""Of an app that only a person has installed."""


class InteractionSurface(Surface):
    """Starts from the deferred response. ``ends_at`` (monotonic) is when a reply that cannot move must be cut."""

    def __init__(self, interaction: discord.Interaction[Any], original: discord.InteractionMessage) -> None:
        channel = interaction.channel
        assert isinstance(channel, discord.abc.Messageable)
        super().__init__(channel, name=str(interaction.id))
        self.messages = [original]
        self._shown = [("", None)]
        self._interaction = interaction
        self._expires = time.monotonic() + TOKEN_SECONDS - MARGIN
        self.only_here = not (interaction.is_guild_integration() or interaction.context.dm_channel)
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
        if not self.only_here and time.monotonic() > self._expires and self._through_token:
            self._move()
        await super().show(texts, view, file=file, view_on=view_on)

    @property
    def _through_token(self) -> bool:
        return any(isinstance(message, ByToken) for message in self.messages)

    def _move(self) -> None:
        """From here on by the bot's own right: what the token made can still be edited as messages of a member."""
        channel = self.channel
        assert isinstance(channel, discord.TextChannel | discord.Thread | discord.DMChannel)
        self.messages = [channel.get_partial_message(message.id) for message in self.messages]

    async def _send(self, place: int, text: str, view: discord.ui.View | None, file: Attached) -> bool:
        if not self._through_token:
            return await super()._send(place, text, view, file)
        more: dict[str, Any] = {"view": view} if view is not None else {}
        if file is not None:
            more["file"] = as_file(*file)
        try:
            sent = await self._interaction.followup.send(
                text, wait=True, allowed_mentions=NOBODY, suppress_embeds=True, **more
            )
        except discord.NotFound as error:
            raise Gone(str(error)) from error
        self.messages.append(sent)
        return True
