"""While a reply is waited for, the place in the queue stands where it will be; no part of a wait stays."""

import asyncio
from datetime import timedelta
from typing import Any

import discord
import pytest
from discord_double import Channel, Double, Message, Person
from discord_double.world import World
from glasshead.plugin import line, load, presenter, service, talk, unload
from glasshead.plugin.history import History, Logged
from glasshead.plugin.waiting import LEFT, STARTED_AGAIN, in_queue, only_waits
from house import finished, labels
from scripted import Gate

pytestmark = pytest.mark.usefixtures("quick")
SAID = "Well, then."


@pytest.mark.parametrize(
    ("place", "here", "shown"),
    [
        (0, False, "-# Reading …"),
        (1, False, "-# 1st in the queue"),
        (2, True, "-# 2nd in the queue here"),
        (3, False, "-# 3rd in the queue"),
        (11, False, "-# 11th in the queue"),
        (112, False, "-# 112th in the queue"),
        (122, True, "-# 122nd in the queue here"),
    ],
)
def test_a_place_in_words_is_known_again(place: int, here: bool, shown: str) -> None:
    assert in_queue(place, here=here) == shown and only_waits(shown)
    assert not only_waits(shown + "\nand more") and not only_waits(shown.removeprefix("-# "))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in presenter, line:
        monkeypatch.setattr(module, "GRACE", 0.01)
        monkeypatch.setattr(module, "EVERY", 0.01)


def texts(message: Message) -> list[str]:
    """All that it ever read."""
    return list(dict.fromkeys(text for _, text in message.revisions))


async def shows(double: Double, asked: Message, text: str) -> Message:
    return await double.reply_to(asked, lambda m: m.content == text, timeout=40)


async def queued(double: Double, who: Person, text: str) -> tuple[Message, Message]:
    """A question for the bot, and what shows that it is the second in the engine's queue."""
    asked = await who.mention_bot(double.general, text)
    return asked, await shows(double, asked, "-# 2nd in the queue")


async def test_the_place_is_shown_where_the_reply_will_be(double: Double, started: Any) -> None:
    async with started() as bot:
        gate = Gate(bot, [2])
        asked = await double.person("alice").mention_bot(double.general, "Hello!")
        waiting = await shows(double, asked, "-# 2nd in the queue")
        assert labels(waiting) == ["Stop"] and double.typing
        gate.news.put_nowait(1)
        await shows(double, asked, "-# 1st in the queue")
        gate.news.put_nowait(0)
        await shows(double, asked, "-# Reading …")
        gate.open.set()
        reply = await double.reply_to(asked, finished, timeout=40)
        assert double.said() == [reply] == [waiting] and reply.content.startswith(SAID)


async def test_who_does_not_wait_long_is_shown_no_place(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presenter, "GRACE", 60.0)
    async with started() as bot:
        gate = Gate(bot, [2, 1])
        asked = await double.person("alice").mention_bot(double.general, "Hello!")
        await gate.held.wait()
        gate.open.set()
        reply = await double.reply_to(asked, finished, timeout=40)
        assert not any(only_waits(text) for text in texts(reply))


async def test_in_one_conversation_people_wait_for_each_other(double: Double, started: Any) -> None:
    alice, bob, carol = (double.person(name) for name in ("alice", "bob", "carol"))
    async with started() as bot:
        await double.commands_synced()
        thread = double.thread(double.general, "talk", alice)
        gate = Gate(bot)
        asked = [await alice.mention_bot(thread, "One.")]
        await gate.held.wait()
        asked.append(await bob.mention_bot(thread, "Two."))
        second = await shows(double, asked[1], "-# 1st in the queue here")
        asked.append(await carol.mention_bot(thread, "Three."))
        third = await shows(double, asked[2], "-# 2nd in the queue here")
        by_command = await carol.slash("chat", thread, text="Four.")
        fourth = await by_command.shows(lambda m: m.content == "-# 3rd in the queue here", timeout=40)
        await carol.edit(asked[2], f"{double.bot_mention} Drei.")
        await (await alice.press(second, "Stop")).shows(lambda m: "Only the person who asked" in m.text)
        await bob.press(second, "Stop")
        await shows(double, asked[1], "-# Stopped.")
        await shows(double, asked[2], "-# 1st in the queue here")
        gate.open.set()
        replies = [await double.reply_to(each, finished, timeout=40) for each in (asked[0], asked[2])]
        await double.until(lambda: finished(fourth), timeout=40)
        assert replies[1] is third and double.said() == [second, third, fourth, replies[0]]
        said = [text for role, text in bot.service.chat.heard[-1] if role == "user"]
        assert said == ["One.", "Two.", "Drei.", "Four."], "who was stopped has said it all the same"
        assert bot.service.waiting == []


@pytest.mark.parametrize("in_line", [True, False])
async def test_what_is_deleted_while_it_waits_leaves_nothing(double: Double, started: Any, in_line: bool) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started() as bot:
        thread = double.thread(double.general, "talk", alice)
        gate = Gate(bot, [] if in_line else [3])
        asked = await alice.mention_bot(thread, "One.")
        if in_line:
            await gate.held.wait()
            asked = await bob.mention_bot(thread, "Two.")
        waiting = await double.reply_to(asked, lambda m: only_waits(m.content), timeout=40)
        await (bob if in_line else alice).delete(asked)
        await double.until(lambda: waiting.deleted, timeout=40)
        gate.open.set()
        await asyncio.gather(*bot.service.tasks)
        assert waiting.deleted and await bot.service.chat.store.message_of_discord(asked.id) is None
        assert len(double.said()) == (1 if in_line else 0)


@pytest.mark.parametrize("drafts", [[], ["Two", "Two!"]])
async def test_a_question_edited_in_the_queue_is_answered_as_it_reads_now(
    double: Double, started: Any, drafts: list[str]
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        Gate(bot, [2])
        asked, waiting = await queued(double, alice, "One?")
        for text in (*drafts, "Two?"):
            await alice.edit(asked, f"{double.bot_mention} {text}")
        assert await double.reply_to(asked, finished, timeout=40) is waiting
        heard = bot.service.chat.heard
        assert [each[1:] for each in (heard[0], heard[-1])] == [[("user", "One?")], [("user", "Two?")]]
        assert waiting.content.startswith(SAID) and double.said() == [waiting]
        assert labels(waiting) == ["Explain", "Retry", "👍", "👎"], "what was not said is no version"
        assert "First time here" in waiting.content
        await alice.edit(asked, f"{double.bot_mention} Three?")
        await double.reply_to(await alice.say(double.general, "Go on.", reply_to=waiting), finished, timeout=40)
        read = [text for _, text in heard[-1][1:]]
        assert read == ["Three?", SAID, "Go on."], "what was answered is not answered anew"


async def test_of_who_wants_nothing_kept_the_last_edit_is_answered_too(double: Double, started: Any) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started() as bot:
        await double.commands_synced()
        await alice.slash("privacy", double.general, mine="keep nothing")
        gate, heard = Gate(bot, [2]), bot.service.chat.heard
        asked, waiting = await queued(double, alice, "One?")
        await alice.edit(asked, f"{double.bot_mention} Two?")
        reply = await double.reply_to(asked, lambda m: m.content == SAID, timeout=40)
        assert reply is waiting and [each[1:] for each in heard] == [[("user", "One?")], [("user", "Two?")]]

        thread = double.thread(double.general, "talk", bob)
        gate.open.clear()
        gate.held.clear()
        first = await bob.mention_bot(thread, "Before.")
        await gate.held.wait()
        asked = await alice.mention_bot(thread, "Three?")
        await shows(double, asked, "-# 1st in the queue here")
        bot._connection._messages.clear()  # nothing brings the first wording up to date
        await asyncio.gather(bot.wait_for("raw_message_edit"), alice.edit(asked, f"{double.bot_mention} Four?"))
        gate.open.set()
        await double.reply_to(first, finished, timeout=40)
        await double.reply_to(asked, lambda m: m.content == SAID, timeout=40)
        assert heard[-1][1:] == [("user", "Four?")]
        assert await bot.service.chat.store.message_of_discord(asked.id) is None


async def test_an_edit_that_comes_while_a_question_is_asked_anew_is_the_last_word(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LONGEST_CHANGE", 0.2)
    alice, add = double.person("alice"), History.add
    async with started() as bot:
        gate, heard = Gate(bot, [2]), bot.service.chat.heard
        asked, waiting = await queued(double, alice, "One?")

        async def edited_meanwhile(self: History, message: discord.Message, text: str) -> Logged:
            if text == "Two?":
                gate.open.clear()
                told = bot.wait_for("raw_message_edit")
                await asyncio.gather(told, alice.edit(asked, f"{double.bot_mention} Three?"))
                await bot.service.changed()  # as far as the edit comes
            return await add(self, message, text)

        monkeypatch.setattr(History, "add", edited_meanwhile)
        await alice.edit(asked, f"{double.bot_mention} Two?")
        assert await double.reply_to(asked, finished, timeout=40) is waiting
        await asyncio.gather(*bot.service.tasks)
        read = [text for each in heard for role, text in each if role == "user"]
        assert read == ["One?", "Two?", "Three?"] and double.said() == [waiting]
        store = bot.service.chat.store
        every = await store.messages(1)
        assert [m.text for m in every if m.discord_message_id == asked.id] == ["One?", "Two?", "Three?"]
        assert len({m.parent for m in every if m.discord_message_id == asked.id}) == 1, "versions of one message"


async def test_who_waits_when_the_bot_ends_is_answered_when_it_is_back(double: Double, started: Any) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started() as bot:
        thread = double.thread(double.general, "talk", alice)
        gate = Gate(bot)
        await alice.mention_bot(thread, "One.")
        await gate.held.wait()
        asked = await bob.mention_bot(thread, "Two.")
        waiting = await double.reply_to(asked, timeout=40)
    assert waiting.content == f"-# {LEFT}" and not labels(waiting)
    async with started():
        await double.reply_to(asked, finished, timeout=40)
        await double.until(lambda: waiting.deleted, timeout=40)


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("kept", [True, False])
async def test_who_is_in_the_queue_when_the_bot_ends_is_answered_once_when_it_is_back(
    double: Double, started: Any, *, edited: bool, kept: bool
) -> None:
    alice, said = double.person("alice"), "One?"
    async with started() as bot:
        await double.commands_synced()
        before = await double.reply_to(await alice.mention_bot(double.general, "Hello!"), finished, timeout=40)
        if not kept:
            await alice.slash("privacy", double.general, mine="keep nothing")
        Gate(bot, [2])
        asked = await alice.say(double.general, said, reply_to=before)
        waiting = await shows(double, asked, "-# 2nd in the queue")
        if edited:
            said = "Two?"
            await asyncio.gather(bot.wait_for("raw_message_edit"), alice.edit(asked, said))
    assert waiting.content == f"-# {LEFT}" and not labels(waiting)
    async with started() as bot:
        ended = finished if kept else lambda m: m.content == SAID
        reply = await double.reply_to(asked, lambda m: m is not waiting and ended(m), timeout=40)
        await double.until(lambda: waiting.deleted, timeout=40)
        await asyncio.gather(*bot.service._later)
        await asyncio.gather(*bot.service.tasks)
        assert double.said() == [before, reply] and "2/2" not in labels(reply)
        assert [text for _, text in bot.service.chat.heard[-1][1:]] == (["Hello!", SAID] if kept else []) + [said]
        assert len(bot.service.chat.heard) == 1
        if kept:
            again = await double.reply_to(
                await alice.say(double.general, "Go on.", reply_to=reply), finished, timeout=40
            )
            assert again.content == SAID
            read = [text for _, text in bot.service.chat.heard[-1][1:]]
            assert read == ["Hello!", SAID, said, SAID, "Go on."]


async def test_who_is_being_read_when_the_bot_ends_is_told_and_answered_when_it_is_back(
    double: Double, started: Any
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        gate = Gate(bot)
        asked = await alice.mention_bot(double.general, "One?")
        await gate.held.wait()
    (told,) = double.said()
    assert told.reference is asked and told.content == f"-# {LEFT}"
    async with started() as bot:
        reply = await double.reply_to(asked, finished, timeout=40)
        await double.until(lambda: told.deleted, timeout=40)
        assert double.said() == [reply]


async def test_what_somebody_stopped_in_the_queue_is_not_answered_when_the_bot_is_back(
    double: Double, started: Any
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        Gate(bot, [2])
        asked, waiting = await queued(double, alice, "One?")
        await alice.press(waiting, "Stop")
        await double.reply_to(asked, lambda m: finished(m) and m.content.endswith("-# Stopped."), timeout=40)
    async with started() as bot:
        await double.until(lambda: [r for r in double.requests if r.method == "GET" and "/messages" in r.path])
        await asyncio.gather(*bot.service._later)
        await asyncio.gather(*bot.service.tasks)
        assert not bot.service.chat.heard and double.said() == [waiting]


async def test_who_asked_too_long_ago_is_told_when_the_bot_is_back(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        Gate(bot, [2])
        _, waiting = await queued(double, alice, "One?")
    monkeypatch.setattr(talk, "MISSED", timedelta(0))
    async with started() as bot:
        await double.until(lambda: waiting.content == f"-# {STARTED_AGAIN}", timeout=40)
        assert not bot.service.preferences.guild(double.guild.id).welcomed, "nobody has read the notice"
        await asyncio.gather(*bot.service._later)
        assert not bot.service.chat.heard and double.said() == [waiting]


async def test_after_a_crash_a_place_in_the_queue_is_no_answer(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started():
        known = await double.reply_to(await alice.mention_bot(double.general, "Hello!"), finished, timeout=40)
    asked = await alice.mention_bot(double.general, "And now?")
    left = left_by_a_crash(double, double.general, asked, "-# 2nd in the queue here")
    command = left_by_a_crash(double, double.general, None, "-# 3rd in the queue")
    async with started() as bot:
        late = await double.reply_to(asked, lambda m: m.content == SAID and finished(m), timeout=40)
        await double.until(lambda: left.deleted and "ask once more" in command.content, timeout=40)
        await asyncio.gather(*bot.service._later)
        assert double.said() == [known, command, late]
        gate = Gate(bot, [2])
        asked, waiting = await queued(double, alice, "Still there?")
        bot.dispatch("ready")  # the gateway's session begins anew: this one is waited for
        await asyncio.gather(*bot.service._later)
        await asyncio.gather(*bot.service._changes)
        gate.open.set()
        assert await double.reply_to(asked, finished, timeout=40) is waiting


def left_by_a_crash(double: Double, channel: Channel, asked: Message | None, text: str) -> Message:
    world: World = double.world
    interaction = None if asked else {"id": "1", "type": 2, "user": double.person("alice").user.json()}
    now = double.clock.now()
    message = Message(double.clock.snowflake(), channel, world.bot, text, created_at=now, interaction=interaction)
    message.reference, message.reference_id = asked, asked.id if asked else None
    channel.messages[message.id] = message
    return message


async def test_a_command_that_is_just_being_read_when_the_bot_ends_ends_cleanly(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alice, add = double.person("alice"), History.add_text
    logging, go_on = asyncio.Event(), asyncio.Event()

    async def slow(self: History, *given: Any) -> Logged:
        logging.set()
        await go_on.wait()
        return await add(self, *given)

    monkeypatch.setattr(History, "add_text", slow)
    async with started() as bot:
        await double.commands_synced()
        asked = await alice.slash("chat", double.general, text="One?")
        await logging.wait()
        ending = asyncio.create_task(unload(bot))
        while not bot.service.closing:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # it stops what runs
        go_on.set()
        await ending
        assert (await asked.answer()).content == f"-# {STARTED_AGAIN}"
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("edited", [False, True])
async def test_stop_where_the_place_still_stands_stops_what_has_begun(
    double: Double, started: Any, *, edited: bool
) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started() as bot:
        thread = double.thread(double.general, "talk", alice)
        gate = Gate(bot, [2] if edited else [])
        gate.shuts = True
        asked = await alice.mention_bot(thread, "One?")
        await gate.held.wait()
        if not edited:
            asked = await bob.mention_bot(thread, "Two?")
        waiting = await double.reply_to(asked, lambda m: only_waits(m.content), timeout=40)
        gate.held.clear()
        if edited:
            await alice.edit(asked, f"{double.bot_mention} Two?")
        else:
            await gate.aclose()
        await gate.held.wait()
        await (alice if edited else bob).press(waiting, "Stop")
        await double.until(lambda: waiting.content.endswith("-# Stopped."), timeout=40)
        assert bot.service.chat.heard[-1][-1] == ("user", "Two?")


async def test_what_no_further_message_may_take_is_cut_and_said(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        gate = Gate(bot, [2])
        bot.service.chat.says = "One two three. " * 200
        asked, reply = await queued(double, alice, "One?")
        double.fail("POST", f"/{double.general.id}/messages$", 403, times=100, code=50013)
        gate.open.set()
        await double.reply_to(asked, finished, timeout=40)
        assert reply.content.startswith("One two three.") and len(reply.content) <= 2000
        assert reply.content.endswith(
            "\n-# Cut here, the rest is in my log: I may send no further message (fault)."
        )
        await asyncio.gather(*bot.service.tasks)
        assert double.said() == [reply]


async def test_who_is_in_the_queue_when_the_plugin_is_loaded_anew_is_answered_once(
    double: Double, started: Any
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        Gate(bot, [2])
        asked, waiting = await queued(double, alice, "One?")
        await unload(bot)
        assert waiting.content == f"-# {LEFT}"
        bot.service = await load(bot, bot._settings)
        reply = await double.reply_to(asked, finished, timeout=40)
        await asyncio.gather(*bot.service._later)
        await asyncio.gather(*bot.service.tasks)
        assert double.said() == [reply] and "First time here" in reply.content


async def test_what_is_said_before_forget_is_erased_also_while_it_is_being_logged(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, add = double.person("alice"), History.add
    logging, go_on = asyncio.Event(), asyncio.Event()

    async def slow(self: History, message: discord.Message, text: str) -> Logged:
        logging.set()
        await go_on.wait()
        return await add(self, message, text)

    monkeypatch.setattr(History, "add", slow)
    async with started() as bot:
        await double.commands_synced()
        Gate(bot)
        await alice.mention_bot(double.general, "My secret is a red balloon.")
        await logging.wait()
        sure = await (await alice.slash("forget", double.general)).answer()
        await alice.press(sure, "Erase everything of mine")
        await double.until(lambda: sure.content == "Erasing …", timeout=40)
        go_on.set()
        await double.until(lambda: "1 message of yours" in sure.content, timeout=40)
        await asyncio.gather(*bot.service.tasks)
        assert all("balloon" not in m.text for m in await bot.service.chat.store.messages(1))


async def test_stop_ends_also_what_is_just_being_read(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, text_of = double.person("alice"), History.text
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slow(self: History, message: discord.Message) -> tuple[str, tuple[str, ...]]:
        reading.set()
        await go_on.wait()
        return await text_of(self, message)

    monkeypatch.setattr(History, "text", slow)
    async with started() as bot:
        await double.commands_synced()
        Gate(bot)
        asked = await alice.mention_bot(double.general, "One?")
        await reading.wait()
        assert (await (await alice.slash("stop", double.general)).answer()).text == "Stopped."
        go_on.set()
        reply = await double.reply_to(asked, finished, timeout=40)
        assert reply.content.endswith("-# Stopped.") and not bot.service.unfinished


async def test_where_another_reply_is_written_no_version_is_put(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        reply = await double.reply_to(await alice.mention_bot(double.general, "One?"), finished, timeout=40)
        await alice.press(reply, "Retry")
        await double.until(lambda: "2/2" in labels(reply), timeout=40)
        gate = Gate(bot)
        await alice.press(reply, "Retry")
        await gate.held.wait()
        for button in "◀", "Retry":
            told = await (await alice.press(reply, button)).shows(lambda m: "just being written" in m.text)
            assert told.ephemeral
        gate.open.set()
        await double.until(lambda: "3/3" in labels(reply), timeout=40)


@pytest.mark.parametrize("ends", ["closing", "stopped", "failed"])
async def test_a_retry_that_never_begins_leaves_the_reply_as_it_was(
    double: Double, started: Any, *, ends: str
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        asked = await alice.mention_bot(double.general, "One?")
        reply = await double.reply_to(asked, finished, timeout=40)
        was = SAID, labels(reply)
        gate = Gate(bot, [2])
        pressed = await alice.press(reply, "Retry")
        await double.until(lambda: reply.content == "-# 2nd in the queue", timeout=40)
        if ends == "failed":
            bot.service.chat.fails = "the queue is full"
            await gate.aclose()
        elif ends == "stopped":
            await alice.press(reply, "Stop")
        else:
            await unload(bot)
        await double.until(lambda: (reply.content, labels(reply)) == was, timeout=40)
        if ends != "stopped":
            why = STARTED_AGAIN if ends == "closing" else "The queue is full."
            assert (await pressed.shows(lambda m: m.content == why, timeout=40)).ephemeral
        if ends != "closing":
            await asyncio.gather(*bot.service.tasks)
            gate.open.set()
            bot.service.chat.fails = ""
            again = await double.reply_to(
                await alice.say(double.general, "Go on.", reply_to=reply), finished, timeout=40
            )
            assert again.content == SAID
            read = [text for _, text in bot.service.chat.heard[-1][1:]]
            assert read == ["One?", SAID, "Go on."]


async def test_a_command_in_the_queue_when_the_bot_ends_says_so(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        await double.commands_synced()
        Gate(bot, [2])
        asked = await alice.slash("chat", double.general, text="One?")
        reply = await asked.shows(lambda m: m.content == "-# 2nd in the queue", timeout=40)
    assert reply.content == f"-# {STARTED_AGAIN}" and not labels(reply)


async def test_a_retry_in_a_thread_that_is_locked_is_told(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        thread = double.thread(double.general, "talk", alice)
        reply = await double.reply_to(await alice.mention_bot(thread, "One?"), finished, timeout=40)
        thread.archived = thread.locked = True
        pressed = await alice.press(reply, "Retry")
        why = "I may not change that reply any more: "
        assert (await pressed.shows(lambda m: m.content.startswith(why), timeout=40)).ephemeral
        await asyncio.gather(*bot.service.tasks)
        assert reply.content.startswith(SAID)
        assert await bot.service.chat.store.turn_of_discord_message(reply.id) == 1, "what it shows"


async def test_who_waits_in_a_thread_that_is_locked_meanwhile_is_told(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started() as bot:
        thread = double.thread(double.general, "talk", alice)
        gate = Gate(bot)
        await alice.mention_bot(thread, "One.")
        await gate.held.wait()
        thread.archived = thread.locked = True
        gate.open.set()
        told = await double.wait_for(lambda m: m.channel is alice.dm, timeout=40)
        assert told.content == "-# I cannot answer in #talk: Thread is archived"
