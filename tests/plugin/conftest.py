"""The plugin in a bot of its own, in this process, on a loopback Discord, with the real model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from discord.asset import Asset
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from discord_double import Channel, Double, Message, Person, walk
from discord_double.launch import point
from glasshead.config import Settings
from glasshead.plugin.client import Client
from glasshead.plugin.service import Service

Start = Callable[..., AbstractAsyncContextManager[Client]]


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


def made_settings(folder: Path, model: Path, **sections: Any) -> Settings:
    """Settings for a test: everything in ``folder``, greedy, short replies."""
    usual: dict[str, dict[str, Any]] = {
        "model": {"name": str(model), "context": 2048},
        "engine": {"threads": 1, "streams": 4, "kv_folder": folder / "kv"},
        "store": {"path": folder / "log.db"},
        "sampling": {"max_tokens": 24, "temperature": 0.0},
        "chat": {"system_prompt": "You are a helpful assistant."},
        "discord": {"token": "test-token"},
    }
    for name, values in sections.items():
        usual[name] = usual.get(name, {}) | values
    return Settings(**usual)  # type: ignore[arg-type]


@asynccontextmanager
async def logged_in(bot: commands.Bot, double: Double) -> AsyncIterator[None]:
    task = asyncio.create_task(bot.start(double.token))
    try:
        connected = asyncio.create_task(double.bot_connected())
        await asyncio.wait({task, connected}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        await connected
        yield
    finally:
        await bot.close()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def started(double: Double, tmp_path: Path, model_path: Path) -> Start:
    """``async with started(discord={…}) as bot:`` runs the bot, from login to a clean end."""

    @asynccontextmanager
    async def run(*, message_content: bool = True, **sections: Any) -> AsyncIterator[Client]:
        bot = Client(made_settings(tmp_path, model_path, **sections), message_content=message_content)
        async with logged_in(bot, double):
            yield bot

    return run


@dataclass
class House:
    """One bot on one loopback Discord for a module of tests; each of them has a channel and people of its own."""

    double: Double
    bot: Client
    tests: int = 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> AsyncIterator[House]:
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE
    async with Double() as server:
        point(server.url)
        bot = Client(made_settings(tmp_path_factory.mktemp("house"), model_path), message_content=True)
        async with logged_in(bot, server):
            yield House(server, bot)
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, Asset.BASE = before


@dataclass
class Room:
    """A channel with two people and the bot in it."""

    double: Double
    bot: Client
    channel: Channel
    alice: Person
    bob: Person

    @property
    def service(self) -> Service:
        assert self.bot.service is not None
        return self.bot.service

    async def ask(self, who: Person, text: str, **more: Any) -> Message:
        """Mention the bot in the channel and wait for the finished reply."""
        asked = await who.mention_bot(self.channel, text, **more)
        return await self.double.reply_to(asked, finished, timeout=40)

    async def follow(self, who: Person, text: str, reply: Message) -> Message:
        """Reply to what it said and wait for the finished answer."""
        asked = await who.say(reply.channel, text, reply_to=reply)
        return await self.double.reply_to(asked, finished, timeout=40)

    async def read_by_model(self, reply: Message) -> list[tuple[str, str]]:
        """Role and text of everything that went into a reply."""
        await asyncio.gather(*self.service.tasks)
        store = self.service.chat.store
        turn = await store.turn_of_discord_message(reply.id)
        assert turn is not None
        full = await store.turn(turn)
        assert full.prompt_message is not None
        return [(m.role, m.text) for m in await store.conversation(full.prompt_message)]


@pytest.fixture
def room(house: House) -> Room:
    house.tests += 1
    channel = house.double.channel(f"room-{house.tests}")
    alice, bob = (house.double.person(f"{name}{house.tests}") for name in ("alice", "bob"))
    return Room(house.double, house.bot, channel, alice, bob)


def labels(message: Message) -> list[str]:
    """What stands on a message's buttons."""
    buttons = [c for c in walk(message.components) if c["type"] == 2]
    return [c.get("label") or (c.get("emoji") or {}).get("name", "") for c in buttons]


def finished(message: Message) -> bool:
    """The buttons of a finished reply are there."""
    return "Retry" in labels(message)


def words(reply: Message) -> str:
    """A reply without its small print."""
    return reply.content.split("\n-# ")[0]
