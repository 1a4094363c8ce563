"""What a message says in words, and what is above it: the one it replies to, the one its thread began with."""

import asyncio
import contextlib
import re
from typing import Any

import discord

from .attachments import MOST_FILES, NOT_UTF8, decoded, mentioned, plain, quoted, why_not
from .besides import besides
from .hearing import mentioned_users
from .names import Known, readable
from .transient import TROUBLE, UNREADABLE

LONGEST_FETCH = 20.0
"""Seconds for one file."""
MOST_LOOKED_UP = 5
"""People whom one command names."""


async def text_of(message: discord.Message, us: int) -> tuple[str, tuple[str, ...]]:
    """What it says, readable files and what it forwards included, and which files were not read, by the reason."""
    forwarded = message.message_snapshots
    parts = [_title(message), words_of(message, us), *besides(message), *map(_forwarded, forwarded)]
    declined: dict[str, list[str]] = {}
    files = [*message.attachments, *(file for each in forwarded for file in each.attachments)]
    read = 0
    for file in files:
        reason = why_not(file.size, file.content_type)
        if reason is None and read == MOST_FILES:
            reason = f"after {MOST_FILES} others"
        text = None
        if reason is None:
            try:
                async with asyncio.timeout(LONGEST_FETCH):
                    text = decoded(await file.read(), file.content_type)
            except (discord.DiscordException, *TROUBLE):
                reason = "could not be fetched"
        if text is not None:
            read += 1
            parts.append(quoted(file.filename, text))
        else:
            declined.setdefault(reason or NOT_UTF8, []).append(plain(file.filename))
            parts.append(mentioned(file.filename))
    unread = tuple(f"{', '.join(names)} ({why})" for why, names in declined.items())
    return "\n\n".join(part for part in parts if part), unread


def _title(message: discord.Message) -> str:
    """Of the post that a message opens in a forum: often half of the question."""
    thread = message.channel
    if not isinstance(thread, discord.Thread) or not isinstance(thread.parent, discord.ForumChannel):
        return ""
    return f"[post: {plain(thread.name)}]" if message.id == thread.id else ""


def words_of(message: discord.Message, us: int) -> str:
    """What was typed, with names in place of ids."""
    known = Known(
        users={user.id: user.display_name for user in mentioned_users(message)},
        roles={role.id: role.name for role in getattr(message, "role_mentions", ())},
        channels={c.id: getattr(c, "name", "channel") for c in message.channel_mentions},
    )
    return readable(message.content, known, us=us).strip()


async def spelled(text: str, interaction: discord.Interaction[Any]) -> str:
    """What was typed in a command, likewise. Discord does not say whom it names there: they are looked up."""
    guild, client = interaction.guild, interaction.client
    ids = {int(number) for number in re.findall(r"<(?:@[!&]?|#)(\d{1,20})>", text)}
    roles = {role.id: role.name for role in guild.roles if role.id in ids} if guild else {}
    channels = {id: each.name for id in ids if guild and (each := guild.get_channel_or_thread(id))}
    users: dict[int, str] = {}
    for id in [*(ids - {*roles, *channels})][:MOST_LOOKED_UP]:
        user = (guild and guild.get_member(id)) or client.get_user(id)
        with contextlib.suppress(discord.DiscordException, *TROUBLE):
            users[id] = (user or await client.fetch_user(id)).display_name
    return readable(text, Known(users, roles, channels))


def _forwarded(snapshot: discord.MessageSnapshot) -> str:
    parts = [part for part in (readable(snapshot.content, Known()), *besides(snapshot)) if part]
    if not parts and snapshot.attachments:
        return ""  # they are named below, as if they were the message's own
    text = "\n\n".join(parts)
    return f"[forwarded]\n{text}\n[end of forwarded]" if parts else "[forwarded, not readable here]"


def says_something(message: discord.Message) -> bool:
    files = message.attachments or message.message_snapshots
    return bool(message.content or files or message.stickers or message.poll or message.embeds)


def replies(message: discord.Message) -> bool:
    """Not: forwards one, tells of a pin."""
    reference = message.reference
    reply = discord.MessageReferenceType.reply
    return reference is not None and reference.message_id is not None and reference.type is reply


async def replied_to(message: discord.Message) -> discord.Message | None:
    """The message that ``message`` replies to, if there still is one."""
    reference = message.reference
    if reference is None or reference.type is not discord.MessageReferenceType.reply:
        return None
    resolved = reference.cached_message or reference.resolved
    if isinstance(resolved, discord.Message):
        return resolved
    if isinstance(resolved, discord.DeletedReferencedMessage) or reference.message_id is None:
        return None
    return await _fetched(message.channel, reference.message_id)


async def beginning(thread: object) -> discord.Message | None:
    """The message a thread was opened on: it stands in the thread's channel, and has the thread's id."""
    if not isinstance(thread, discord.Thread) or isinstance(thread.parent, discord.ForumChannel):
        return None
    if thread.starter_message is not None:
        return thread.starter_message
    return await _fetched(thread.parent, thread.id)


async def _fetched(channel: object, message: int) -> discord.Message | None:
    if not isinstance(channel, discord.abc.Messageable):
        return None
    try:
        return await channel.fetch_message(message)
    except UNREADABLE:
        return None
