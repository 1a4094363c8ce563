"""Long texts as files that Discord takes."""

import asyncio
import io
import zipfile
from collections.abc import Callable

import discord

from ..errors import UserError

ROOM = 4096
"""Bytes that Discord's own form around a file may take."""


async def as_file(make: Callable[[], str], name: str, most: int, remedy: str) -> discord.File:
    """What ``make`` returns as a file of at most ``most`` bytes; it is made in a thread. Raises UserError."""
    name, content = await asyncio.to_thread(lambda: packed(make(), name, most, remedy))
    return discord.File(io.BytesIO(content), name)


def packed(text: str, name: str, most: int, remedy: str) -> tuple[str, bytes]:
    """Name and bytes of a file, compressed where it has to be. Raises UserError, with the remedy, where it is too
    large even so."""
    plain = text.encode()
    if len(plain) <= most - ROOM:
        return name, plain
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, plain)
    small = buffer.getvalue()
    if len(small) > most - ROOM:
        sizes = f"{len(small) / 1e6:.1f} MB, and I may send {most / 1e6:.1f} MB at most here"
        raise UserError(f"The file has {sizes}. {remedy}")
    return f"{name}.zip", small
