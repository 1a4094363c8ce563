"""Messages under a person's name that nobody has typed."""

import asyncio
from typing import Any

import pytest
from discord_double import Double
from discord_double.gateway import DIRECT_MESSAGES
from house import finished

pytestmark = pytest.mark.usefixtures("quick")
PIN, JOIN, CREATED, STARTER, POLL_ENDED = 6, 7, 18, 21, 46


async def test_what_discord_writes_for_somebody_is_not_answered(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        first = await double.reply_to(await alice.say(alice.dm, "Hello!"), finished, timeout=40)
        shown = double.world.message_json(first.reference)
        for kind in (PIN, JOIN, CREATED, STARTER, POLL_ENDED):
            told = shown | {"id": str(double.clock.snowflake()), "type": kind, "content": ""}
            double.gateway.dispatch("MESSAGE_CREATE", told, DIRECT_MESSAGES)
        last = await double.reply_to(await alice.say(alice.dm, "And now?"), finished, timeout=40)
        await asyncio.gather(*bot.service.tasks)
        assert double.said() == [first, last] and not double.rejected
