"""Trouble that passes: what to try again, and when."""

import aiohttp
import discord

TROUBLE = (aiohttp.ClientError, TimeoutError, OSError)
"""The network's, not Discord's."""
STRANGE = (KeyError, TypeError, ValueError)
"""What discord.py raises at an answer that is not Discord's: a proxy's, say."""
UNREADABLE = (discord.DiscordException, *TROUBLE, *STRANGE)
"""Of what is looked up: it is not there, or not as discord.py expects it of Discord."""
OLD_EDITS = 30046
"""Too many edits of messages older than an hour: not a matter of seconds."""

SLOWMODE = 20016
"""The channel's slow mode, which spares most bots, makes this one wait, too."""


def passing(error: BaseException) -> bool:
    """Whether the same request may well succeed later. A rate limit comes as an error where the answer does not
    look like Discord's own (a proxy in between)."""
    if isinstance(error, discord.HTTPException) and error.code != OLD_EDITS:
        return error.status >= 500 or error.status in (408, 429) or error.code == SLOWMODE
    return isinstance(error, (discord.RateLimited, *TROUBLE))


def seconds_to_wait(error: BaseException, usual: float) -> float:
    """As long as the answer says, ``usual`` where it says nothing."""
    if isinstance(error, discord.RateLimited):
        return error.retry_after
    if isinstance(error, discord.HTTPException):
        try:
            return min(60.0, max(0.0, float(error.response.headers.get("Retry-After", usual))))
        except ValueError:
            return usual
    return usual
