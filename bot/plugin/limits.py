"""How often Discord lets a channel's messages be edited just now, as the headers of its last answer said."""

import asyncio
from typing import Any

import discord
from discord.http import Route

from .pacing import Left


def edits_left(client: discord.Client, channel: int) -> Left | None:
    """None where Discord has not said, or the time it said it for is over.

    discord.py keeps what it read from the headers to itself; where a version keeps it otherwise, nothing is known.
    """
    http: Any = client.http
    route = Route("PATCH", "/channels/{channel_id}/messages/{message_id}", channel_id=channel, message_id=0)
    try:
        bucket = http._buckets[f"{http._bucket_hashes[route.key]}:{route.major_parameters}"]
        seconds = bucket.expires - asyncio.get_running_loop().time()
        return Left(bucket.remaining, seconds) if seconds > 0 else None
    except (AttributeError, KeyError, TypeError):
        return None
