"""Chatting, from the other side of the screen; one bot for all of these."""

import asyncio

import discord
import pytest
from discord_double import ChannelType, Message, Permission
from house import Room, finished, labels, words

pytestmark = pytest.mark.asyncio(loop_scope="module")
SYSTEM = "You are a helpful assistant."


async def test_a_mention_is_answered_and_explained(room: Room) -> None:
    reply = await room.ask(room.alice, "What is the capital of France?")
    assert words(reply)
    assert labels(reply) == ["Explain", "Retry", "👍", "👎"]
    assert not reply.pinged and len(reply.revisions) == len({text for _, text in reply.revisions})
    panel = await (await room.alice.press(reply, "Explain")).answer()
    assert panel.ephemeral and "explained" in panel.text and panel.attachments


async def test_the_whole_conversation_is_given_every_time(room: Room) -> None:
    first = await room.ask(room.alice, "My name is Alice.")
    second = await room.follow(room.alice, "What is my name?", first)
    assert [text for _, text in await room.read_by_model(second)] == [
        SYSTEM,
        "My name is Alice.",
        words(first),
        "What is my name?",
    ]


async def test_silence(room: Room) -> None:
    """Talk among people, bots, and itself: no answer. A mention afterwards shows that it was listening."""
    said = await room.alice.say(room.channel, "hello everybody")
    await room.bob.say(room.channel, "hello alice", reply_to=said)
    await room.double.other_bot("robot").mention_bot(room.channel, "beep")
    await room.alice.say(room.channel, "@everyone look")
    reply = await room.ask(room.bob, "Hi!")
    assert room.double.said(room.channel) == [reply]


async def test_direct_messages_need_no_mention_and_go_on(room: Room) -> None:
    first = await room.double.reply_to(await room.alice.say(room.alice.dm, "Say yes."), finished, timeout=40)
    second = await room.double.reply_to(await room.alice.say(room.alice.dm, "Say no."), finished, timeout=40)
    texts = [text for _, text in await room.read_by_model(second)]
    assert texts == [SYSTEM, "Say yes.", words(first), "Say no."]


async def test_two_at_once_in_a_direct_message_are_answered_in_order(room: Room) -> None:
    one, two = await room.alice.say(room.alice.dm, "One."), await room.alice.say(room.alice.dm, "Two.")
    second = await room.double.reply_to(two, finished, timeout=40)
    first = await room.double.reply_to(one, finished, timeout=40)
    assert first.id < second.id
    assert [text for _, text in await room.read_by_model(second)][1] == "One."


async def test_one_persons_questions_are_taken_as_they_came(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    talk, gate, store = room.bot.get_cog("Glasshead"), asyncio.Event(), room.service.chat.store
    already = talk._already

    async def slowly(message: discord.Message) -> bool:
        if message.id == one.id:
            await gate.wait()
        return await already(message)

    monkeypatch.setattr(talk, "_already", slowly)
    one, two = [await room.alice.mention_bot(room.channel, text) for text in ("One.", "Two.")]
    try:
        await room.ask(room.bob, "Three.")
        assert await store.message_of_discord(two.id) is None
    finally:
        gate.set()
    for each in one, two:
        await room.double.reply_to(each, finished, timeout=40)
    assert await store.message_of_discord(one.id) < await store.message_of_discord(two.id)


async def test_somebody_elses_message_replied_to_is_read_too(room: Room) -> None:
    said = await room.alice.say(room.channel, "The sky is green.")
    reply = await room.ask(room.bob, "Is that so?", reply_to=said)
    assert await room.read_by_model(reply) == [
        ("system", SYSTEM),
        ("user", "The sky is green."),
        ("user", "Is that so?"),
    ]


async def test_threads_are_read_whole(room: Room) -> None:
    thread = room.double.thread(room.channel, "talk", room.alice)
    await room.alice.say(thread, "I like cats.")
    await room.bob.say(thread, "I like dogs.")
    asked = await room.alice.mention_bot(thread, "What do we like?")
    reply = await room.double.reply_to(asked, finished, timeout=40)
    texts = [text for _, text in await room.read_by_model(reply)]
    assert texts[1:] == ["I like cats.", "I like dogs.", "What do we like?"]
    await room.bob.say(thread, "And birds.")
    more = await room.double.reply_to(await room.alice.mention_bot(thread, "What else?"), finished, timeout=40)
    said = [text for role, text in await room.read_by_model(more) if role == "user"]
    assert said[2:] == ["What do we like?", "And birds.", "What else?"]


async def test_an_edited_message_reads_differently_in_the_next_turn(room: Room) -> None:
    asked = await room.alice.mention_bot(room.channel, "My cat is called Tom.")
    first = await room.double.reply_to(asked, finished, timeout=40)
    await room.alice.edit(asked, f"{room.double.bot_mention} My cat is called Jerry.")
    second = await room.follow(room.alice, "What is it called?", first)
    said = [text for role, text in await room.read_by_model(second) if role == "user"]
    assert said == ["My cat is called Jerry.", "What is it called?"]


async def test_a_deleted_message_goes_from_the_log(room: Room) -> None:
    asked = await room.alice.mention_bot(room.channel, "My secret is a red balloon.")
    first = await room.double.reply_to(asked, finished, timeout=40)
    await room.alice.delete(asked)
    second = await room.follow(room.alice, "Say yes.", first)
    assert all("balloon" not in text for _, text in await room.read_by_model(second))


async def test_replies_below_an_edit_go_back_as_the_ids_they_were(room: Room) -> None:
    store = room.service.chat.store
    asked = await room.alice.mention_bot(room.channel, "My dog is called Rex.")
    first = await room.double.reply_to(asked, finished, timeout=40)
    await room.alice.edit(asked, f"{room.double.bot_mention} My dog is called Max.")
    second = await room.follow(room.alice, "What is it called?", first)
    await room.read_by_model(second)
    old, new = [await store.turn(await store.turn_of_discord_message(m.id) or 0) for m in (first, second)]
    spans = [span for span in new.prompt.spans if span.role == "assistant" and span.message is not None]
    assert [span.kind for span in spans] == ["generated"]
    generated = [step.id for step in old.trace.steps]
    assert list(new.prompt.ids[spans[0].start : spans[0].end]) in (generated, generated[:-1])


async def test_a_deleted_reply_goes_from_the_log_in_every_version(room: Room) -> None:
    store = room.service.chat.store
    await room.service.preferences.set_channel(room.channel.id, temperature=1.5)
    reply = await room.ask(room.alice, "Tell me a word.")
    one = await store.turn_of_discord_message(reply.id)
    await room.alice.press(reply, "Retry")
    await room.double.until(lambda: "2/2" in labels(reply), timeout=40)
    await asyncio.gather(*room.service.tasks)
    two = await store.turn_of_discord_message(reply.id)
    assert one is not None and two is not None and one != two
    assert (await store.turn(one)).reply and (await store.turn(two)).reply
    told = room.bot.wait_for("raw_message_delete", timeout=10)
    await asyncio.gather(told, room.double.person("owner").delete(reply))
    await asyncio.gather(*room.service.tasks)
    assert [(await store.turn(turn)).reply for turn in (one, two)] == ["", ""]
    assert (await store.message_of_discord(reply.reference.id if reply.reference else 0)) is not None


async def test_text_files_are_read_and_others_declined(room: Room) -> None:
    files = {"list.txt": b"milk and eggs", "cat.png": b"\x89PNG\r\n\x1a\n\0"}
    reply = await room.ask(room.alice, "What is on my list?", files=files)
    text = (await room.read_by_model(reply))[-1][1]
    assert "milk and eggs" in text and "[file list.txt]" in text and "cat.png" in text
    assert "Not read: cat.png (not text in UTF-8)." in reply.content


async def test_a_few_files_are_read_whatever_stands_between_them(room: Room) -> None:
    files = {f"{n}.png": b"\x89PNG\r\n\x1a\n\0" for n in range(5)} | {f"{n}.txt": b"words" for n in range(5)}
    reply = await room.ask(room.alice, "Read.", files=files)
    text = (await room.read_by_model(reply))[-1][1]
    assert [n for n in range(5) if f"[file {n}.txt]" in text] == [0, 1, 2, 3]
    pictures = ", ".join(f"{n}.png" for n in range(5))
    assert f"Not read: {pictures} (not text in UTF-8); 4.txt (after 4 others)." in reply.content


async def test_nothing_pings(room: Room) -> None:
    room.double.guild.roles[room.double.guild.id].permissions |= Permission.MENTION_EVERYONE
    reply = await room.ask(room.alice, f"Repeat after me: @everyone {room.bob.mention}")
    assert reply.pinged == set()


async def test_retry_adds_a_version_in_place(room: Room) -> None:
    await room.service.preferences.set_channel(room.channel.id, temperature=1.5)
    reply = await room.ask(room.alice, "Tell me a word.")
    first = words(reply)
    await (await room.bob.press(reply, "Retry")).shows(lambda m: "Only the person who asked" in m.text)
    await room.alice.press(reply, "Retry")
    await room.double.until(lambda: "2/2" in labels(reply), timeout=40)
    assert room.double.said(room.channel) == [reply]
    await room.alice.press(reply, "◀")
    await room.double.until(lambda: "1/2" in labels(reply))
    assert words(reply) == first
    answer = await room.follow(room.alice, "And another.", reply)
    assert (await room.read_by_model(answer))[2][1].strip() == first, "what is shown is what is gone on from"


async def test_retry_pressed_twice_writes_one_reply(room: Room) -> None:
    reply = await room.ask(room.alice, "Tell me a word.")
    presses = await asyncio.gather(*(room.alice.press(reply, "Retry") for _ in range(2)))
    await room.double.until(lambda: "2/2" in labels(reply), timeout=40)
    await asyncio.gather(*room.service.tasks)
    assert "2/2" in labels(reply) and sorted(len(press.followups) for press in presses) == [0, 1]


async def test_thumbs_are_kept(room: Room) -> None:
    reply = await room.ask(room.alice, "Hi!")
    for thumb in ("👎", "👍"):
        await (await room.bob.press(reply, thumb)).shows(lambda m, thumb=thumb: thumb in m.text)  # type: ignore[misc]
    store = room.service.chat.store
    turn = await store.turn_of_discord_message(reply.id)
    assert turn is not None
    marks = await store.marks((await store.turn(turn)).session)
    assert [(who, value) for who, value, _ in marks[turn].thumbs] == [(room.bob.id, 1)]


async def test_a_missing_permission_is_named_in_private(room: Room) -> None:
    room.channel.denied[room.double.world.bot.id] = Permission.SEND_MESSAGES
    room.double.update_channel(room.channel)
    await room.alice.mention_bot(room.channel, "Hello?")
    told = await room.double.wait_for(lambda m: m.channel is room.alice.dm)
    assert "Send Messages" in told.content and room.channel.name in told.content


async def test_too_much_at_once_is_answered_kindly(room: Room) -> None:
    asked = [await room.alice.mention_bot(room.double.channel(f"{room.channel.name}-{i}"), "Hi.") for i in range(6)]
    told = await room.double.reply_to(asked[-1], timeout=30)
    assert "ask again in" in told.content
    for each in asked[:-1]:
        await room.double.reply_to(each, finished, timeout=40)


async def test_an_empty_mention_gets_a_hint(room: Room) -> None:
    told = await room.double.reply_to(await room.alice.mention_bot(room.channel, ""))
    assert "Mention me with a question" in told.content


async def test_a_mention_alone_calls_it_to_what_is_replied_to(room: Room) -> None:
    asked = await room.alice.say(room.channel, "What is the capital of France?")
    reply = await room.ask(room.bob, "", reply_to=asked)
    read = (await room.read_by_model(reply))[1:]
    assert read == [("user", "What is the capital of France?"), ("user", "@glasshead")]


async def test_what_another_bot_said_is_read_where_it_is_replied_to(room: Room) -> None:
    news = room.double.other_bot(f"news-{room.channel.name}")
    said = await news.say(room.channel, "Rain tomorrow.")
    reply = await room.ask(room.alice, "Do I need a coat?", reply_to=said)
    read = await room.read_by_model(reply)
    assert [text for role, text in read if role == "user"] == ["Rain tomorrow.", "Do I need a coat?"]


async def test_what_is_not_kept_is_not_read_and_that_is_said(room: Room) -> None:
    await room.bob.slash("privacy", room.channel, mine="keep nothing")
    hidden = await room.bob.mention_bot(room.channel, "A secret.")
    shown = await room.double.reply_to(hidden, lambda m: bool(m.content) and not m.components, timeout=40)
    for above in (hidden, shown):
        reply = await room.ask(room.alice, "What was that?", reply_to=above)
        assert "What you reply to was not read" in reply.content
        assert [text for _, text in (await room.read_by_model(reply))[1:]] == ["What was that?"]
    await room.bob.slash("privacy", room.channel, mine="keep")
    hint = await room.double.reply_to(await room.alice.mention_bot(room.channel, ""))
    assert "was not read" not in (await room.follow(room.alice, "Well?", hint)).content


async def test_where_it_always_answers_the_exchange_goes_on_without_replies(room: Room) -> None:
    owner = room.double.person("owner")
    await owner.slash("admin channel", room.channel, channel=room.channel, action="always answer")
    for text in ("My name is Alice.", "What is my name?"):
        asked = await room.alice.say(room.channel, text)
        reply = await room.double.reply_to(asked, finished, timeout=40)
    read = [text for role, text in await room.read_by_model(reply) if role == "user"]
    assert read == ["My name is Alice.", "What is my name?"]


async def test_the_title_of_a_post_is_read(room: Room) -> None:
    forum = room.double.channel(f"{room.channel.name}-forum", kind=ChannelType.FORUM)
    post = await room.alice.post(forum, "How long do eggs boil?", "See above.")
    asked = await room.bob.mention_bot(post.channel, "Do you know?")
    reply = await room.double.reply_to(asked, finished, timeout=40)
    said = [text for role, text in await room.read_by_model(reply) if role == "user"]
    assert said == ["[post: How long do eggs boil?]\n\nSee above.", "Do you know?"]


async def test_two_of_one_name_are_told_apart(room: Room) -> None:
    one, other = (room.double.person(f"{name}-{room.channel.name}", nick="Alex") for name in ("cat", "dog"))
    reply = await room.follow(other, "I like dogs.", await room.ask(one, "I like cats."))
    reply = await room.follow(one, "Who am I?", reply)
    await room.read_by_model(reply)
    store = room.service.chat.store
    turn = await store.turn(await store.turn_of_discord_message(reply.id) or 0)
    prompt = b"".join(turn.prompt_pieces).decode()
    assert "Alex: I like cats." in prompt and f"Alex ({other.user.name}): I like dogs." in prompt
    assert "Alex: Who am I?" in prompt


async def test_people_are_named_once_there_are_several(room: Room) -> None:
    async def prompt_of(reply: Message) -> str:
        await room.read_by_model(reply)
        store = room.service.chat.store
        turn = await store.turn(await store.turn_of_discord_message(reply.id) or 0)
        return b"".join(turn.prompt_pieces).decode()

    alice, bob = (who.user.display for who in (room.alice, room.bob))
    first = await room.ask(room.alice, "I like tea.")
    assert f"{alice}" not in await prompt_of(first)
    second = await room.follow(room.bob, "I like coffee.", first)
    prompt = await prompt_of(second)
    assert f"{alice}: I like tea." in prompt and f"{bob}: I like coffee." in prompt
