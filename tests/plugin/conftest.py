"""The plugin in a bot of its own, in this process, on a loopback Discord, with the real model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from discord.asset import Asset
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from discord_double import Double
from discord_double.launch import point
from glasshead.config import Settings
from glasshead.plugin.client import Client

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


@pytest.fixture
def settings(tmp_path: Path, model_path: Path) -> Callable[..., Settings]:
    def make(**sections: Any) -> Settings:
        usual: dict[str, dict[str, Any]] = {
            "model": {"name": str(model_path), "context": 2048},
            "engine": {"threads": 1, "streams": 4, "kv_folder": tmp_path / "kv"},
            "store": {"path": tmp_path / "log.db"},
            "sampling": {"max_tokens": 24, "temperature": 0.0},
            "chat": {"system_prompt": "You are a helpful assistant."},
            "discord": {"token": "test-token"},
        }
        for name, values in sections.items():
            usual[name] = usual.get(name, {}) | values
        return Settings(**usual)  # type: ignore[arg-type]

    return make


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
def started(double: Double, settings: Callable[..., Settings]) -> Start:
    """``async with started(discord={…}) as bot:`` runs the bot, from login to a clean end."""

    @asynccontextmanager
    async def run(*, message_content: bool = True, **sections: Any) -> AsyncIterator[Client]:
        bot = Client(settings(**sections), message_content=message_content)
        async with logged_in(bot, double):
            yield bot

    return run


@pytest.fixture
async def bot(started: Start) -> AsyncIterator[Client]:
    async with started() as running:
        yield running
