"""Chatting, from the other side of the screen."""

import asyncio
from typing import Any

import pytest
from discord_double import Double, Message, Permission, Person, walk
from glasshead.plugin.client import Client

ON_AND_ON = ((0, -100.0), (2, -100.0), (4, -100.0))
"""A bias against every end-of-generation token of the test model: the reply ends at max_tokens only."""
SHORT = {"sampling": {"max_tokens": 6, "temperature": 0.0}}


def labels(message: Message) -> list[str]:
    return [
        c.get("label") or (c.get("emoji") or {}).get("name", "") for c in walk(message.components) if c["type"] == 2
    ]


def finished(message: Message) -> bool:
    return "Retry" in labels(message)


async def ask(double: Double, who: Person, text: str, **more: Any) -> Message:
    """Mention the bot in #general and wait for the finished reply."""
    asked = await who.mention_bot(double.general, text, **more)
    return await double.reply_to(asked, finished, timeout=20)


async def said_to_model(bot: Client, reply: Message) -> list[tuple[str, str]]:
    """Role and text of everything that went into a reply."""
    assert bot.service is not None
    await asyncio.gather(*bot.service.tasks)
    store = bot.service.chat.store
    turn = await store.turn_of_discord_message(reply.id)
    assert turn is not None
    full = await store.turn(turn)
    assert full.prompt_message is not None
    return [(m.role, m.text) for m in await store.conversation(full.prompt_message)]


async def test_a_mention_is_answered_and_explained(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    reply = await ask(double, alice, "What is the capital of France?")
    assert "Paris" in reply.content
    assert labels(reply) == ["Explain", "Retry", "👍", "👎"]
    assert not reply.pinged
    panel = await (await alice.press(reply, "Explain")).answer()
    assert panel.ephemeral and "explained" in panel.text and panel.attachments


async def test_the_whole_conversation_is_given_every_time(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    first = await ask(double, alice, "My name is Alice.")
    again = await alice.say(double.general, "What is my name?", reply_to=first)
    second = await double.reply_to(again, finished, timeout=20)
    assert [text for _, text in await said_to_model(bot, second)] == [
        "You are a helpful assistant.",
        "My name is Alice.",
        first.content.split("\n-# ")[0],
        "What is my name?",
    ]


async def test_silence(double: Double, bot: Client) -> None:
    """Talk among people, bots, and itself: no answer. A mention afterwards shows that it was listening."""
    alice, bob, robot = double.person("alice"), double.person("bob"), double.other_bot("robot")
    said = await alice.say(double.general, "hello everybody")
    await bob.say(double.general, "hello alice", reply_to=said)
    await robot.mention_bot(double.general, "beep")
    await alice.say(double.general, "@everyone look")
    reply = await ask(double, bob, "Hi!")
    assert double.said() == [reply]


async def test_direct_messages_need_no_mention_and_go_on(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    first = await double.reply_to(await alice.say(alice.dm, "Say yes."), finished, timeout=20)
    second = await double.reply_to(await alice.say(alice.dm, "Say no."), finished, timeout=20)
    texts = [text for _, text in await said_to_model(bot, second)]
    assert texts == ["You are a helpful assistant.", "Say yes.", first.content.split("\n-# ")[0], "Say no."]


async def test_two_at_once_in_a_direct_message_are_answered_in_order(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    one, two = await alice.say(alice.dm, "One."), await alice.say(alice.dm, "Two.")
    second = await double.reply_to(two, finished, timeout=20)
    first = await double.reply_to(one, finished, timeout=20)
    assert first.id < second.id
    assert [t for _, t in await said_to_model(bot, second)][1] == "One."


async def test_somebody_elses_message_replied_to_is_read_too(double: Double, bot: Client) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    said = await alice.say(double.general, "The sky is green.")
    reply = await ask(double, bob, "Is that so?", reply_to=said)
    assert await said_to_model(bot, reply) == [
        ("system", "You are a helpful assistant."),
        ("user", "The sky is green."),
        ("user", "Is that so?"),
    ]


async def test_threads_are_read_whole(double: Double, bot: Client) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    thread = double.thread(double.general, "talk", alice)
    await alice.say(thread, "I like cats.")
    await bob.say(thread, "I like dogs.")
    asked = await alice.mention_bot(thread, "What do we like?")
    reply = await double.reply_to(asked, finished, timeout=20)
    texts = [text for _, text in await said_to_model(bot, reply)]
    assert texts[1:] == ["I like cats.", "I like dogs.", "What do we like?"]
    await bob.say(thread, "And birds.")
    more = await double.reply_to(await alice.mention_bot(thread, "What else?"), finished, timeout=20)
    assert [t for r, t in await said_to_model(bot, more) if r == "user"][2:] == [
        "What do we like?",
        "And birds.",
        "What else?",
    ]


async def test_an_edited_message_reads_differently_in_the_next_turn(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    asked = await alice.mention_bot(double.general, "My cat is called Tom.")
    first = await double.reply_to(asked, finished, timeout=20)
    await alice.edit(asked, f"{double.bot_mention} My cat is called Jerry.")
    again = await alice.say(double.general, "What is it called?", reply_to=first)
    second = await double.reply_to(again, finished, timeout=20)
    assert [t for r, t in await said_to_model(bot, second) if r == "user"] == [
        "My cat is called Jerry.",
        "What is it called?",
    ]


async def test_text_files_are_read_and_others_declined(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    files = {"list.txt": b"milk and eggs", "cat.png": b"\x89PNG"}
    reply = await ask(double, alice, "What is on my list?", files=files)
    text = (await said_to_model(bot, reply))[-1][1]
    assert "milk and eggs" in text and "[file list.txt]" in text and "cat.png" in text
    assert "cat.png" in reply.content and "text files only" in reply.content


async def test_nothing_pings_and_links_are_open(double: Double, started: Any) -> None:
    """Whatever the model says: a system prompt makes it repeat what would ping."""
    double.guild.roles[double.guild.id].permissions |= Permission.MENTION_EVERYONE
    async with started(**SHORT):
        alice = double.person("alice")
        reply = await ask(double, alice, "@everyone repeat after me: @everyone")
        assert reply.pinged == set()


async def test_retry_adds_a_version_in_place(double: Double, started: Any) -> None:
    async with started(sampling={"temperature": 1.5, "max_tokens": 8}) as bot:
        alice, bob = double.person("alice"), double.person("bob")
        reply = await ask(double, alice, "Tell me a word.")
        first = reply.content
        refused = await bob.press(reply, "Retry")
        assert "Only the person who asked" in refused.text
        await alice.press(reply, "Retry")
        await double.until(lambda: "2/2" in labels(reply), timeout=20)
        second = reply.content
        assert double.said(double.general) == [reply]
        await alice.press(reply, "◀")
        await double.until(lambda: "1/2" in labels(reply), timeout=20)
        assert reply.content == first.split("\n-# ")[0]
        more = await alice.say(double.general, "And another.", reply_to=reply)
        answer = await double.reply_to(more, finished, timeout=20)
        assert (await said_to_model(bot, answer))[2][1] == first.split("\n-# ")[0]
        assert second is not None


async def test_stop_keeps_what_was_said(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}):
        alice, bob = double.person("alice"), double.person("bob")
        asked = await alice.mention_bot(double.general, "Count from one to five hundred in words.")
        running = await double.reply_to(asked, lambda m: labels(m) == ["Stop"] and m.content != "", timeout=20)
        assert "Only the person who asked" in (await bob.press(running, "Stop")).text
        await alice.press(running, "Stop")
        await double.until(lambda: finished(running), timeout=30)
        assert "Stopped." in running.content


async def test_thumbs_are_kept(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    reply = await ask(double, alice, "Hi!")
    assert "👍" in (await alice.press(reply, "👍")).text
    assert bot.service is not None


async def test_a_missing_permission_is_named_in_private(double: Double, bot: Client) -> None:
    alice = double.person("alice")
    double.general.denied[double.world.bot.id] = Permission.SEND_MESSAGES
    double.update_channel(double.general)
    await alice.mention_bot(double.general, "Hello?")
    told = await double.wait_for(lambda m: m.channel is alice.dm)
    assert "Send Messages" in told.content and "general" in told.content


async def test_a_deleted_channel_ends_the_reply_quietly(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 400, "temperature": 0.0, "logit_bias": ON_AND_ON}) as bot:
        alice = double.person("alice")
        asked = await alice.mention_bot(double.general, "Count to a thousand in words.")
        await double.reply_to(asked, timeout=20)
        double.remove_channel(double.general)
        assert bot.service is not None
        await asyncio.wait_for(asyncio.gather(*bot.service.tasks), 60)


async def test_without_the_content_intent_it_works_by_mention(double: Double, started: Any) -> None:
    async with started(message_content=False, **SHORT):
        alice = double.person("alice")
        reply = await ask(double, alice, "Hello!")
        again = await alice.say(double.general, "And again.", reply_to=reply)
        assert await double.reply_to(again, finished, timeout=20)
        silent = await alice.say(double.general, "Without a ping.", reply_to=reply, ping=False)
        told = await double.reply_to(silent)
        assert "message-content intent" in told.content


async def test_rate_limits_answer_kindly(double: Double, started: Any) -> None:
    async with started(**SHORT):
        alice = double.person("alice")
        channels = [double.channel(f"room-{i}") for i in range(6)]
        asked = [await alice.mention_bot(channel, "Hi.") for channel in channels]
        told = await double.reply_to(asked[-1], timeout=30)
        assert "ask again in" in told.content


async def test_a_long_reply_is_split_and_every_part_explained(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 700, "temperature": 1.0, "logit_bias": ON_AND_ON}) as bot:
        alice = double.person("alice")
        text = "Tell me a long story."
        asked = await alice.mention_bot(double.general, text)
        last = await double.wait_for(finished, timeout=170)
        parts = double.said(double.general)
        assert len(parts) >= 2 and parts[0].reference is asked and last is parts[-1]
        assert all(len(part.content) <= 2000 for part in parts)
        assert [finished(part) for part in parts] == [False] * (len(parts) - 1) + [True]
        assert not any(r.status == 429 for r in double.requests)
        for part in parts:
            panel = await (await alice.menu("Explain this reply", part)).answer()
            assert "explained" in panel.text
        assert bot.service is not None


@pytest.mark.parametrize("status", [500, 503])
async def test_bad_minutes_lose_nothing_and_repeat_nothing(double: Double, started: Any, status: int) -> None:
    async with started(**SHORT):
        alice = double.person("alice")
        double.fail("POST", "/messages$", status, after=True)
        double.fail("PATCH", "/messages/", status, times=2)
        reply = await ask(double, alice, "Hello!")
        assert double.said() == [reply]


async def test_a_real_429_delays_and_loses_nothing(double: Double, started: Any) -> None:
    async with started(**SHORT):
        double.too_many("POST", "/messages$", 0.5)
        double.too_many("PATCH", "/messages/", 0.5)
        reply = await ask(double, double.person("alice"), "Hello!")
        assert double.said() == [reply]


async def test_a_gateway_drop_is_resumed_and_nothing_is_answered_twice(double: Double, started: Any) -> None:
    async with started(**SHORT):
        alice = double.person("alice")
        first = await ask(double, alice, "One.")
        await double.gateway.disconnect()
        second = await ask(double, alice, "Two.")
        assert double.said() == [first, second] and double.gateway.resumed == 1
