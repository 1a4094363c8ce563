"""Interactions that are over before the bot answers: nothing breaks, nothing is lost."""

import asyncio
import contextlib
import logging
from functools import partial
from typing import Any

import pytest
from discord_double import Double, Message, Person
from house import finished, labels

pytestmark = pytest.mark.usefixtures("quick")

TOO_LATE = 4.0
"""Seconds: more than the three that Discord gives."""


async def pressed_too_late(double: Double, who: Person, message: Message, label: str) -> object:
    """Press a button that the bot hears of when Discord has given up on it (10062)."""
    press = asyncio.create_task(who.press(message, label))
    refused = len(double.rejected)
    await asyncio.sleep(0)
    double.clock.advance(TOO_LATE)
    if press.done():
        return await press  # it cannot be pressed
    await double.until(lambda: len(double.rejected) > refused)
    assert double.rejected[-1].status == 404
    press.cancel()


async def test_every_button_survives_being_pressed_too_late(
    double: Double, started: Any, caplog: pytest.LogCaptureFixture
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        reply = await double.reply_to(await alice.mention_bot(double.general, "Hello!"), finished, timeout=40)
        panel = await (await alice.press(reply, "Explain")).answer()
        for message in (reply, panel):
            for label in labels(message):
                with contextlib.suppress(AssertionError):  # disabled
                    await pressed_too_late(double, alice, message, label)
        asked = await alice.slash("forget")
        await asked.answer()
        await pressed_too_late(double, alice, asked.messages[0], "Erase everything of mine")
        await double.until(lambda: double.rejected[-1].path.startswith("/webhooks/"))
        store = bot.service.chat.store
        assert not (await store.turn(1)).reply, "who pressed has been understood"
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


async def test_forgetting_is_confirmed_also_after_a_restart(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started():
        await double.reply_to(await alice.mention_bot(double.general, "Hello!"), finished, timeout=40)
        await double.commands_synced()
        asked = await (await alice.slash("forget")).answer()
    async with started() as bot:
        done = await alice.press(asked, "Erase everything of mine")
        assert "1 message of yours" in (await done.shows(lambda m: "Erased" in m.text)).text
        assert not (await bot.service.chat.store.turn(1)).reply


async def test_what_comes_after_fifteen_minutes_comes_as_a_direct_message(
    double: Double, started: Any, caplog: pytest.LogCaptureFixture
) -> None:
    alice = double.person("alice")

    def told(times: int) -> bool:
        return len(double.said(alice.dm)) == times

    async with started():
        reply = await double.reply_to(await alice.mention_bot(double.general, "Hello!"), finished, timeout=40)
        for count, label in enumerate(("What the model saw", "All numbers", "File", "Tree", "◀"), 1):
            panel = await (await alice.press(reply, "Explain")).answer()
            double.slow("*", "/webhooks/", 0.1)
            await alice.press(panel, label)
            double.clock.advance(15 * 60)
            if label == "◀":
                await double.until(lambda: double.rejected[-1].status == 401)
            else:
                await double.until(partial(told, count))
        assert await (await alice.press(reply, "Explain")).answer()
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
