"""A plain discord.py client, to drive the loopback Discord itself with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import discord
from discord import app_commands
from discord_double import Double


class Plain(discord.Client):
    """The smallest client with a command tree; tests hang their handlers on it."""

    def __init__(self, *, intents: discord.Intents | None = None) -> None:
        super().__init__(intents=intents or discord.Intents.all(), guild_ready_timeout=0.05)
        self.tree = app_commands.CommandTree(self)
        self.heard: list[discord.Message] = []

    async def before_identify_hook(self, *_: object, **__: object) -> None:
        """It would wait five seconds before it begins a session anew."""

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message)
        self.dispatch("heard", message)  # who waits for a message finds it among those heard


@asynccontextmanager
async def running(client: Plain, double: Double) -> AsyncIterator[Plain]:
    task = asyncio.create_task(client.start(double.token))
    try:
        await asyncio.wait_for(asyncio.shield(_ready(client, task)), 10)
        yield client
    finally:
        await client.close()
        await asyncio.gather(task, return_exceptions=True)


async def _ready(client: Plain, task: "asyncio.Task[None]") -> None:
    ready = asyncio.create_task(client.wait_for("ready"))
    done, _ = await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        ready.cancel()
        await task
