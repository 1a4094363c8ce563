"""The plugin in a bot of its own, in this process, on a loopback Discord, with a real engine."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import discord
import glasshead.plugin
import pytest
import pytest_asyncio
from discord import app_commands
from discord.asset import Asset
from discord.gateway import DiscordWebSocket
from discord.http import Route
from discord_double import Double
from discord_double.launch import point
from glasshead.config import Settings
from glasshead.errors import UserError
from glasshead.explain.picture_process import PictureProcess
from glasshead.plugin import cog
from glasshead.plugin.client import Client
from house import House, Room, logged_in, made_settings
from scripted import open_scripted
from simcord.env import Env
from simulated import Place

Start = Callable[..., AbstractAsyncContextManager[Client]]


async def nothing(*_: Any, **__: Any) -> None:
    pass


@pytest.fixture
def pointed() -> Iterator[None]:
    """Put discord.py's addresses back afterwards."""
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE
    yield
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE = before


@pytest.fixture
async def double(pointed: None) -> AsyncIterator[Double]:
    async with Double() as server:
        point(server.url)
        yield server


@pytest.fixture
def started(
    double: Double, tmp_path: Path, shallow_path: Path, shared_model: None, monkeypatch: pytest.MonkeyPatch
) -> Start:
    """``async with started(discord={…}) as bot:`` runs the bot, from login to a clean end.

    Its drawing process starts with the first picture: few tests want one. ``paced``: its edits keep the pace they
    have in life, and the channel its rate limits.
    """
    monkeypatch.setattr(PictureProcess, "warm_up", nothing)

    @asynccontextmanager
    async def run(*, message_content: bool = True, paced: bool = False, **sections: Any) -> AsyncIterator[Client]:
        if not paced:
            double.limits.rules.clear()
        settings = made_settings(tmp_path, shallow_path, paced=paced, **sections)
        bot = Client(settings, message_content=message_content)
        async with logged_in(bot, double):
            yield bot

    return run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, shallow_path: Path, shared_model: None
) -> AsyncIterator[House]:
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE
    async with Double() as server:
        point(server.url)
        server.limits.rules.clear()
        shared = {"server_per_minute": 0}  # by all tests of a module
        settings = made_settings(tmp_path_factory.mktemp("house"), shallow_path, discord=shared)
        bot = Client(settings, message_content=True)
        async with logged_in(bot, server):
            yield House(server, bot)
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE = before


@pytest.fixture
def room(house: House) -> Room:
    house.tests += 1
    channel = house.double.channel(f"room-{house.tests}")
    alice, bob = (house.double.person(f"{name}{house.tests}") for name in ("alice", "bob"))
    return Room(house.double, house.bot, channel, alice, bob)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot without a model, without pictures, that does not wait before it begins a session anew."""

    async def no_picture(*_: Any) -> None:
        raise UserError("there is no picture here")

    monkeypatch.setattr(glasshead.plugin, "open_chat", open_scripted)
    monkeypatch.setattr(Client, "before_identify_hook", nothing)
    monkeypatch.setattr(PictureProcess, "warm_up", nothing)
    monkeypatch.setattr(PictureProcess, "draw", no_picture)


@pytest.fixture
def settings(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(cog, "PATIENCE", 3600.0)  # simcord waits for what is due soon
    return made_settings(tmp_path, Path("none.gguf"), discord={"at_once": 20, "per_minute": 60})


@pytest.fixture
def simcord_bot(settings: Settings) -> Client:
    return Client(settings, message_content=True)


@pytest.fixture
def place(simcord_env: Env) -> Iterator[Place]:
    guild = simcord_env.create_guild()
    moderator = guild.create_role("moderator", permissions=discord.Permissions(manage_messages=True))
    manager = guild.create_role("manager", permissions=discord.Permissions(manage_guild=True))
    user = simcord_env.create_user("alice")
    alice, bob = guild.add_member(user), guild.add_member(simcord_env.create_user("bob"))
    carol = guild.add_member(simcord_env.create_user("carol"), roles=[moderator])
    dave = guild.add_member(simcord_env.create_user("dave"), roles=[moderator, manager])
    general = guild.create_text_channel("general")
    yield Place(simcord_env, guild, general, alice, bob, carol, dave, user.dm_channel)
    for error in simcord_env.errors:
        assert isinstance(getattr(error, "original", error), UserError | app_commands.CheckFailure)
