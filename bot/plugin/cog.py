"""What all cogs have in common: the bot, the service, and an answer to every command, in time."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import discord
from discord import app_commands
from discord.ext import commands

from ..errors import UserError
from ..store import StoreError
from .addressing import Once
from .display import sentence
from .service import NOBODY, Service
from .transient import TROUBLE, passing

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = 1.8
"""Seconds a command may take before it is acknowledged; Discord gives three."""
ALREADY_ACKNOWLEDGED = 40060
_responding = Once()
_EXPIRED = (10015, 50027)
"""What Discord says of an interaction that was acknowledged and is over: unknown webhook, invalid token."""
_OVER = (401, 404)
"""Where it cannot be answered any more, or what it was about is gone."""
_ANSWERED, _LATE = "answered", "acknowledged late"
LATE = "I am still writing here; please try again in a moment."


class ServiceCog(commands.Cog):
    """A cog over the shared service."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        self.bot = bot
        self.service = service
        self.menus: tuple[app_commands.ContextMenu, ...] = ()
        """What it offers besides its commands, while it is loaded."""

    def add_menus(self) -> None:
        for menu in self.menus:
            self.bot.tree.add_command(menu)

    def remove_menus(self) -> None:
        for menu in self.menus:
            self.bot.tree.remove_command(menu.name, type=menu.type)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Nobody is refused here; what takes its time (the log may be busy) is acknowledged meanwhile."""
        if interaction.type is discord.InteractionType.application_command:
            asyncio.get_running_loop().call_later(PATIENCE, self._acknowledge, interaction)
        return True

    def _acknowledge(self, interaction: discord.Interaction[Any]) -> None:
        if not interaction.response.is_done():
            self.service.spawn(_acknowledge_late(interaction))

    async def cog_app_command_error(
        self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError
    ) -> None:
        if isinstance(error, app_commands.CheckFailure):  # whoever checked has said so
            return
        async with answering(interaction):
            raise getattr(error, "original", error)


@contextlib.asynccontextmanager
async def answering(interaction: discord.Interaction[Any]) -> AsyncIterator[None]:
    """What goes wrong inside is told to the person: their mistake by its name, ours without its details."""
    try:
        try:
            yield
        except UserError as error:
            await tell(interaction, in_words(error))
        except (discord.HTTPException, *TROUBLE):
            raise
        except Exception:
            log.exception("%s failed", _named(interaction))
            await tell(interaction, "Something went wrong here; it is in my operator's log.")
    except (discord.HTTPException, *TROUBLE) as error:
        log.warning("%s could not be answered: %s", _named(interaction), error)
        if not (
            isinstance(error, discord.HTTPException)
            and (error.status in _OVER or error.code == ALREADY_ACKNOWLEDGED)
        ):
            with contextlib.suppress(discord.HTTPException, *TROUBLE):  # lest it go on to say that I am thinking
                await tell(interaction, "Discord did not take my answer; please try again.")


async def acknowledge(
    interaction: discord.Interaction[Any], *, ephemeral: bool = False, thinking: bool = False
) -> None:
    """`defer`, unless that was done."""
    await _respond(interaction, lambda: interaction.response.defer(ephemeral=ephemeral, thinking=thinking))


async def show_form(interaction: discord.Interaction[Any], form: discord.ui.Modal) -> None:
    """Ask for more. Raises UserError where that comes too late."""
    interaction._state.store_view(form)  # first: the word that Discord shows it may never come
    if not await _respond(interaction, lambda: interaction.response.send_modal(form)):
        raise UserError(LATE)


async def _respond(interaction: discord.Interaction[Any], send: Callable[[], Awaitable[object]]) -> bool:
    """Send the first answer, once more where no word came back: if Discord had taken it all the same, it says so
    then. False: another task has acknowledged the interaction meanwhile. That somebody has is an error only of one
    that the gateway tells of again."""
    first = _responding.first(interaction.id)
    for again in (True, True, False):
        if interaction.response.is_done():
            return False
        try:
            await send()
            return True
        except (discord.HTTPException, *TROUBLE) as error:
            if first and isinstance(error, discord.HTTPException) and error.code == ALREADY_ACKNOWLEDGED:
                return _LATE not in interaction.extras
            if not (again and passing(error)):
                raise
    return False


async def in_time(work: Awaitable[T]) -> T:
    """What is read before a form can be shown: that is an acknowledgement, too, and cannot come later. Raises
    UserError."""
    try:
        return await asyncio.wait_for(work, PATIENCE)
    except TimeoutError:
        raise UserError(LATE) from None


def expired(error: discord.HTTPException) -> bool:
    """Whether Discord keeps the interaction open no longer."""
    return error.code in _EXPIRED


def in_words(error: UserError) -> str:
    """For people who have nothing to do with the machine the bot runs on."""
    return sentence(f"my log cannot be used now: {error.in_short}" if isinstance(error, StoreError) else str(error))


def _named(interaction: discord.Interaction[Any]) -> str:
    command, data = interaction.command, dict(interaction.data or {})
    return f"/{command.qualified_name}" if command else str(data.get("custom_id", "a press"))


async def _acknowledge_late(interaction: discord.Interaction[Any]) -> None:
    interaction.extras[_LATE] = True
    try:
        await interaction.response.defer(ephemeral=True, thinking=True)
    except (discord.DiscordException, *TROUBLE) as error:
        log.debug("not acknowledged a second time: %s", error)


async def tell(
    interaction: discord.Interaction[Any],
    text: str,
    file: discord.File | None = None,
    view: discord.ui.View | None = None,
) -> None:
    """An answer that only the person who asked sees (unless it was acknowledged for everybody).

    The first one takes the place of *thinking …*; further ones stand below it. What took longer than Discord keeps
    an interaction open goes to the person as a direct message.
    """
    try:
        await _tell(interaction, text, file, {} if view is None else {"view": view})
    except discord.HTTPException as error:
        if not expired(error):
            raise
        more: dict[str, Any] = {}
        if file is not None:
            file.fp.seek(0)
            more["file"] = discord.File(file.fp, file.filename)
        await interaction.user.send(text[:2000], allowed_mentions=NOBODY, **more)


async def _tell(
    interaction: discord.Interaction[Any], text: str, file: discord.File | None, view: dict[str, Any]
) -> None:
    text, response = text[:2000], interaction.response
    more: dict[str, Any] = view if file is None else view | {"file": file}
    try:
        sent = await _respond(
            interaction, lambda: response.send_message(text, ephemeral=True, allowed_mentions=NOBODY, **more)
        )
    except discord.HTTPException as error:
        if error.code != ALREADY_ACKNOWLEDGED:
            raise
        sent = False
    if sent:
        return
    waiting = response.type is discord.InteractionResponseType.deferred_channel_message
    if waiting and _ANSWERED not in interaction.extras:
        files = [file] if file is not None else []
        await interaction.edit_original_response(content=text, attachments=files, allowed_mentions=NOBODY, **view)
    else:
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=NOBODY, **more)
    interaction.extras[_ANSWERED] = True
