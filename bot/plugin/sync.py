"""Telling Discord the commands, only when they changed."""

import hashlib
import json
import logging

from discord.ext import commands

from .preferences import Preferences

log = logging.getLogger(__name__)


def digest(bot: commands.Bot) -> str:
    """A hash of all commands of the bot's tree as they would be sent."""
    sent = sorted((c.to_dict(bot.tree) for c in bot.tree._get_all_commands()), key=lambda c: (c["type"], c["name"]))
    return hashlib.sha256(json.dumps(sent, sort_keys=True, default=str).encode()).hexdigest()


async def sync_changed(bot: commands.Bot, preferences: Preferences) -> bool:
    """Sync the global commands unless Discord was told these very ones before. Returns whether it did."""
    assert bot.application_id is not None, "known after login"
    fresh = digest(bot)
    if preferences.synced(bot.application_id) == fresh:
        return False
    await bot.tree.sync()
    await preferences.set_synced(bot.application_id, fresh)
    log.info("commands synced")
    return True
