"""Telling Discord the commands, only when they changed."""

import hashlib
import json
import logging
from typing import Any

from discord.ext import commands

from ..errors import UserError

log = logging.getLogger(__name__)


async def digest(bot: commands.Bot) -> str:
    """A hash of all commands of the bot's tree as they would be sent, in all languages."""
    tree = bot.tree
    every, translator = tree._get_all_commands(), tree.translator
    if translator is None:
        sent = [command.to_dict(tree) for command in every]
    else:
        sent = [await command.get_translated_payload(tree, translator) for command in every]
    sent.sort(key=lambda each: (each["type"], each["name"]))
    return hashlib.sha256(json.dumps(sent, sort_keys=True, default=str).encode()).hexdigest()


async def sync_if_changed(bot: commands.Bot) -> bool:
    """Sync the bot's global commands unless they are the ones Discord was last told. For hosts, after loading."""
    cog: Any = bot.get_cog("Glasshead")
    if cog is None:
        raise UserError("load glasshead.plugin before its commands are synced")
    preferences = cog.service.preferences  # not a module's: extensions are loaded anew
    assert bot.application_id is not None, "known after login"
    fresh = await digest(bot)
    if preferences.synced(bot.application_id) == fresh:
        return False
    await bot.tree.sync()
    await preferences.set_synced(bot.application_id, fresh)
    log.info("commands synced")
    return True
