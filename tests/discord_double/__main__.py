"""Serve a loopback Discord and talk in it by hand: ``python -m tests.discord_double --port 8099``.

Every line typed is said by alice in #general; what the bot says is printed whenever it changes.
"""

import argparse
import asyncio
import sys

from .double import Double
from .things import Message


async def serve(port: int, token: str) -> None:
    async with Double(port=port, token=token) as discord:
        alice = discord.person("alice")
        here = "tests/discord_double/launch.py"
        print(f"Serving {discord.url}; mention the bot as @bot. Start one with:")
        print(f"  DISCORD_TOKEN={token} python {here} {discord.url} glasshead run")
        shown: dict[int, str] = {}

        def show(message: Message) -> bool:
            if shown.get(message.id) != message.text:
                shown[message.id] = message.text
                print(f"[bot] {message.text}", flush=True)
            return False

        watching = asyncio.ensure_future(discord.wait_for(show, timeout=1e9))
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            text = line.decode().rstrip("\n").replace("@bot", discord.bot_mention)
            await alice.say(discord.general, text)
        watching.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--token", default="test-token")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.token))
