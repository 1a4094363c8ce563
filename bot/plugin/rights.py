"""What the bot, and people, may do somewhere, as far as Discord has told."""

from typing import Any

import discord

from .permissions import SHOWN, missing
from .transient import TROUBLE


def known(channel: object, member: discord.Member | None) -> discord.Permissions | None:
    """What a member, the bot itself say, may do there; None where that cannot be told: in direct messages, where
    nothing is known of the member, of the server's roles or of the channel a thread belongs to."""
    if member is None or not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return None
    if member.guild.get_role(member.guild.id) is None:  # @everyone
        return None
    try:
        return channel.permissions_for(member)
    except discord.ClientException:  # a thread whose channel is unknown
        return None


def may_read(channel: object, member: discord.Member | None) -> bool | None:
    """Whether a member may read what was said there; None where that cannot be told."""
    has = known(channel, member)
    return None if has is None else has.view_channel and has.read_message_history


async def surely_may_read(channel: object, member: discord.Member) -> bool:
    """Whether a member may read what was said there, for all that is known. Of a private thread Discord grants as
    much as its channel does: only its members can read it, and those who manage threads."""
    if not may_read(channel, member):
        return False
    if not isinstance(channel, discord.Thread) or not channel.is_private():
        return True
    if channel.permissions_for(member).manage_threads:
        return True
    try:
        await channel.fetch_member(member.id)
    except (discord.DiscordException, *TROUBLE):
        return False
    return True


def takes_files(channel: object) -> bool:
    """Whether the bot may attach files there; where that cannot be told, Discord decides."""
    guild: discord.Guild | None = getattr(channel, "guild", None)
    has = None if guild is None else known(channel, guild.me)
    return has is None or not has.view_channel or has.attach_files


def lacking_in(channel: object, me: discord.Member) -> tuple[str, ...]:
    """What the bot lacks there. If it seems to lack even the sight of what it was just sent, nothing is known of
    its permissions either: none is missing, then, and Discord decides."""
    has = known(channel, me)
    if has is None or not has.view_channel:
        return ()
    return missing([name for name in SHOWN if getattr(has, name)], thread=isinstance(channel, discord.Thread))


def manages(interaction: discord.Interaction[Any], permission: str) -> bool:
    """Whether the person has it there; a server's owner has every one."""
    guild = interaction.guild
    owner = guild is not None and guild.owner_id == interaction.user.id
    return owner or bool(getattr(interaction.permissions, permission))
