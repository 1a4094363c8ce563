"""In somebody else's bot, which has commands of its own."""

from pathlib import Path

import discord
import glasshead.plugin
import pytest
from discord.ext import commands
from discord_double import Double
from house import finished, logged_in, made_settings

pytestmark = pytest.mark.usefixtures("quick")


async def test_what_is_a_command_of_the_host_is_not_answered(double: Double, tmp_path: Path) -> None:
    intents = discord.Intents.default()
    intents.message_content = True
    host = commands.Bot("!", intents=intents)

    @host.command()
    async def ping(context: commands.Context[commands.Bot]) -> None:
        await context.send("pong")

    async with logged_in(host, double):
        await glasshead.plugin.load(host, made_settings(tmp_path, Path("none.gguf")))
        alice = double.person("alice")
        asked = [await alice.say(alice.dm, text) for text in ("!ping", "Hello", "!hello")]
        replies = [await double.reply_to(each, finished, timeout=40) for each in asked[1:]]
        pong = await double.wait_for(lambda m: m.content == "pong", timeout=40)
        assert sorted(m.id for m in double.said()) == sorted(m.id for m in (pong, *replies))
        await glasshead.plugin.unload(host)
        assert not host.cogs and not host.tree.get_commands()
