"""Deletions that no event told of. What was said is erased for them, so none is guessed: the place must be one that
the bot may surely read, and Discord must say of the very message that there is none."""

import logging
from collections.abc import AsyncIterator

import discord

from .interaction_surface import UNKNOWN_MESSAGE
from .lately import Seen
from .rights import may_read
from .transient import UNREADABLE

log = logging.getLogger(__name__)


async def gone(seen: Seen) -> AsyncIterator[int]:
    """Which messages of a place were deleted, oldest first. One request for each that its list lacks."""
    if not _surely_readable(seen.place):
        return
    for message in seen.missing:
        try:
            await seen.place.fetch_message(message)
        except UNREADABLE as error:
            if not isinstance(error, discord.NotFound) or error.code != UNKNOWN_MESSAGE:
                log.info("what was deleted meanwhile in %d cannot be told: %s", seen.channel, error)
                return
            yield message


def _surely_readable(place: discord.abc.Messageable) -> bool:
    """Without the permission Discord lists nothing at all, as if nothing were there."""
    if isinstance(place, discord.DMChannel):
        return True
    guild: discord.Guild | None = getattr(place, "guild", None)
    return guild is not None and may_read(place, guild.me) is True
