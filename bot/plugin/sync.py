"""Telling Discord the commands, only when they changed."""

import hashlib
import json
import logging
from typing import Any

from discord.ext import commands

from ..errors import UserError

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
    cog: Any = bot.get_cog("Glasshead")
    if cog is None:
        raise UserError("load glasshead.plugin before its commands are synced")
    preferences = cog.service.preferences  # not a module's: extensions are loaded anew
    assert bot.application_id is not None, "known after login"
    sent = await _sent(bot)
    fresh = _digest(sent)
    if preferences.synced(bot.application_id) == fresh:
        there = {(command.type.value, command.name) for command in await bot.tree.fetch_commands()}
        if there == sent.keys():
            return False
    await bot.tree.sync()
    await preferences.set_synced(bot.application_id, fresh)
    log.info("commands synced")
    return True
