"""What happened while the bot was away: replies not shown to the end, messages it was not told of."""

import asyncio
from typing import Any

import glasshead.plugin
import pytest
from discord_double import Double, Message, Person
from glasshead.explain.picture_process import PictureProcess
from glasshead.plugin import service, surface, unshown
from glasshead.plugin.client import Client
from house import finished, labels
from scripted import open_scripted

pytestmark = pytest.mark.usefixtures("quick")


async def ask(double: Double, who: Person, text: str) -> Message:
    return await double.reply_to(await who.mention_bot(double.general, text), finished, timeout=40)


async def given_up(double: Double, bot: Client) -> None:
    """Until Discord has refused something and the bot does not wait for it any more."""
    await double.until(lambda: any(r.status == 503 for r in double.requests), timeout=40)
    assert bot.service is not None
    await asyncio.gather(*bot.service.tasks)
    assert bot.service._later


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot without a model and without pictures."""

    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(glasshead.plugin, "open_chat", open_scripted)
    monkeypatch.setattr(PictureProcess, "warm_up", nothing)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that ends without waiting for Discord, as one that is killed."""
    monkeypatch.setattr(service, "LONGEST_END", 0.1)
    monkeypatch.setattr(surface, "FINAL_TRIES", 1)


@pytest.mark.usefixtures("hasty")
async def test_a_reply_that_could_not_be_shown_is_shown_after_a_restart(double: Double, started: Any) -> None:
    alice = double.person("alice")
    outage = double.fail("POST", "/messages", 503, times=0)
    async with started() as bot:
        store = bot.service.chat.store
        done = await ask(double, alice, "Hello!")
        await asyncio.gather(*bot.service.tasks)
        assert await unshown.left(store) == set()
        outage.times = 10_000
        asked = await alice.mention_bot(double.general, "And now?")
        await given_up(double, bot)
        assert await unshown.left(store) == {2}
    assert double.said() == [done]
    outage.times = 0
    async with started() as bot:
        late = await double.reply_to(asked, finished, timeout=40)
        assert double.said() == [done, late]
        turn = await bot.service.chat.store.turn(2)
        assert late.content == turn.reply
        again = await ask(double, alice, "Still there?")
        await asyncio.gather(*bot.service.tasks)
        assert await unshown.left(bot.service.chat.store) == set()
        assert double.said() == [done, late, again]


@pytest.mark.usefixtures("hasty")
async def test_a_retry_that_could_not_be_shown_takes_its_place_after_a_restart(
    double: Double, started: Any
) -> None:
    alice = double.person("alice")
    outage = double.fail("PATCH", "/messages/", 503, times=0)
    async with started() as bot:
        reply = await ask(double, alice, "Hello!")
        outage.times = 10_000
        await alice.press(reply, "Retry")
        await given_up(double, bot)
    outage.times = 0
    async with started():
        again = await double.reply_to(reply.reference, lambda m: "2/2" in labels(m), timeout=40)
        assert double.said() == [again] == [reply]
