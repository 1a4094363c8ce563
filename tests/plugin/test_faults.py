"""Discord's bad days, long replies, other settings: a bot for each."""

import asyncio
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from damage import spoil
from discord_double import Double, Message, Permission, Person
from discord_double.double import CUT
from glasshead.plugin import interaction_surface, presenter, surface
from glasshead.plugin.limits import edits_left
from glasshead.predict.context import Context
from glasshead.store.standing import standing
from house import finished, labels, words

ON_AND_ON = ((0, -100.0), (2, -100.0), (4, -100.0))
"""A bias against every end-of-generation token of the test model: the reply ends at max_tokens only."""
LONG_WORDS = ((27244, 100.0), (22945, 100.0))
"""A bias that leaves the test model two words of 18 letters: a long reply in few tokens."""
SHORT = {"sampling": {"max_tokens": 4, "temperature": 0.0}}


async def ask(double: Double, who: Person, text: str) -> Message:
    return await double.reply_to(await who.mention_bot(double.general, text), finished, timeout=40)


async def stopped(double: Double) -> Any:
    """A reply that only the person who asked could stop, and did."""
    alice, bob = double.person("alice"), double.person("bob")
    asked = await alice.mention_bot(double.general, "Count from one to five hundred in words.")
    running = await double.reply_to(asked, lambda m: labels(m) == ["Stop"] and m.content != "", timeout=40)
    await (await bob.press(running, "Stop")).shows(lambda m: "Only the person who asked" in m.text)
    await alice.press(running, "Stop")
    return running


async def test_stop_keeps_what_was_said(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}):
        running = await stopped(double)
        await double.until(lambda: finished(running), timeout=30)
        assert "Stopped." in running.content


async def test_what_waits_for_its_turn_shows_it_and_can_be_stopped(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}) as bot:
        await double.commands_synced()
        alice = double.person("alice")
        asked = await alice.say(alice.dm, "Count from one to five hundred in words.")
        running = await double.reply_to(asked, lambda m: labels(m) == ["Stop"] and m.content != "", timeout=40)
        typed = len(double.typing)
        await alice.say(alice.dm, "And back.")
        await double.until(lambda: len(double.typing) > typed, timeout=40)
        assert (await alice.slash("stop", alice.dm)).text == "Stopped."
        await double.until(lambda: finished(running), timeout=40)
        await asyncio.gather(*bot.service.tasks)
        assert double.said(alice.dm) == [running] and not bot.service.unfinished


async def test_a_reply_of_which_nothing_is_kept_can_be_stopped_too(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}):
        await double.commands_synced()
        await double.person("alice").slash("privacy", double.general, mine="keep nothing")
        running = await stopped(double)
        await double.until(lambda: labels(running) == [] and "Stopped." in running.content, timeout=40)


async def test_a_bot_that_is_timed_out_says_so_in_private(double: Double, started: Any) -> None:
    double.guild.members[double.world.bot.id].timed_out_until = double.clock.now() + 600
    async with started():
        alice = double.person("alice")
        await alice.mention_bot(double.general, "Hello?")
        told = await double.wait_for(lambda m: m.channel is alice.dm)
        assert "timed out in Aquarium" in told.content


async def test_a_what_if_can_be_stopped_and_is_not_lost_when_it_took_too_long(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}) as bot:
        await double.commands_synced()
        alice = double.person("alice")
        asked = await alice.mention_bot(double.general, "Count from one to five hundred in words.")
        reply = await double.reply_to(asked, lambda m: labels(m) == ["Stop"] and m.content != "", timeout=40)
        await alice.press(reply, "Stop")
        await double.until(lambda: finished(reply), timeout=30)
        panel = await (await alice.slash("explain", double.general, message=reply.jump_url, step=0)).answer()
        modal = await alice.press(panel, "What if…")
        await alice.submit(modal, **{"Or type one token": " red", "What falls after it": "same"})
        while not bot.service.running:
            await asyncio.sleep(0.01)
        double.clock.advance(15 * 60)
        assert (await alice.slash("stop", double.general)).text == "Stopped."
        told = await double.wait_for(lambda m: m.channel is alice.dm, timeout=40)
        assert "What if, from step 0" in told.content and " red" in told.content


async def test_a_deleted_channel_ends_the_reply_quietly(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 30, "temperature": 0.0, "logit_bias": ON_AND_ON}) as bot:
        asked = await double.person("alice").mention_bot(double.general, "Count to a thousand in words.")
        await double.reply_to(asked, timeout=40)
        double.remove_channel(double.general)
        await asyncio.wait_for(asyncio.gather(*bot.service.tasks), 60)


async def test_who_kicks_the_bot_ends_the_reply_and_the_person_is_told(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}) as bot:
        alice = double.person("alice")
        asked = await alice.mention_bot(double.general, "Count to a thousand in words.")
        await double.reply_to(asked, lambda m: m.content != "", timeout=40)
        double.fail("*", f"/channels/{double.general.id}/", 403, times=100, code=50001)
        told = await double.wait_for(lambda m: m.channel is alice.dm, timeout=40)
        assert told.content == "-# I cannot go on in #general: fault"
        await asyncio.gather(*bot.service.tasks)
        assert not bot.service.running


async def test_a_question_deleted_while_it_is_answered_goes_with_its_answer(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}) as bot:
        alice, store = double.person("alice"), bot.service.chat.store
        asked = await alice.mention_bot(double.general, "My secret is a red balloon. Count to a thousand.")
        running = await double.reply_to(asked, lambda m: m.content != "", timeout=40)
        await alice.delete(asked)
        await double.until(lambda: finished(running), timeout=40)
        await asyncio.gather(*bot.service.tasks)
        full = await store.turn(await store.latest_turn())
        said = [row.text for row in await store.messages(full.session) if row.role != "system"]
        assert not full.reply and not any(said)


async def test_a_question_deleted_before_it_is_read_is_not_answered(double: Double, started: Any) -> None:
    async with started(**SHORT) as bot:
        alice = double.person("alice")
        asked = await alice.mention_bot(double.general, "My secret is a red balloon.")
        await alice.delete(asked)
        reply = await ask(double, alice, "Hello!")
        assert double.said() == [reply]
        logged = await bot.service.chat.store.message_of_discord(asked.id)
        assert logged is None or (await bot.service.chat.store.message(logged)).erased


async def test_without_the_content_intent_it_works_by_mention(double: Double, started: Any) -> None:
    async with started(message_content=False, **SHORT):
        alice = double.person("alice")
        reply = await ask(double, alice, "Hello!")
        again = await alice.say(double.general, "And again.", reply_to=reply)
        assert await double.reply_to(again, finished, timeout=40)
        silent = await alice.say(double.general, "Without a ping.", reply_to=reply, ping=False)
        assert "message-content intent" in (await double.reply_to(silent)).content
        unseen = await alice.say(double.general, "The sea is deep.")
        asked = await alice.mention_bot(double.general, "How deep?", reply_to=unseen)
        blind = await double.reply_to(asked, finished, timeout=40)
        assert "Not all that was said above can I read" in blind.content
        assert "can I read" not in (await double.reply_to(again, finished)).content


async def test_a_long_reply_is_split_and_every_part_explained(double: Double, started: Any) -> None:
    sampling = {"max_tokens": 130, "temperature": 1.0, "logit_bias": LONG_WORDS}
    async with started(paced=True, sampling=sampling) as bot:
        alice = double.person("alice")
        asked = await alice.mention_bot(double.general, "Tell me a long story.")
        last = await double.wait_for(finished, timeout=120)
        left = edits_left(bot, double.general.id)
        assert left is not None and 0 <= left.edits <= 4 and 0 < left.seconds <= 5, "as the headers said"
        parts = double.said(double.general)
        assert len(parts) >= 2 and parts[0].reference is asked and last is parts[-1]
        assert all(len(part.content) <= 2000 for part in parts)
        assert [finished(part) for part in parts] == [False] * (len(parts) - 1) + [True]
        assert not any(r.status == 429 for r in double.requests)
        for part in parts:
            panel = await (await alice.menu("Explain this reply", part)).answer()
            assert "explained" in panel.text


async def test_a_very_long_reply_is_attached(double: Double, started: Any) -> None:
    longest = {"file_above_chars": 2000}
    sampling = {"max_tokens": 130, "temperature": 1.0, "logit_bias": LONG_WORDS}
    async with started(sampling=sampling, discord=longest):
        await double.person("alice").mention_bot(double.general, "Tell me a long story.")
        last = await double.wait_for(finished, timeout=120)
        assert last.attachments[0].filename == "reply.md" and len(last.attachments[0].data) > 2000
        assert "is attached" in last.content
        await double.until(lambda: double.said() == [last])


async def test_a_very_long_reply_is_split_where_no_files_may_be_sent(double: Double, started: Any) -> None:
    sampling = {"max_tokens": 130, "temperature": 1.0, "logit_bias": LONG_WORDS}
    double.general.denied[double.world.bot.id] = Permission.ATTACH_FILES
    async with started(sampling=sampling, discord={"file_above_chars": 2000}):
        await double.person("alice").mention_bot(double.general, "Tell me a long story.")
        last = await double.wait_for(finished, timeout=120)
        said = double.said()
        assert last is said[-1] and "Attach Files" in last.content and not last.attachments
        assert sum(len(message.content) for message in said) > 2000 and labels(said[0]) == []


@pytest.mark.parametrize("status", [500, 503, 408, CUT])
async def test_bad_minutes_lose_nothing_and_repeat_nothing(double: Double, started: Any, status: int) -> None:
    async with started(**SHORT):
        double.fail("POST", "/messages$", status, after=True)
        double.fail("PATCH", "/messages/", status)
        reply = await ask(double, double.person("alice"), "Hello!")
        assert double.said() == [reply]


async def test_an_outage_that_lasts_delays_the_end_and_loses_nothing(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presenter, "LATER", (0.2,) * 100)
    monkeypatch.setattr(surface, "FINAL_TRIES", 1)
    async with started(**SHORT) as bot:
        outage = double.fail("*", "/messages", 503, times=10_000)
        asked = await double.person("alice").mention_bot(double.general, "Hello!")
        await double.until(lambda: bot.service._later, timeout=40)
        assert not bot.service.running, "nobody waits for Discord"
        outage.times = 0
        reply = await double.reply_to(asked, finished, timeout=40)
        assert double.said() == [reply]


async def test_what_is_forgotten_during_an_outage_is_not_shown_after_it(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presenter, "LATER", (0.2,) * 100)
    monkeypatch.setattr(surface, "FINAL_TRIES", 1)
    async with started(**SHORT) as bot:
        alice, outage = double.person("alice"), double.fail("*", "/messages", 503, times=10_000)
        asked = await alice.mention_bot(double.general, "Hello!")
        await double.until(lambda: bot.service._later, timeout=40)
        await asyncio.gather(bot.wait_for("raw_message_delete"), alice.delete(asked))
        await asyncio.gather(*bot.service.tasks)
        outage.times = 0
        await asyncio.gather(*bot.service._later)
        assert double.said() == []


async def test_what_cannot_be_replied_to_is_answered_all_the_same(double: Double, started: Any) -> None:
    async with started(**SHORT):
        double.fail("POST", "/messages$", 400)
        await double.person("alice").mention_bot(double.general, "Hello!")
        reply = await double.wait_for(finished, timeout=40)
        assert double.said() == [reply] and reply.reference is None


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


async def test_an_archived_thread_is_opened_again_for_the_end(double: Double, started: Any) -> None:
    async with started(sampling={"max_tokens": 30, "temperature": 0.0, "logit_bias": ON_AND_ON}):
        alice = double.person("alice")
        thread = double.thread(double.general, "talk", alice)
        thread.owner_id = double.world.bot.id
        asked = await alice.mention_bot(thread, "Count to a hundred.")
        await double.reply_to(asked, timeout=40)
        thread.archived = True
        reply = await double.reply_to(asked, finished, timeout=40)
        assert not thread.archived and reply.channel is thread


async def test_a_command_outliving_its_token_goes_on_as_a_message(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(sampling={"max_tokens": 60, "temperature": 0.0, "logit_bias": ON_AND_ON}):
        await double.commands_synced()
        asked = await double.person("alice").slash("chat", double.general, text="Count to a thousand in words.")
        reply = await asked.shows(lambda m: m.content != "", timeout=40)
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 15 * 60)
        monkeypatch.setattr(interaction_surface, "time", later)
        double.clock.advance(15 * 60)
        await double.until(lambda: finished(reply), timeout=60)
        assert "Cut at the length limit" in reply.content


async def test_a_command_whose_webhook_is_gone_goes_on_as_a_message(double: Double, started: Any) -> None:
    async with started(**SHORT):
        await double.commands_synced()
        double.fail("PATCH", "/webhooks/", 404, times=1000)
        await double.person("alice").slash("chat", double.general, text="Hello!")
        reply = await double.wait_for(finished, timeout=40)
        assert reply.content.startswith("> Hello!") and reply.token is None


async def test_a_command_where_it_is_no_member_is_cut_in_time(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interaction_surface, "TOKEN_SECONDS", interaction_surface.MARGIN + 1)
    async with started(sampling={"max_tokens": 1500, "temperature": 0.0, "logit_bias": ON_AND_ON}):
        await double.commands_synced()
        alice = double.person("alice")
        double.guild.has_bot = False
        asked = await alice.slash("chat", double.general, text="Count to a thousand.", user_installed=True)
        reply = await asked.shows(finished, timeout=60)
        assert "Cut here" in reply.content


async def test_the_place_in_the_queue_is_shown(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, decode = threading.Event(), Context.decode
    monkeypatch.setattr(Context, "decode", lambda self, rows: (go_on.wait(60), decode(self, rows))[1])
    monkeypatch.setattr(presenter, "GRACE", 0.0)
    async with started(engine={"streams": 1}, **SHORT):
        people = [double.person(f"person{i}") for i in range(3)]
        asked = [await who.mention_bot(double.channel(f"of-{who.user.name}"), "Count.") for who in people]
        waiting = await double.wait_for(lambda m: m.content.endswith(" in the queue"), timeout=40)
        assert re.match(r"-# (1st|2nd) in the queue", waiting.content)
        go_on.set()
        for each in asked:
            assert finished(await double.reply_to(each, finished, timeout=60))


async def test_who_finds_the_queue_full_is_told_and_loses_nothing(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, decode = threading.Event(), threading.Event(), Context.decode
    monkeypatch.setattr(Context, "decode", lambda self, rows: (begun.set(), go_on.wait(60), decode(self, rows))[2])
    monkeypatch.setattr(presenter, "GRACE", 0.0)
    async with started(engine={"streams": 1, "queue": 2}, **SHORT):
        people = [double.person(f"person{i}") for i in range(4)]
        asked = [await people[0].mention_bot(double.general, "Count.")]
        await asyncio.to_thread(begun.wait, 60)
        for who, place in zip(people[1:3], ("1st", "2nd"), strict=True):
            asked.append(await who.mention_bot(double.general, "Count."))
            await double.reply_to(asked[-1], lambda m, at=place: m.content == f"-# {at} in the queue", timeout=40)
        refused = await double.reply_to(await people[3].mention_bot(double.general, "Count."), finished, timeout=40)
        assert refused.content.startswith("-# ⚠ The queue is full, 2 replies waiting: try again in a while.")
        go_on.set()
        for each in asked:
            assert words(await double.reply_to(each, finished, timeout=60))
        await people[3].press(refused, "Retry")
        await double.until(lambda: "⚠" not in refused.content and finished(refused), timeout=60)
        assert len(double.said()) == 4


async def test_a_thread_goes_on_past_the_messages_of_a_damaged_page(
    double: Double, started: Any, tmp_path: Path
) -> None:
    alice = double.person("alice")
    thread = double.thread(double.general, "talk", alice)

    async def tell(text: str) -> Message:
        return await double.reply_to(await alice.mention_bot(thread, text), finished, timeout=40)

    async with started(**SHORT) as bot:
        store = bot.service.chat.store
        elsewhere = await store.start_session()
        for text in ("I have a green kite.", "And a blue boat."):
            await tell(text)
            for _ in range(3):  # so that its pages are no others'
                await store.append_message(elsewhere, "user", "w " * 1000)
    spoil(tmp_path / "log.db", "message", 0, holding=b"And a blue boat.")
    async with started(**SHORT) as bot:
        reply = await tell("What do I have?")
        assert "I cannot read the 2 messages before this one: my log is damaged there" in reply.content
        await asyncio.gather(*bot.service.tasks)  # the log knows of a reply a moment after it is seen
        store = bot.service.chat.store
        full = await store.turn(await store.turn_of_discord_message(reply.id) or 0)
        said = [m.text for m in await store.conversation(full.prompt_message) if m.role == "user"]
        assert said == ["I have a green kite.", "What do I have?"]
        assert "damaged" not in (await tell("And now?")).content
        await asyncio.gather(*bot.service.tasks)
        seen = await store.database.read(lambda c: standing(c, 0))
        assert len(seen[thread.id]) == 6  # two of three questions, the first reply, and since the damage all


async def test_what_was_left_out_is_said_once(double: Double, started: Any) -> None:
    async with started(model={"context": 256}, sampling={"max_tokens": 8, "temperature": 0.0}):
        alice = double.person("alice")
        text = "Here is something long to say: " + "one two three four five six seven eight nine ten " * 8
        replies = [await ask(double, alice, text)]
        for _ in range(3):
            again = await alice.say(double.general, text, reply_to=replies[-1])
            replies.append(await double.reply_to(again, finished, timeout=40))
        told = r"-# Left out of what the model read: .* oldest turn.* tokens"
        assert [bool(re.search(told, reply.content)) for reply in replies] == [False, False, True, False]
