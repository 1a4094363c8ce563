"""What happened while the bot was away: replies not shown to the end, messages it was not told of."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from discord_double import Double, Message, Person
from glasshead.plugin import lately, missed, service, surface, unshown
from glasshead.plugin.client import Client
from glasshead.store import Store
from house import finished, labels

pytestmark = pytest.mark.usefixtures("quick")


async def ask(double: Double, who: Person, text: str) -> Message:
    return await double.reply_to(await who.mention_bot(double.general, text), finished, timeout=40)


async def given_up(double: Double, bot: Client) -> None:
    """Until Discord has refused something and the bot does not wait for it any more."""
    await double.until(lambda: any(r.status == 503 for r in double.requests), timeout=40)
    assert bot.service is not None
    await asyncio.gather(*bot.service.tasks)
    assert bot.service._later


async def unheard(bot: Client) -> list[int]:
    assert bot.service is not None and bot.user is not None
    fresh = discord.utils.utcnow() - missed.MISSED
    places = [seen async for seen in lately.lately(bot, bot.service, fresh)]
    return [m.id for seen in places async for m in missed.missed(seen, bot.user, bot.service, fresh)]


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


async def test_what_was_said_before_a_session_began_anew_is_answered_once(double: Double, started: Any) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started():
        known = await double.reply_to(await alice.say(alice.dm, "Hello!"), finished, timeout=40)
        before = await ask(double, alice, "Hello!")
        await double.gateway.invalidate()
        asked = [
            await alice.mention_bot(double.general, "One."),
            await bob.say(double.general, "Two.", reply_to=before),
            await alice.say(alice.dm, "Three."),
            await bob.mention_bot(double.thread(double.general, "talk", bob), "Four."),
        ]
        await bob.say(double.general, "Nobody is asked.")
        await double.until(lambda: double.gateway.identified == 2, timeout=40)
        live = await bob.mention_bot(double.general, "Five.")
        replies = [await double.reply_to(each, finished, timeout=40) for each in (*asked, live)]
        assert {m.id for m in double.said()} == {m.id for m in (known, before, *replies)}


async def test_what_was_said_between_two_runs_is_answered_once(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started():
        await double.commands_synced()
        await bob.slash("privacy", double.general, mine="keep nothing")
        private = await double.reply_to(await bob.mention_bot(double.general, "Hello!"), timeout=40)
        before = await ask(double, alice, "Hello!")
    asked = await alice.mention_bot(double.general, "Anybody here?")
    async with started() as bot:
        late = await double.reply_to(asked, finished, timeout=40)
        assert double.said() == [private, before, late]
        monkeypatch.setattr(lately, "AGAIN", (0.0,))
        assert await unheard(bot) == []
        double.gateway.unsent.add("MESSAGE_CREATE")
        asked = await alice.mention_bot(double.general, "And now?")
        bot.get_channel(double.general.id).last_message_id = asked.id  # as a new session would tell
        double.fail("GET", "/messages$", 503)
        assert await unheard(bot) == [asked.id]
        monkeypatch.setattr(missed, "MISSED", timedelta(0))
        assert await unheard(bot) == []


async def test_what_was_logged_before_a_crash_and_not_answered_is_answered(
    double: Double, started: Any, tmp_path: Path
) -> None:
    alice = double.person("alice")
    async with started():
        await ask(double, alice, "Hello!")
    asked = await alice.mention_bot(double.general, "And now?")
    store = await Store.open(tmp_path / "log.db")
    logged = await store.append_message(1, "user", "And now?", person=alice.id, discord_message_id=asked.id)
    await store.close()
    async with started() as bot:
        await double.reply_to(asked, finished, timeout=40)
        assert await bot.service.chat.store.message_of_discord(asked.id) == logged, "it is there once"


async def test_what_was_missed_and_read_as_context_is_answered_and_stays_in_the_conversation(
    double: Double, started: Any
) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started() as bot:
        thread = double.thread(double.general, "talk", alice)
        await double.reply_to(await alice.mention_bot(thread, "One."), finished, timeout=40)
        await asyncio.gather(*bot.service._later)  # it has looked round
        double.gateway.unsent.add("MESSAGE_CREATE")
        missed_one = await alice.mention_bot(thread, "Two.")
        double.gateway.unsent.clear()
        await double.reply_to(await bob.mention_bot(thread, "Three."), finished, timeout=40)
        assert "Two." in [text for _, text in bot.service.chat.heard[-1]]
        bot.dispatch("ready")
        await double.reply_to(missed_one, finished, timeout=40)
        assert [text for _, text in bot.service.chat.heard[-1]][-1] == "Two."
        await double.reply_to(await bob.mention_bot(thread, "Four."), finished, timeout=40)
        said = [text for role, text in bot.service.chat.heard[-1] if role == "user"]
        assert said == ["One.", "Two.", "Three.", "Two.", "Four."]


async def test_what_was_missed_is_read_also_where_permissions_are_not_known(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        await double.commands_synced()
        guild, channel = (bot.get_channel(double.general.id).guild, bot.get_channel(double.general.id))
        thread = double.thread(double.general, "talk", alice)
        await double.until(lambda: guild.get_thread(thread.id) is not None)
        double.gateway.unsent.add("MESSAGE_CREATE")
        asked = [await alice.mention_bot(place, "Hello!") for place in (double.general, thread)]
        guild.get_thread(thread.id).parent_id = 1  # of a channel that the bot was not told of
        channel.last_message_id, guild.get_thread(thread.id).last_message_id = (each.id for each in asked)
        assert await unheard(bot) == [each.id for each in asked]
        guild._members.clear()  # the bot itself is not among those Discord told of
        assert await unheard(bot) == [each.id for each in asked]
