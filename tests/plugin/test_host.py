"""In somebody else's bot, which has commands of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import glasshead.plugin
import pytest
from discord.ext import commands
from discord_double import Double
from glasshead.errors import UserError
from glasshead.plugin.mending import Mending
from glasshead.plugin.service import Service
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


@pytest.fixture
async def host(double: Double) -> AsyncIterator[commands.Bot]:
    """Somebody else's bot, logged in."""
    host = commands.Bot("!", intents=discord.Intents.default(), activity=discord.Game("chess"))
    async with logged_in(host, double):
        await host.wait_until_ready()
        yield host


async def theirs(_: discord.Interaction[commands.Bot], message: discord.Message) -> None:
    """A message menu of the host's own."""


@pytest.mark.parametrize(
    ("menus", "cog", "why"),
    [
        ([], "Glasshead tuning", 'a cog "Glasshead tuning" of its own'),
        (["Explain this reply"], None, 'a message menu "Explain this reply" of its own'),
        (["a", "b", "c", "d"], None, "4 message menus of its own, Glasshead brings 2, and Discord takes 5"),
    ],
)
async def test_where_names_are_taken_nothing_begins(
    host: commands.Bot, double: Double, tmp_path: Path, menus: list[str], cog: str | None, why: str
) -> None:
    for name in menus:
        host.tree.context_menu(name=name)(theirs)
    if cog is not None:
        await host.add_cog(type("Theirs", (commands.Cog,), {}, name=cog)())
    before = list(host.cogs), host.tree.get_commands()
    with pytest.raises(UserError, match=why):
        await glasshead.plugin.load(host, made_settings(tmp_path, Path("none.gguf")))
    assert (list(host.cogs), host.tree.get_commands()) == before


async def test_what_fails_to_load_has_ended_when_that_is_told(
    host: commands.Bot, double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    close = Service.close

    async def closing(service: Service) -> None:
        await close(service)
        closed.append(service)

    async def fail(self: Mending) -> None:
        raise UserError("no")

    monkeypatch.setattr(Service, "close", closing)
    monkeypatch.setattr(Mending, "cog_load", fail)
    with pytest.raises(UserError, match="no"):
        await glasshead.plugin.load(host, made_settings(tmp_path, Path("none.gguf")))
    (service,) = closed
    assert service.closing and not host.cogs


@pytest.mark.parametrize("activity", [None, discord.Game("chess")])
async def test_a_host_shows_what_it_likes(double: Double, tmp_path: Path, activity: discord.Game | None) -> None:
    host = commands.Bot("!", intents=discord.Intents.default(), activity=activity, status=discord.Status.idle)

    def shown() -> list[str]:
        return [each.get("state") or each["name"] for each in double.gateway.presence.get("activities", [])]

    async with logged_in(host, double):
        await host.wait_until_ready()
        await glasshead.plugin.load(host, made_settings(tmp_path, Path("none.gguf")))
        if activity is None:
            await double.until(lambda: shown() == ["tiny"])
            assert double.gateway.presence["status"] == "idle"
        alice = double.person("alice")
        await double.reply_to(await alice.say(alice.dm, "Hello"), finished, timeout=40)
        assert activity is None or shown() != ["tiny"]
        await glasshead.plugin.unload(host)
        await double.until(lambda: not shown())
