"""The connection to Discord: what ends it for good, and what must not."""

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.backoff import ExponentialBackoff
from discord_double import Double
from discord_double.double import CUT
from glasshead.errors import UserError
from glasshead.plugin import client
from house import finished, labels, made_settings

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (4004, "refuses the token"),
        (4010, "refuses the shard"),
        (4011, "wants this bot sharded"),
        (4012, "a newer discord.py"),
        (4013, "does not know an intent"),
        (4014, "refuses the intents"),
    ],
)
async def test_what_ends_it_for_good_is_said_in_words(
    double: Double, tmp_path: Path, code: int, words: str
) -> None:
    double.gateway.closing_with = code
    running = client._serve_on(made_settings(tmp_path, Path("none.gguf")), asyncio.Event())
    with pytest.raises(UserError, match=words):
        await asyncio.wait_for(running, 20)


async def test_what_it_does_not_need_it_does_not_miss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discord.VoiceClient, "warn_nacl", True)
    monkeypatch.setattr(discord.VoiceClient, "warn_dave", True)
    client.Client(made_settings(tmp_path, Path("none.gguf")), message_content=True)
    assert caplog.messages == []


async def test_a_rate_limit_of_the_whole_bot_that_typing_meets_ends(double: Double, started: Any) -> None:
    async with started() as bot:

        async def limited(_: object) -> None:
            while double.faults[0].times or bot.http._global_over.is_set():
                await asyncio.sleep(0.01)
            bot.service.chat.before = None

        bot.service.chat.before = limited
        double.too_many("POST", "/typing$", 0.5, everywhere=True)
        for text in ("One.", "Two."):
            asked = await double.person("alice").mention_bot(double.general, text)
            await double.reply_to(asked, finished, timeout=10)


async def test_a_frame_that_cannot_be_read_costs_the_connection_and_no_more(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay", lambda self: 0.0)
    alice = double.person("alice")
    async with started():
        await double.gateway.send_garbage()
        await double.until(lambda: double.gateway.identified == 2, timeout=10)
        asked = await alice.mention_bot(double.general, "Still there?")
        await double.reply_to(asked, finished, timeout=10)
        assert len(double.said()) == 1


@pytest.mark.parametrize("status", [CUT, 503])
async def test_a_command_is_answered_though_the_answer_to_its_acknowledgement_was_lost(
    double: Double, started: Any, status: int
) -> None:
    alice = double.person("alice")
    async with started():
        await double.commands_synced()
        double.fail("POST", "/callback$", status, after=True)
        asked = await alice.slash("chat", double.general, text="Hello!")
        reply = await asked.shows(finished, timeout=10)
        double.fail("POST", "/callback$", status, after=True)
        await alice.press(reply, "Retry")
        await double.until(lambda: "2/2" in labels(reply), timeout=10)
        double.fail("POST", "/callback$", status, after=True)
        shown = await alice.slash("session show", double.general)
        await shown.shows(lambda m: "2 replies" in m.text, timeout=10)
        assert len(shown.messages) == 1


@pytest.mark.parametrize("status", [CUT, 503])
async def test_what_is_said_or_asked_first_stands_there_once_though_the_answer_to_it_was_lost(
    double: Double, started: Any, status: int
) -> None:
    alice, ask = double.person("alice"), "What do you say after this reply?"
    async with started():
        await double.commands_synced()
        double.fail("POST", "/callback$", status, after=True)
        told = await alice.slash("help", double.general)
        await told.shows(lambda m: "**Talk**" in m.text, timeout=10)
        assert len(told.messages) == 1
        reply = await double.reply_to(await alice.mention_bot(double.general, "Hello!"), finished, timeout=10)
        double.fail("POST", "/callback$", status, after=True)
        form = await alice.menu("Continue from here", reply)
        await (await alice.submit(form, **{ask: "Go on."})).shows(finished, timeout=10)


async def test_a_command_told_of_twice_is_answered_once(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        await double.commands_synced()
        asked = await alice.slash("chat", double.general, text="Hello!")
        (session,) = double.gateway.sessions.values()
        event = next(e for e in session.events if e["t"] == "INTERACTION_CREATE")
        assert session.connection is not None
        await session.connection.send(event)
        await asked.shows(finished, timeout=10)
        await double.until(lambda: double.rejected, timeout=10)
        await asyncio.gather(*bot.service.tasks)
        assert len(asked.messages) == 1 and len(bot.service.chat.requests) == 1


async def test_a_long_answer_to_a_command_whose_sending_seemed_to_fail_stands_there_once(
    double: Double, started: Any
) -> None:
    async with started() as bot:
        await double.commands_synced()
        bot.service.chat.says = "word " * 1000
        double.fail("POST", "/messages$|/webhooks/[0-9]+/[^/]+$", CUT, after=True)
        await double.person("alice").slash("chat", double.general, text="Tell me a long story.")
        await double.wait_for(finished, timeout=20)
        said = double.said()
        assert len(said) == 3 and sum(message.content.count("word") for message in said) == 1000


async def test_a_long_answer_to_a_command_stands_also_where_the_bot_may_not_write(
    double: Double, started: Any
) -> None:
    async with started() as bot:
        await double.commands_synced()
        bot.service.chat.says = "word " * 1000
        double.fail("POST", "/channels/[0-9]+/messages$", 403, code=50013, times=9)
        asked = await double.person("alice").slash("chat", double.general, text="Tell me a long story.")
        await asked.shows(finished, timeout=20)
        assert sum(message.content.count("word") for message in asked.messages) == 1000


async def test_what_was_said_before_a_server_was_there_is_answered(double: Double, started: Any) -> None:
    double.gateway.unsent |= {"GUILD_CREATE", "MESSAGE_CREATE"}
    asked = await double.person("alice").mention_bot(double.general, "Anybody here?")
    async with started() as bot:
        bot._connection.guild_ready_timeout = 0.05
        await asyncio.wait_for(bot.wait_until_ready(), 10)
        while not bot.service._later:
            await asyncio.sleep(0)
        await asyncio.gather(*bot.service._later)  # it has looked round
        double.gateway.unsent.clear()
        server = double.world.guild_json(double.guild) | {"unavailable": False}
        double.gateway.dispatch("GUILD_CREATE", server)
        await double.reply_to(asked, finished, timeout=10)
        assert len(double.said()) == 1
