"""Long texts as files that Discord takes."""

import asyncio
import io
import zipfile
from collections.abc import Callable
from typing import Any

import discord

from ..errors import UserError
from .cog import tell

ROOM = 4096
"""Bytes that Discord's own form around a file may take."""
FITS = 1850
"""Characters of a code block that a message holds."""


async def tell_block(interaction: discord.Interaction[Any], text: str, name: str, above: str = "") -> None:
    """As a code block if it fits, else as a file with its beginning; ``above``: a line before it."""
    quiet = text.replace("```", "\u02cb" * 3)
    file: discord.File | None = None
    if len(quiet) > FITS:
        quiet = quiet[:FITS].rsplit("\n", 1)[0] + "\n…"
        file = discord.File(io.BytesIO(text.encode()), name)
    await tell(interaction, f"{above}```\n{quiet}\n```", file)


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
