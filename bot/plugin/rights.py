"""What the bot, and people, may do somewhere, as far as Discord has told."""

from typing import Any

import discord

from .permissions import SHOWN, missing


def lacking_in(channel: object, me: discord.Member) -> tuple[str, ...]:
    """What the bot lacks there. If it seems to lack even the sight of what it was just sent, or nothing is known of
    the channel, nothing is known of its permissions either: none is missing, then, and Discord decides."""
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return ()
    if me.guild.get_role(me.guild.id) is None:  # @everyone
        return ()
    try:
        has = channel.permissions_for(me)
    except discord.ClientException:  # a thread whose channel is unknown
        return ()
    if not has.view_channel:
        return ()
    return missing([name for name in SHOWN if getattr(has, name)], thread=isinstance(channel, discord.Thread))


def manages(interaction: discord.Interaction[Any], permission: str) -> bool:
    """Whether the person has it there; a server's owner has every one."""
    guild = interaction.guild
    owner = guild is not None and guild.owner_id == interaction.user.id
    return owner or bool(getattr(interaction.permissions, permission))
