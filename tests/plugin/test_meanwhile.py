"""Edits and deletions that no event told of: what is noticed, and what is left as it is because it is not sure."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import discord
import pytest
from discord_double import Channel, Double, Message, Permission, messages
from discord_double.things import EPHEMERAL
from glasshead.plugin import deleting, lately
from glasshead.plugin.client import Client
from glasshead.plugin.gone import gone
from glasshead.store import Store, StoreError
from house import finished

pytestmark = pytest.mark.usefixtures("quick")

SAID = "Well, then."


async def versions(store: Store, message: Message) -> list[str]:
    """What the log has of a message, oldest first."""
    found = await store.message_of_discord(message.id)
    if found is None:
        return []
    every = await store.messages((await store.message(found)).session)
    return [each.text for each in every if each.discord_message_id == message.id]


async def answer(store: Store, reply: Message) -> str:
    """What the log has of the reply that a message shows."""
    turn = await store.turn_of_discord_message(reply.id)
    assert turn is not None
    return (await store.turn(turn)).reply


async def done(bot: Client) -> None:
    """Until everything is in the log that the bot is just looking at."""
    assert bot.service is not None
    await asyncio.gather(*bot.service.tasks)
    await asyncio.gather(*bot.service._later)
    await asyncio.gather(*bot.service.tasks)


async def looked_round(double: Double, bot: Client, places: Sequence[Channel]) -> None:
    paths = {f"/channels/{place.id}/messages" for place in places}
    await double.until(lambda: paths <= {r.path for r in double.requests if r.method == "GET"}, timeout=40)
    await done(bot)


async def look_again(double: Double, bot: Client, place: Channel) -> None:
    double.requests.clear()
    bot.dispatch("ready")
    await looked_round(double, bot, [place])


async def deleted(bot: Client) -> list[int]:
    assert bot.service is not None
    return [id async for seen in lately.lately(bot, bot.service, discord.utils.utcnow()) async for id in gone(seen)]


@pytest.mark.parametrize("runs", [1, 2])
async def test_what_was_edited_or_deleted_meanwhile_is_noticed(double: Double, started: Any, runs: int) -> None:
    alice, bob, here = double.person("alice"), double.person("bob"), double.general
    async with contextlib.AsyncExitStack() as stack:
        bot = await stack.enter_async_context(started(discord={"at_once": 20}))
        await double.commands_synced()
        thread = double.thread(here, "talk", alice)
        asked = [await alice.mention_bot(here, f"Number {n}.") for n in range(4)]
        asked += [await alice.say(alice.dm, "Alone."), await bob.mention_bot(thread, "Below.")]
        asked += [await bob.mention_bot(here, f"I am {what}.") for what in ("old", "gone")]
        replies = [await double.reply_to(each, finished, timeout=40) for each in asked]
        to_command = await (await alice.slash("chat", here, text="Hello!")).shows(finished)
        await bob.slash("privacy", here, mine="keep nothing")
        await asyncio.gather(*bot.service.tasks)
        if runs == 1:
            await double.gateway.invalidate()
        else:
            await stack.aclose()
        double.requests.clear()
        await alice.edit(asked[0], f"{double.bot_mention} Number 0, I mean 7.")
        await bob.edit(asked[6], f"{double.bot_mention} I am secret.")
        for who, each in (alice, asked[1]), (alice, asked[4]), (bob, asked[7]):
            await who.delete(each)
        messages.delete(double, replies[2])
        to_command.flags |= EPHEMERAL  # as Discord shows it where people may not bring apps along
        if runs == 2:
            bot = await stack.enter_async_context(started())
        await looked_round(double, bot, [here, alice.dm, thread])

        store = bot.service.chat.store
        assert await versions(store, asked[0]) == ["Number 0.", "Number 0, I mean 7."]
        assert [await versions(store, asked[n]) for n in (1, 4, 7)] == [[], [], []]
        kept = ["Number 2."], ["Number 3."], ["Below."], ["I am old."]
        assert tuple([await versions(store, asked[n]) for n in (2, 3, 5, 6)]) == kept
        assert [await answer(store, each) for each in replies] == [SAID, "", "", SAID, "", SAID, SAID, ""]
        assert await answer(store, to_command) == SAID
        still = {m.id for m in (*replies, to_command)} - {replies[2].id, to_command.id}
        assert {m.id for m in double.said()} == still, "nothing is answered again"
        assert await deleted(bot) == [], "nothing is erased again"


async def test_an_edit_is_noticed_once_whoever_tells_of_it(double: Double, started: Any) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started() as bot:
        store, talk = bot.service.chat.store, bot.get_cog("Glasshead")
        asked = [await alice.mention_bot(double.general, text) for text in ("One.", "Two.")]
        for each in asked:
            await double.reply_to(each, finished, timeout=40)
        await done(bot)
        double.gateway.unsent.add("MESSAGE_UPDATE")
        await alice.edit(asked[0], f"Uno, {bob.mention}.")
        await alice.edit(asked[1], "Due.")
        found = await bot.get_channel(double.general.id).fetch_message(asked[1].id)
        await asyncio.gather(*(talk.history.edited(found, told=told) for told in (True, False)))
        await look_again(double, bot, double.general)
        bob.user.display = "Robert"  # it reads differently, but nobody edited it
        await look_again(double, bot, double.general)
        assert await versions(store, asked[0]) == ["One.", "Uno, @Bob."]
        assert await versions(store, asked[1]) == ["Two.", "Due."]
        await store.erase_person(alice.id)
        await alice.edit(asked[0], "One again.")
        await look_again(double, bot, double.general)
        assert [m.text for m in await store.messages(1)][1:] == ["", "", ""], "forgotten is forgotten"


async def test_what_is_deleted_while_the_log_takes_nothing_goes_later(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        store = bot.service.chat.store
        asked = await alice.mention_bot(double.general, "One.")
        await double.reply_to(asked, finished, timeout=40)
        erase, refusals = store.erase_message, iter(range(2))

        async def refused(message: int) -> object:
            if next(refusals, None) is not None:
                raise StoreError("full", "the disk is full")
            return await erase(message)

        monkeypatch.setattr(store, "erase_message", refused)
        monkeypatch.setattr(deleting, "LATER", (0.01,))
        told = bot.wait_for("raw_message_delete", timeout=10)
        await asyncio.gather(told, alice.delete(asked))
        await done(bot)
        await done(bot)
        assert await versions(store, asked) == []


async def test_only_what_is_surely_deleted_goes(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, here = double.person("alice"), double.general
    async with started() as bot:
        thread = double.thread(here, "talk", alice)
        asked = [await alice.mention_bot(here, text) for text in ("One.", "Two.")]
        asked.append(await alice.mention_bot(thread, "Three."))
        for each in asked:
            await double.reply_to(each, finished, timeout=40)
        await done(bot)
        channel = bot.get_channel(here.id)
        double.gateway.unsent.add("MESSAGE_DELETE")
        messages.delete(double, asked[0])
        assert await deleted(bot) == [asked[0].id]

        for path in r"/messages$", r"/messages/\d+$":
            for status in 403, 404:  # the place cannot be read, or is no longer there
                double.fail("GET", path, status)
                assert await deleted(bot) == []
        unlisted = lately.Seen(channel, here.id, (), since=0, logged={asked[1].id})
        assert [id async for id in gone(unlisted)] == [], "it is there, whatever the list says"
        with monkeypatch.context() as patch:
            patch.setattr(lately, "MOST_MESSAGES", 3)
            double.requests.clear()
            assert await deleted(bot) == [], "what is older than the hundredth message is not looked for"
            assert not [r for r in double.requests if r.path.endswith(f"/{asked[0].id}")]

        me = channel.guild.me
        channel.guild._members.clear()
        assert await deleted(bot) == [], "nothing is known of permissions"
        channel.guild._members[me.id] = me
        here.denied[double.world.bot.id] = Permission.READ_MESSAGE_HISTORY
        assert await deleted(bot) == [], "the bot was not told yet"
        double.update_channel(here)
        await double.until(lambda: not channel.permissions_for(me).read_message_history)
        assert await deleted(bot) == []


async def test_what_is_said_in_a_thread_is_of_it_also_after_a_reply_of_its_channel(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, ask, linked = double.person("alice"), "What do you say after this reply?", asyncio.Event()
    async with started() as bot:
        await double.commands_synced()
        store = bot.service.chat.store
        link = store.link_discord

        async def late(turn: int, ids: Sequence[int]) -> None:
            if finished(double.said()[-1]):
                await linked.wait()
            await link(turn, ids)

        monkeypatch.setattr(store, "link_discord", late)
        first = await double.reply_to(await alice.mention_bot(double.general, "Hello!"), finished, timeout=40)
        thread = double.thread(double.general, "talk", alice)
        above = replace(first, channel=thread)  # a thread shows on top what it was opened on
        pressed = bot.wait_for("interaction", timeout=10)
        asking = asyncio.create_task(alice.menu("Continue from here", above))
        await pressed
        linked.set()  # only now the log knows of the reply that is there already
        modal = await asking
        shown = await (await alice.submit(modal, **{ask: "Go on."})).shows(finished)
        asked = await alice.say(thread, "And then?", reply_to=shown)
        await double.reply_to(asked, finished, timeout=40)
        await done(bot)
        row = await store.message(await store.message_of_discord(asked.id))
        assert (await store.session(row.session)).channel_id == thread.id
        assert [m.text for m in await store.conversation(row.id)][1:] == [
            "Hello!",
            SAID,
            "Go on.",
            SAID,
            "And then?",
        ]
        assert await deleted(bot) == []
