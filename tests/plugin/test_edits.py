"""What an edit makes of a message, and what a deleted part makes of a reply."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from discord_double import Double, Message, Person
from glasshead.plugin import talk
from house import finished
from scripted import Gate

pytestmark = pytest.mark.usefixtures("quick")
SAID = "Well, then."
LONG = "One two three. " * 320
"""Of three messages."""


async def ask(double: Double, who: Person, text: str) -> Message:
    return await double.reply_to(await who.mention_bot(double.general, text), finished, timeout=40)


async def test_an_edit_that_adds_the_mention_is_answered_once(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        said = [await alice.say(double.general, text) for text in ("What is tea?", "And coffee?")]
        await alice.edit(said[0], "What is green tea?")
        await alice.edit(said[0], f"{double.bot_mention} What is green tea?")
        reply = await double.reply_to(said[0], finished, timeout=40)
        assert bot.service.chat.heard[-1][-1] == ("user", "What is green tea?")
        await alice.edit(said[0], f"{double.bot_mention} What is black tea?")
        monkeypatch.setattr(talk, "MISSED", timedelta(0))
        await alice.edit(said[1], f"{double.bot_mention} And coffee?")
        last = await ask(double, alice, "Are you there?")
        assert double.said() == [reply, last]
        assert len(bot.service.chat.heard) == 2


async def test_what_was_answered_and_not_kept_is_not_answered_for_an_edit_after_a_restart(
    double: Double, started: Any
) -> None:
    alice = double.person("alice")
    async with started():
        await double.commands_synced()
        await alice.slash("privacy", double.general, mine="keep nothing")
        asked = await alice.mention_bot(double.general, "What is tea?")
        reply = await double.reply_to(asked, lambda m: m.content == SAID, timeout=40)
    async with started() as bot:
        await double.until(lambda: bot.service is not None and bot.is_ready(), timeout=40)
        await asyncio.gather(*bot.service._later)
        await asyncio.gather(
            bot.wait_for("raw_message_edit"), alice.edit(asked, f"{double.bot_mention} And coffee?")
        )
        await double.reply_to(await alice.mention_bot(double.general, "Hello?"), lambda m: m.content == SAID)
        assert len(double.said()) == 2 and double.said()[0] is reply


@pytest.mark.parametrize("written", [True, False])
async def test_a_reply_that_loses_a_part_goes_as_a_whole(double: Double, started: Any, *, written: bool) -> None:
    alice = double.person("alice")
    async with started() as bot:
        chat, store = bot.service.chat, bot.service.chat.store
        chat.says = LONG
        await alice.mention_bot(double.general, "Hello!")
        before = await double.wait_for(finished, timeout=40)
        if written:
            said = double.said()
            assert len(said) == 3
        else:
            Gate(bot, at="after")
            asked = await alice.mention_bot(double.general, "And now?")
            await double.reply_to(asked, timeout=40)
            await double.until(lambda: len(double.said()) == 6, timeout=40)
            said = double.said()[3:]
        told = bot.wait_for("raw_message_delete", timeout=10)
        await asyncio.gather(told, double.person("owner").delete(said[1]))
        await double.until(lambda: all(part.deleted for part in said), timeout=40)
        await asyncio.gather(*bot.service.tasks)
        assert (await store.turn(1 if written else 2)).reply == ""
        assert (before in double.said()) is not written and len(double.said()) == (0 if written else 3)


async def test_a_reply_to_a_command_takes_what_was_asked_along(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        await double.commands_synced()
        kept = await (await alice.slash("chat", double.general, text="My cat is grey.")).shows(finished, timeout=40)
        asked = await alice.slash("chat", double.general, text="My secret is a red balloon.")
        reply = await asked.shows(finished, timeout=40)
        told = bot.wait_for("raw_message_delete", timeout=10)
        await asyncio.gather(told, double.person("owner").delete(reply))
        await asyncio.gather(*bot.service.tasks)
        said = [m.text for m in await bot.service.chat.store.messages(1) if m.role == "user"]
        assert said == ["My cat is grey.", ""] and not kept.deleted
