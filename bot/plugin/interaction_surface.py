"""A reply as the answer to an interaction: through its token while that lives, then as messages."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import discord

from .service import NOBODY
from .surface import Attached, Gone, Surface

log = logging.getLogger(__name__)

TOKEN_SECONDS = 15 * 60
MARGIN = 45.0
MOST_FOLLOW_UPS = 5
"""Of an app that only a person has installed."""
UNKNOWN_MESSAGE = 10008
FULL_ENOUGH = 1500
"""Characters that a message holds at least when a long reply is split."""


class InteractionSurface(Surface):
    """Begins in the deferred response. ``ends_at`` (monotonic) is when a reply that cannot move must be cut."""

    def __init__(self, interaction: discord.Interaction[Any], messages: Sequence[discord.Message] = ()) -> None:
        """``messages``: the one whose button was pressed, to be written over."""
        super().__init__(place_of(interaction), name=str(interaction.id), messages=messages)
        self._interaction = interaction
        self._pressed = bool(messages)
        self._expires = time.monotonic() + TOKEN_SECONDS - MARGIN
        self._moved = False
        self._writes = may_write(interaction)
        self.only_here = not is_member(interaction)
        """The bot is not a member there: it has the interaction and nothing else."""
        if self.only_here:
            self.most_chars = MOST_FOLLOW_UPS * FULL_ENOUGH

    @property
    def ends_at(self) -> float | None:
        return self._expires if self.only_here else None

    async def typing(self) -> None:
        """Discord itself shows that the bot is thinking."""

    async def show(
        self,
        texts: Sequence[str],
        view: discord.ui.View | None = None,
        *,
        file: Attached | None = None,
        view_on: int = -1,
    ) -> None:
        if self.only_here and len(texts) > MOST_FOLLOW_UPS + 1:
            texts = [*texts[:MOST_FOLLOW_UPS], texts[-1]]  # its end says how much there is
        if not self.only_here and time.monotonic() > self._expires and not self._moved:
            self._move()
        try:
            await super().show(texts, view, file=file, view_on=view_on)
        except (Gone, discord.HTTPException) as error:
            if self.only_here or self._moved or not _dead(error):
                raise
            log.info("the answer to a command goes on as messages: %s", error)
            self._move()
            await super().show(texts, view, file=file, view_on=view_on)

    def _move(self) -> None:
        """From here on by the bot's own right: what the token made can still be edited as messages of a member."""
        channel: Any = self.channel  # all that a bot is a member of have partial messages
        self.messages = [channel.get_partial_message(message.id) for message in self.messages]
        self._moved = True

    async def _send(self, place: int, text: str, view: discord.ui.View | None, file: Attached | None) -> bool:
        if self._moved or (place and self._writes):  # of what a token sends, Discord cannot know it again
            try:
                return await super()._send(place, text, view, file)
            except Gone:
                if self._moved:
                    raise
                self._writes, self.refused = False, ""
        sent: discord.InteractionMessage | discord.WebhookMessage
        more: dict[str, Any] = {"view": view} if view is not None else {}
        if place == 0:
            if file is not None:
                more["attachments"] = [file.file()]
            first = self._interaction.edit_original_response(content=text, allowed_mentions=NOBODY, **more)
            sent = await self._guarded(first, file)
        else:
            if file is not None:
                more["file"] = file.file()
            further = self._interaction.followup.send(
                text, wait=True, allowed_mentions=NOBODY, suppress_embeds=True, **more
            )
            sent = await self._guarded(further, file)
        self.messages.append(sent)
        return True

    async def _edit(self, place: int, text: str, view: discord.ui.View | None, file: Attached | None) -> None:
        if place or not self._pressed:
            await super()._edit(place, text, view, file)
            return
        more: dict[str, Any] = {"attachments": [file.file()]} if file is not None else {}
        await self._guarded(
            self._interaction.edit_original_response(content=text, view=view, allowed_mentions=NOBODY, **more), file
        )


def may_write(interaction: discord.Interaction[Any]) -> bool:
    """Whether it has surely the right to send messages there, besides answering."""
    if not is_member(interaction):
        return False
    has, channel = interaction.app_permissions, interaction.channel
    in_thread = isinstance(channel, discord.Thread)
    may_send = has.send_messages_in_threads if in_thread else has.send_messages
    return interaction.guild_id is None or (has.view_channel and may_send)


def _dead(error: Gone | discord.HTTPException) -> bool:
    """Whether Discord has forgotten the interaction, and not just the message."""
    cause = error.__cause__ if isinstance(error, Gone) else error
    if not isinstance(cause, discord.HTTPException) or cause.code == UNKNOWN_MESSAGE:
        return False
    return cause.status in (401, 404)


def place_of(interaction: discord.Interaction[Any]) -> discord.abc.Messageable:
    """Where it came from, as far as Discord says; good for nothing but the interaction where it does not."""
    channel = interaction.channel
    if isinstance(channel, discord.abc.Messageable):
        return channel
    client: discord.Client = interaction.client
    return client.get_partial_messageable(interaction.channel_id or 0, guild_id=interaction.guild_id)


def is_member(interaction: discord.Interaction[Any]) -> bool:
    """Whether the bot itself may write where it was asked, rather than the person having brought it along."""
    if interaction.guild_id is None:
        here, direct = interaction.context, isinstance(interaction.channel, discord.DMChannel)
        return bool(here.dm_channel) or (direct and not here.private_channel)
    if interaction.is_guild_integration():
        return True
    return not interaction.is_user_integration() and interaction.client.get_guild(interaction.guild_id) is not None
