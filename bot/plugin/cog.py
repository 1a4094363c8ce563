"""What all cogs have in common: the bot, the service, and a word to the person when a command fails."""

import logging
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from ..errors import UserError
from .service import NOBODY, Service

log = logging.getLogger(__name__)


class ServiceCog(commands.Cog):
    """A cog over the shared service."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        self.bot = bot
        self.service = service

    async def cog_app_command_error(
        self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError
    ) -> None:
        cause = getattr(error, "original", error)
        if isinstance(cause, UserError):
            await tell(interaction, str(cause))
            return
        name = interaction.command.qualified_name if interaction.command else "a command"
        log.error("/%s failed", name, exc_info=cause)
        if not isinstance(cause, discord.HTTPException):
            await tell(interaction, "Something went wrong here; it is in my operator's log.")


async def tell(interaction: discord.Interaction[Any], text: str) -> None:
    """A line that only the person who asked sees."""
    if interaction.response.is_done():
        await interaction.followup.send(text[:1900], ephemeral=True, allowed_mentions=NOBODY)
    else:
        await interaction.response.send_message(text[:1900], ephemeral=True, allowed_mentions=NOBODY)
