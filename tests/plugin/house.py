"""What the plugin's tests share: a bot at home on a loopback Discord, and words for what is seen there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discord.ext import commands
from discord_double import Channel, Double, Message, Person, walk
from glasshead.config import Settings
from glasshead.plugin.client import Client
from glasshead.plugin.service import Service

HURRIED = 0.05
"""Seconds between two edits: fewer than config.toml may say, so that tests need not sit out the pace."""


def made_settings(folder: Path, model: Path, /, *, paced: bool = False, **sections: Any) -> Settings:
    """Settings for a test: everything in ``folder``, greedy, short replies, edits at Discord's pace or hurried."""
    usual: dict[str, dict[str, Any]] = {
        "model": {"name": str(model), "context": 2048},
        "engine": {"threads": 1, "streams": 4, "kv_folder": folder / "kv"},
        "store": {"path": folder / "log.db"},
        "sampling": {"max_tokens": 8, "temperature": 0.0},
        "chat": {"system_prompt": "You are a helpful assistant."},
        "discord": {"token": "test-token"},
    }
    for name, values in sections.items():
        usual[name] = usual.get(name, {}) | values
    settings = Settings(**usual)  # type: ignore[arg-type]
    discord = settings.discord if paced else settings.discord.model_copy(update={"edit_interval": HURRIED})
    return settings.model_copy(update={"discord": discord})


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


@dataclass
class House:
    """One bot on one loopback Discord for a module of tests; each of them has a channel and people of its own."""

    double: Double
    bot: Client
    tests: int = 0


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
        """Role and text of everything that went into a reply; as Discord shows it, without spaces around."""
        await asyncio.gather(*self.service.tasks)
        store = self.service.chat.store
        turn = await store.turn_of_discord_message(reply.id)
        assert turn is not None
        full = await store.turn(turn)
        assert full.prompt_message is not None
        return [(m.role, m.text.strip()) for m in await store.conversation(full.prompt_message)]


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
