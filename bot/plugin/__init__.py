"""Discord: cogs, buttons, the streaming editor, markdown splitting.

Loadable in any discord.py bot: ``await bot.load_extension("glasshead.plugin")``. What needs no Discord is kept out
of its reach (addressing, names, splitting, pacing, permissions) and tested as tables.
"""

import logging
from contextlib import AsyncExitStack
from functools import partial

import discord
from discord.ext import commands

from ..config import Settings, load_settings
from ..errors import UserError
from ..wiring import open_chat
from .asking import Asking
from .cog import ServiceCog
from .explaining import Explaining
from .governing import Governing
from .keeping import Keeping
from .limits import edits_left
from .mending import Mending
from .preferences import Preferences
from .presence import Presence
from .pressed import ReplyButtons
from .service import Service
from .sync import sync_if_changed
from .talk import Talk
from .touring import Touring
from .translator import Languages
from .tuning import Tuning

__all__ = ["Languages", "Service", "load", "setup", "sync_if_changed", "teardown", "unload"]

log = logging.getLogger(__name__)

BRINGS_ONE = "Glasshead brings one, too"
MOST_MENUS = 5
"""Menus on messages that Discord takes of one application."""

_loaded: dict[int, tuple[Service, AsyncExitStack]] = {}
"""By the id() of the bot that loaded the plugin, until it unloads it."""
_before: dict[int, Settings] = {}
"""The settings it had with a bot that has unloaded this very module."""


async def setup(bot: commands.Bot) -> None:
    """discord.py's entry point: settings as `glasshead run` reads them. A reload takes a new module; where that
    cannot be set up, discord.py goes back to the one before, and that to what it ran with."""
    await load(bot, _before.pop(id(bot)) if id(bot) in _before else load_settings())


async def teardown(bot: commands.Bot) -> None:
    """discord.py's exit; its cogs are gone by now."""
    service, stack = _loaded.pop(id(bot))
    _before[id(bot)] = service.settings
    await service.close()
    await stack.aclose()


async def load(bot: commands.Bot, settings: Settings) -> Service:
    """Open model and log, and add the cogs. Everything or nothing."""
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(open_chat(settings))
        service = Service(chat, settings, await Preferences.load(chat.store), partial(edits_left, bot))
        stack.push_async_callback(service.close)
        every = cogs(bot, service)
        _refuse_doubles(bot, every)
        if bot.tree.translator is None:
            await bot.tree.set_translator(Languages())
            stack.push_async_callback(_leave_translating, bot)
        for cog in every:
            await bot.add_cog(cog)
            stack.push_async_callback(bot.remove_cog, cog.qualified_name)
        _loaded[id(bot)] = service, stack.pop_all()
    return service


async def unload(bot: commands.Bot) -> None:
    """What `teardown` does, for a bot that called `load` itself."""
    if id(bot) in _loaded:
        await teardown(bot)
        del _before[id(bot)]


def _refuse_doubles(bot: commands.Bot, every: list[ServiceCog]) -> None:
    """Raise UserError if the bot has a command, a menu or a cog of a name that one of ours has, or too many menus:
    Discord knows a name once."""
    for command in (command for cog in every for command in cog.get_app_commands()):
        if bot.tree.get_command(command.name) is not None:
            raise UserError(f"this bot has a command /{command.name} of its own: rename it, {BRINGS_ONE}")
    menus = [menu for cog in every for menu in cog.menus]
    theirs = bot.tree.get_commands(type=discord.AppCommandType.message)
    for menu in menus:
        if bot.tree.get_command(menu.name, type=menu.type) is not None:
            raise UserError(f'this bot has a message menu "{menu.name}" of its own: rename it, {BRINGS_ONE}')
    if len(theirs) + len(menus) > MOST_MENUS:
        raise UserError(
            f"this bot has {len(theirs)} message menus of its own, Glasshead brings {len(menus)}, and Discord "
            f"takes {MOST_MENUS}: remove some"
        )
    for cog in every:
        if bot.get_cog(cog.qualified_name) is not None:
            raise UserError(f'this bot has a cog "{cog.qualified_name}" of its own: rename it, {BRINGS_ONE}')


async def _leave_translating(bot: commands.Bot) -> None:
    if isinstance(bot.tree.translator, Languages):
        await bot.tree.set_translator(None)


def cogs(bot: commands.Bot, service: Service) -> list[ServiceCog]:
    kinds: tuple[type[ServiceCog], ...] = (
        Talk,
        ReplyButtons,
        Explaining,
        Asking,
        Tuning,
        Keeping,
        Governing,
        Touring,
        Presence,
        Mending,
    )
    return [kind(bot, service) for kind in kinds]
