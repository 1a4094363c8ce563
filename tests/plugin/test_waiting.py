"""While a reply is waited for, the place in the queue stands where it will be; no part of a wait stays."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from discord_double import Channel, Double, Message
from discord_double.world import World
from glasshead.chat import Queued
from glasshead.chat.reply import Reply
from glasshead.plugin import line, presenter
from glasshead.plugin.client import Client
from glasshead.plugin.waiting import in_queue, only_waits
from house import finished, labels

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


class Gate:
    """Holds replies before their first word, until they are let go or stopped."""

    def __init__(self, bot: Client, places: Sequence[int] = ()) -> None:
        assert bot.service is not None
        self.open = asyncio.Event()
        self.held = asyncio.Event()
        self.news: asyncio.Queue[int] = asyncio.Queue()
        for place in places:
            self.news.put_nowait(place)
        bot.service.chat.before = self.wait  # type: ignore[attr-defined]

    async def wait(self, reply: Reply) -> None:
        await reply.attach(self)  # type: ignore[arg-type]
        telling = asyncio.create_task(self._tell(reply))
        self.held.set()
        await self.open.wait()
        telling.cancel()

    async def _tell(self, reply: Reply) -> None:
        while True:
            reply.emit(Queued(await self.news.get()))

    async def aclose(self) -> None:
        """As a generation is ended."""
        self.open.set()


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
        asked = await alice.mention_bot(double.general, "One?")
        waiting = await shows(double, asked, "-# 2nd in the queue")
        for text in (*drafts, "Two?"):
            await alice.edit(asked, f"{double.bot_mention} {text}")
        assert await double.reply_to(asked, finished, timeout=40) is waiting
        heard = bot.service.chat.heard
        assert [each[1:] for each in (heard[0], heard[-1])] == [[("user", "One?")], [("user", "Two?")]]
        assert waiting.content.startswith(SAID) and double.said() == [waiting]
        assert labels(waiting) == ["Explain", "Retry", "👍", "👎"], "what was not said is no version"
        await alice.edit(asked, f"{double.bot_mention} Three?")
        await double.reply_to(await alice.say(double.general, "Go on.", reply_to=waiting), finished, timeout=40)
        read = [text for _, text in heard[-1][1:]]
        assert read == ["Three?", SAID, "Go on."], "what was answered is not answered anew"


async def test_who_waits_when_the_bot_ends_is_answered_when_it_is_back(double: Double, started: Any) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    async with started() as bot:
        thread = double.thread(double.general, "talk", alice)
        gate = Gate(bot)
        await alice.mention_bot(thread, "One.")
        await gate.held.wait()
        asked = await bob.mention_bot(thread, "Two.")
        waiting = await double.reply_to(asked, timeout=40)
    assert waiting.deleted and not [m for m in double.said() if only_waits(m.content)]
    async with started():
        await double.reply_to(asked, finished, timeout=40)


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
        asked = await alice.mention_bot(double.general, "Still there?")
        waiting = await shows(double, asked, "-# 2nd in the queue")
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
