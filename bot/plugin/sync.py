"""Telling Discord the commands: when they changed, and when somebody asks for it."""

import hashlib
import json
import logging
from typing import Any

from discord.ext import commands

from ..errors import UserError
from .preferences import Preferences

log = logging.getLogger(__name__)


async def _sent(bot: commands.Bot) -> dict[tuple[int, str], Any]:
    """All commands of the bot's tree as they would be sent, in all languages, by type and name."""
    tree = bot.tree
    every, translator = tree._get_all_commands(), tree.translator
    if translator is None:
        sent = [command.to_dict(tree) for command in every]
    else:
        sent = [await command.get_translated_payload(tree, translator) for command in every]
    return {(each["type"], each["name"]): each for each in sent}


def _digest(sent: dict[tuple[int, str], Any]) -> str:
    every = [sent[key] for key in sorted(sent)]
    return hashlib.sha256(json.dumps(every, sort_keys=True, default=str).encode()).hexdigest()


async def sync_if_changed(bot: commands.Bot) -> bool:
    """Sync the bot's global commands unless they are the ones Discord was last told, and still has: a host may have
    told it others meanwhile, while this plugin was not loaded. For hosts, after loading."""
    preferences, application = _known(bot)
    sent = await _sent(bot)
    if preferences.synced(application) == _digest(sent):
        there = {(command.type.value, command.name) for command in await bot.tree.fetch_commands()}
        if there == sent.keys():
            return False
    await _tell(bot, sent)
    return True


async def sync(bot: commands.Bot) -> tuple[int, bool]:
    """Sync them in any case: how many there are, and whether they are others than Discord was last told."""
    sent = await _sent(bot)
    return len(sent), await _tell(bot, sent)


async def _tell(bot: commands.Bot, sent: dict[tuple[int, str], Any]) -> bool:
    preferences, application = _known(bot)
    fresh = _digest(sent)
    changed = preferences.synced(application) != fresh
    await bot.tree.sync()
    await preferences.set_synced(application, fresh)
    log.info("commands synced")
    return changed


def _known(bot: commands.Bot) -> tuple[Preferences, int]:
    """What remembers what Discord was told, and under which application. Raises UserError."""
    cog: Any = bot.get_cog("Glasshead")
    if cog is None:
        raise UserError("load glasshead.plugin before its commands are synced")
    assert bot.application_id is not None, "known after login"
    return cog.service.preferences, bot.application_id  # not a module's: extensions are loaded anew
