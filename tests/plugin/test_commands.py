"""Commands, menus and panels, from the other side of the screen; one bot for all of these."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from discord_double import Channel, Message, Permission
from glasshead.explain.explanation import explain
from glasshead.plugin import sync_if_changed, touring
from glasshead.plugin.panel import Place
from glasshead.plugin.probes import Probes, WhatIf
from glasshead.predict.step import Candidate
from house import Room, finished, labels, words

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_chat_answers_and_goes_on(room: Room) -> None:
    first = await room.alice.slash("chat", room.channel, text="My name is Alice.")
    reply = await first.shows(finished, timeout=40)
    assert reply.content.startswith("> My name is Alice.\n")
    second = await (await room.alice.slash("chat", room.channel, text="And now?")).shows(finished, timeout=40)
    assert [text for _, text in await room.read_by_model(second)][1::2] == ["My name is Alice.", "And now?"]
    fresh = await room.alice.slash("chat", room.channel, text="Anew.", fresh=True)
    third = await fresh.shows(finished, timeout=40)
    assert [text for _, text in await room.read_by_model(third)][1:] == ["Anew."]


async def test_a_command_without_a_word_opens_nothing(room: Room) -> None:
    refused = len(room.double.rejected)
    asked = await room.alice.slash("chat", room.channel, text=" \n", thread=True)
    assert (await asked.answer()).content == "I see an empty message."
    assert len(room.double.rejected) == refused and not room.double.said(room.channel)


async def test_whom_a_command_names_is_spelled(room: Room) -> None:
    named = f"Ask {room.bob.mention} in {room.channel.mention} <@&{room.double.guild.id}> <:fish:{room.bob.id}>"
    reply = await (await room.alice.slash("chat", room.channel, text=named)).shows(finished, timeout=40)
    spelled = f"Ask @{room.bob.user.display} in #{room.channel.name} @@everyone :fish:"
    assert (await room.read_by_model(reply))[-1] == ("user", spelled)
    menu = await room.bob.menu("Continue from here", reply)
    more = await room.bob.submit(menu, **{"What do you say after this reply?": f"And {room.alice.mention}?"})
    further = await more.shows(finished, timeout=40)
    assert (await room.read_by_model(further))[-1] == ("user", f"And @{room.alice.user.display}?")


async def test_a_refusal_is_seen_by_whoever_asked_alone(room: Room) -> None:
    owner = room.double.person("owner")
    await owner.slash("admin user", room.channel, user=room.alice, action="block")
    refused = await (await room.alice.slash("chat", room.channel, text="Hello?")).answer()
    await owner.slash("admin user", room.channel, user=room.alice, action="allow")
    assert refused.ephemeral and refused.content.startswith("The people who run this server")
    thread = room.double.thread(room.channel, "talk", room.bob)
    refused = await (await room.alice.slash("chat", thread, text="Hello?", thread=True)).answer()
    assert refused.ephemeral and refused.content.startswith("A thread can only be opened")


async def test_chat_opens_a_thread_and_answers_everything_in_it(room: Room) -> None:
    asked = await room.alice.slash("chat", room.channel, text="Say one.", thread=True)
    head = await asked.answer()
    first = await room.double.wait_for(lambda m: m.channel.parent is room.channel and finished(m), timeout=40)
    assert head.content == "> Say one." and first.channel.id == head.id
    more = await room.alice.say(first.channel, "Say two.")
    second = await room.double.reply_to(more, finished, timeout=40)
    said = [text for role, text in await room.read_by_model(second) if role == "user"]
    assert said == ["Say one.", "Say two."]
    other = await room.bob.slash("system set", first.channel, text="You are a bird.")
    assert (await other.answer()).text.startswith("Changing that here needs")
    own = await room.alice.slash("system set", first.channel, text="You are a fish.")
    assert (await own.answer()).text.startswith("Set.")


async def test_a_question_shown_above_its_reply_is_what_was_typed(room: Room) -> None:
    """Links in it show where they lead, and its markdown does nothing."""
    asked = await room.alice.slash("chat", room.channel, text="See [this](http://a.example/b_c_d) *now*")
    reply = await asked.shows(finished, timeout=40)
    assert reply.content.startswith("> See this (<http://a.example/b_c_d>) \\*now\\*\n")


def place_without_the_bot(room: Room) -> Channel:
    """Alice may bring it along there."""
    elsewhere = room.double.world.add_guild("Elsewhere", room.bob.user)
    elsewhere.has_bot = False
    elsewhere.members.pop(room.double.world.bot.id)
    room.double.world.add_member(elsewhere, room.alice.user)
    return room.double.world.add_channel(elsewhere, "there")


async def test_a_tour_where_only_the_person_has_installed_it_ends_with_all_steps(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def visited(_: object, number: int) -> list[str]:
        return [f"step {number}"]

    monkeypatch.setattr(touring, "visit", visited)
    monkeypatch.setattr(touring, "report_lines", lambda report, columns: report)
    asked = await room.alice.slash("tour", place_without_the_bot(room), user_installed=True)
    shown = await asked.shows(lambda m: "step 8" in m.text)
    assert shown.attachments[0].data.decode().split("\n\n") == [f"step {number}" for number in range(1, 9)]


async def test_chat_where_only_the_person_has_installed_it(room: Room) -> None:
    channel = place_without_the_bot(room)
    asked = await room.alice.slash("chat", channel, text="Hello!", user_installed=True)
    reply = await asked.shows(finished, timeout=40)
    panel = await (await room.alice.press(reply, "Explain")).answer()
    assert "explained" in panel.text
    await room.alice.press(reply, "Retry")
    await room.double.until(lambda: "2/2" in labels(reply), timeout=40)
    assert asked.messages == [reply]


async def test_buttons_of_a_reply_that_the_log_has_lost_do_nothing_to_another(room: Room) -> None:
    """A log that was begun anew counts from one again."""
    old, new = await room.ask(room.alice, "One."), await room.ask(room.alice, "Two.")
    store = room.service.chat.store
    turn = await store.turn_of_discord_message(old.id)
    assert turn is not None
    await store.link_discord(turn, [new.id])
    gone = await room.ask(room.bob, "Three.")
    its = await store.turn_of_discord_message(gone.id)
    await store.database.write(
        lambda c: c.exec_driver_sql(
            "DELETE FROM session WHERE id = (SELECT session_id FROM turn WHERE id = ?)", (its,)
        )
    )
    await (await room.bob.press(gone, "Explain")).shows(lambda m: m.text.startswith("That reply is not in my log"))
    for label in ("Explain", "Retry", "👍"):
        await (await room.alice.press(old, label)).shows(lambda m: m.text.startswith("That reply is not in my log"))
    assert "explained" in (await (await room.alice.press(new, "Explain")).answer()).text


async def test_explain_names_what_it_cannot_explain(room: Room) -> None:
    assert "have not said anything here" in (await (await room.alice.slash("explain", room.channel)).answer()).text
    said = await room.bob.say(room.channel, "hello")
    assert "did not write that" in (await (await room.alice.menu("Explain this reply", said)).answer()).text
    wrong = await room.alice.slash("explain", room.channel, message="not a link")
    assert "no message link" in (await wrong.answer()).text
    reply = await room.ask(room.alice, "Hi!")
    far = await room.alice.slash("explain", room.channel, message=reply.jump_url, step=999)
    assert "has steps 0 to" in (await far.answer()).text


async def test_a_link_is_no_key_to_a_hidden_channel(room: Room) -> None:
    reply = await room.ask(room.alice, "Hi!")
    room.channel.denied[room.bob.id] = Permission.VIEW_CHANNEL
    room.double.update_channel(room.channel)
    other = room.double.channel(f"{room.channel.name}-open")
    asked = await room.bob.slash("explain", other, message=reply.jump_url)
    assert "know no reply" in (await asked.answer()).text
    allowed = await room.alice.slash("explain", other, message=reply.jump_url)
    assert "explained" in (await allowed.answer()).text


async def test_a_link_is_no_key_where_rights_are_not_known(room: Room) -> None:
    thread = room.double.thread(room.channel, "talk", room.alice)
    asked = await room.alice.mention_bot(thread, "Hi!")
    reply = await room.double.reply_to(asked, finished, timeout=40)
    known = room.bot.get_channel(thread.id)
    assert (await (await room.bob.slash("explain", room.channel, message=reply.jump_url)).answer()).attachments
    known.parent_id = 1  # of a channel that the bot was not told of
    refused = await room.bob.slash("explain", room.channel, message=reply.jump_url)
    assert "know no reply" in (await refused.answer()).text


async def test_a_link_is_no_key_to_a_private_thread_nor_to_what_was_said_before(room: Room) -> None:
    thread = room.double.thread(room.channel, "secret", room.alice, private=True)
    thread.joined |= {room.double.world.bot.id}
    asked = await room.alice.mention_bot(thread, "Hi!")
    reply = await room.double.reply_to(asked, finished, timeout=40)
    await room.read_by_model(reply)

    async def opened(message: Message) -> str:
        return (await (await room.bob.slash("explain", room.channel, message=message.jump_url)).answer()).text

    assert "know no reply" in await opened(reply)
    thread.joined |= {room.bob.id}
    assert "explained" in await opened(reply)
    public = await room.ask(room.alice, "Hi!")
    elsewhere = room.double.channel(f"{room.channel.name}-open")
    room.channel.denied[room.bob.id] = Permission.READ_MESSAGE_HISTORY
    room.double.update_channel(room.channel)
    link = await room.bob.slash("explain", elsewhere, message=public.jump_url)
    assert "know no reply" in (await link.answer()).text


async def test_the_panel_steps_jumps_and_tints(room: Room) -> None:
    reply = await room.ask(room.alice, "Name a colour.")
    opened = await room.alice.slash("explain", room.channel, message=reply.jump_url, step=0)
    panel = await opened.answer()
    assert opened.acked_after is not None and opened.acked_after < 3
    assert "Step 0 of" in panel.text and not panel.content and panel.attachments
    await (await room.alice.press(panel, "▶")).shows(lambda m: "Step 1 of" in m.text)
    await (await room.alice.press(panel, "◀")).shows(lambda m: "Step 0 of" in m.text)
    await (await room.alice.press(panel, "⏭")).shows(lambda m: "Step 0 of" not in m.text)
    await (await room.alice.choose(panel, "Go to a step", "3")).shows(lambda m: "Step 3 of" in m.text)
    picture = panel.attachments[0].data
    await (await room.alice.choose(panel, "Tint", "entropy")).shows(lambda m: m.attachments[0].data != picture)
    await asyncio.gather(*room.service.tasks)
    store = room.service.chat.store
    unsure = explain(await store.turn(await store.turn_of_discord_message(reply.id) or 0)).whole.least_certain
    at = unsure[(unsure.index(3) + 1) % len(unsure)] if 3 in unsure else unsure[0]
    await (await room.alice.press(panel, "Least certain")).shows(lambda m: f"Step {at} of" in m.text)
    picture = panel.attachments[0].data
    await (await room.alice.choose(panel, "Tint", "whitespace")).shows(lambda m: m.attachments[0].data != picture)
    assert "id " in panel.text and "bytes " in panel.text and "top_k left" in panel.text


async def test_what_the_panel_can_ask_further(room: Room) -> None:
    reply = await room.ask(room.alice, "Name a colour.")
    panel = await (await room.alice.press(reply, "Explain")).answer()
    saw = await (await room.alice.press(panel, "What the model saw")).answer()
    assert "nothing else" in saw.text and saw.ephemeral
    loss = await (await room.alice.press(panel, "Loss")).answer(40)
    assert "sum of −log p" in loss.text and "no gradient" in loss.text
    numbers = await (await room.alice.press(panel, "All numbers")).answer()
    assert numbers.ephemeral and "all others" in numbers.text and "the draw u(seed, " in numbers.text
    page = await (await room.alice.press(panel, "File")).answer()
    assert page.attachments[0].filename.endswith(".html") and b"<html" in page.attachments[0].data[:500]
    assert "*Prove it*, pressed" in page.text and "*Loss*" not in page.text
    assert b"no gradient" in page.attachments[0].data and b"Proven" not in page.attachments[0].data
    proof = await (await room.alice.press(panel, "Prove it")).answer(90)
    assert "Proven" in proof.text, proof.text
    page = await (await room.alice.press(panel, "File")).answer()
    assert "pressed" not in page.text and b"Proven" in page.attachments[0].data


async def test_what_if_is_a_branch_of_its_own(room: Room) -> None:
    reply = await room.ask(room.alice, "Name a colour.")
    panel = await (await room.alice.slash("explain", room.channel, message=reply.jump_url, step=0)).answer()
    asked = await room.alice.press(panel, "What if…")
    assert asked.modal is not None
    first = asked.modal["components"][0]["component"]["options"][0]["value"]
    values = {"Another candidate": first, "What falls after it": "same"}
    branch = await (await room.alice.submit(asked, **values)).answer(60)
    assert "What if, from step 0" in branch.text and branch.ephemeral


async def test_an_end_of_turn_is_not_offered_as_a_what_if(room: Room) -> None:
    reply = await room.ask(room.alice, "Name a colour.")
    await asyncio.gather(*room.service.tasks)
    store, vocabulary = room.service.chat.store, room.service.chat.speaker.vocabulary
    turn = await store.turn(await store.turn_of_discord_message(reply.id) or 0)
    (end,) = vocabulary.tokenise("<|im_end|>", special=True)
    step = turn.trace.steps[0]
    listed = replace(step, top=(*step.top[:4], Candidate(end, step.top[4].logprob)))
    explanation = explain(replace(turn, trace=replace(turn.trace, steps=(listed,), pieces=turn.trace.pieces[:1])))
    ends = await room.service.chat.ends(turn)
    place = Place(turn.id, 0, "probability", 1)
    modal = WhatIf(Probes(room.service), explanation, place, ends, show=None)  # type: ignore[arg-type]
    offered = [int(option.value) for option in modal._choice.options]
    assert offered == [c.id for c in step.top[:4] if c.id != step.id]


async def test_shared_panels_are_stepped_by_all_and_probed_by_the_opener(room: Room) -> None:
    reply = await room.ask(room.alice, "Name a colour.")
    panel = await (await room.alice.slash("explain", room.channel, message=reply.jump_url, step=0)).answer()
    shared = await (await room.alice.press(panel, "Share")).answer()
    assert not shared.ephemeral and not shared.pinged
    await (await room.bob.press(shared, "▶")).shows(lambda m: "Step 1 of" in m.text)
    assert "Only the person who opened" in (await room.bob.press(shared, "Prove it")).text


async def test_continue_from_here(room: Room) -> None:
    first = await room.ask(room.alice, "Say one.")
    await room.follow(room.alice, "Say two.", first)
    asked = await room.bob.menu("Continue from here", first)
    done = await room.bob.submit(asked, **{"What do you say after this reply?": "Say three."})
    reply = await done.shows(finished, timeout=40)
    said = [text for role, text in await room.read_by_model(reply) if role == "user"]
    assert said == ["Say one.", "Say three."]


async def prompt_of(room: Room, reply: Message) -> str:
    """What the model was given for a reply, token by token."""
    await asyncio.gather(*room.service.tasks)
    store = room.service.chat.store
    turn = await store.turn(await store.turn_of_discord_message(reply.id) or 0)
    return b"".join(turn.prompt_pieces).decode()


async def test_system_prompts_count_from_the_next_message(room: Room) -> None:
    first = await room.ask(room.alice, "Hi!")
    refused = await room.alice.slash("system set", room.channel, text="You are a pirate.")
    assert "Manage Messages" in refused.text
    owner = room.double.person("owner")
    await owner.slash("system set", room.channel, text="You are a pirate.")
    assert "pirate" in (await room.alice.slash("system show", room.channel)).text
    await owner.slash("system set", room.channel, text="Be kind. " * 400)
    shown = await (await room.alice.slash("system show", room.channel)).answer()
    assert shown.content.endswith("…\n```") and shown.attachments[0].data.decode() == "Be kind. " * 400
    await owner.slash("system set", room.channel, text="You are a pirate.")
    second = await room.follow(room.alice, "Who are you?", first)
    assert (await room.read_by_model(second))[0] == ("system", "You are a pirate.")
    thread = room.double.thread(room.channel, "talk", room.alice)
    elsewhere = room.double.channel(f"{room.channel.name}-other")
    for place, told in ((room.channel, True), (thread, True), (elsewhere, False), (room.bob.dm, False)):
        asked = await room.bob.mention_bot(place, "And who are you here?")
        prompt = await prompt_of(room, await room.double.reply_to(asked, finished, timeout=40))
        assert ("You are a pirate." in prompt) is told and ("helpful assistant" in prompt) is not told
    await owner.slash("system clear", room.channel)
    assert "As configured" in (await room.alice.slash("system show", room.channel)).text


async def test_a_thread_that_has_no_prompt_any_more_has_its_channels(room: Room) -> None:
    owner, thread = room.double.person("owner"), room.double.thread(room.channel, "talk", room.alice)
    await room.alice.slash("system set", thread, text="Of the thread.")
    assert "as configured again" in (await room.alice.slash("system clear", thread)).text
    await owner.slash("system set", room.channel, text="Of the channel.")
    await room.alice.slash("system set", thread, text="Of the thread.")
    assert "what is set for its channel" in (await room.alice.slash("system clear", thread)).text
    assert "Of the channel." in (await room.alice.slash("system show", thread)).text


async def test_settings_are_bounded_by_the_server(room: Room) -> None:
    owner = room.double.person("owner")
    await owner.slash("admin limits", room.channel, tokens=16)
    refused = await owner.slash("settings set", room.channel, max_tokens=400)
    assert "at most 16" in refused.text
    shown = await owner.slash("settings set", room.channel, temperature=0.5, seed=7)
    assert "0.5" in shown.text and "7" in shown.text and "16" in shown.text
    reply = await room.ask(room.alice, "Hi!")
    store = room.service.chat.store
    await room.read_by_model(reply)
    turn = await store.turn(await store.turn_of_discord_message(reply.id) or 0)
    assert (turn.seed, turn.sampling.temperature, turn.sampling.max_tokens) == (7, 0.5, 8)
    await owner.slash("settings reset", room.channel)
    await owner.slash("admin limits", room.channel, tokens=0)


async def test_model_shows_and_completes(room: Room) -> None:
    assert "answers here" in (await room.alice.slash("model", room.channel)).text
    names = [c["value"] for c in await room.alice.complete("model", "use", "", room.channel)]
    (path,) = room.service.chat.models
    assert names == [Path(path).stem]  # where its file lies is nobody's business
    owner = room.double.person("owner")
    said = [
        await room.alice.slash("model", room.channel),
        await room.alice.slash("model", room.channel, use="none"),
        await owner.slash("model", room.channel, use=names[0]),
        await owner.slash("admin model", room.channel, name=names[0], action="allow"),
        await owner.slash("admin model", room.channel, name=names[0], action="remove"),
        await owner.slash("admin status", room.channel),
    ]
    for each in said:
        text = (await each.answer()).text
        assert names[0] in text or "all" in text
        assert str(Path(path).parent) not in text


async def test_sessions_are_shown_renamed_exported_and_ended(room: Room) -> None:
    await room.ask(room.alice, "Hi!")
    shown = await (await room.alice.slash("session show", room.channel)).answer()
    assert "1 reply," in shown.text
    await room.alice.slash("session rename", room.channel, title="A greeting")
    file = await (await room.alice.slash("session export", room.channel)).answer()
    assert b"Hi!" in file.attachments[0].data
    assert "theirs alone" in (await (await room.alice.slash("session review", room.channel)).answer()).text
    ended = await (await room.alice.slash("session end", room.channel)).answer()
    assert "has ended" in ended.text


async def test_privacy_and_opting_out(room: Room) -> None:
    assert "What is kept" in (await room.alice.slash("privacy", room.channel)).text
    told = await room.alice.slash("privacy", room.channel, mine="keep nothing", here="keep nothing")
    assert re.search(r"anywhere: keep nothing.*\nChanging that here needs", (await told.answer()).text)
    store = room.service.chat.store
    before = await store.latest_turn()
    asked = await room.alice.mention_bot(room.channel, "My secret is a violet kite.")
    reply = await room.double.reply_to(asked, lambda m: labels(m) == [] and len(m.revisions) > 1, timeout=40)
    assert words(reply) and await store.latest_turn() == before
    assert await store.message_of_discord(asked.id) is None
    told = await room.bob.say(room.channel, f"{room.double.bot_mention} What did she say?", reply_to=asked)
    other = await room.double.reply_to(told, finished, timeout=40)
    assert all("violet kite" not in text for _, text in await room.read_by_model(other))
    await room.alice.slash("privacy", room.channel, mine="keep")


async def test_forget_erases_and_gives_a_receipt(room: Room) -> None:
    reply = await room.ask(room.alice, "My secret is a silver spoon.")
    await (await room.alice.press(reply, "👍")).shows(lambda m: "👍" in m.text)
    data = await (await room.alice.slash("export-my-data", room.channel)).answer()
    exported = json.loads(data.attachments[0].data)
    assert exported["person"] == str(room.alice.id) and "silver spoon" in exported["turns"][0]["asked"]
    assert [(each["text"], each["discord_message"]) for each in exported["messages"]] == [
        ("My secret is a silver spoon.", str(reply.reference.id if reply.reference else 0))
    ]
    assert [each["value"] for each in exported["thumbs"]] == [1]
    asked = await (await room.alice.slash("forget", room.channel)).answer()
    done = await room.alice.press(asked, "Erase everything of mine")
    receipt = await done.shows(lambda m: "Erased" in m.text, timeout=40)
    assert "1 message of yours" in receipt.text
    again = await (await room.alice.slash("export-my-data", room.channel)).answer()
    assert json.loads(again.attachments[0].data)["turns"] == []


async def test_blocked_people_and_channels_are_not_answered(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = room.double.person("owner")
    await owner.slash("admin user", room.channel, user=room.alice, action="block")
    silent = await room.alice.mention_bot(room.channel, "Hello?")
    reply = await room.ask(room.bob, "Hello!")
    assert all(m.reference is not silent for m in room.double.said(room.channel)) and finished(reply)
    await owner.slash("admin user", room.channel, user=room.alice, action="allow")
    assert finished(await room.ask(room.alice, "Hello again!"))
    with pytest.raises(AssertionError, match="not offered"):
        await room.alice.slash("admin status", room.channel)
    status = await (await owner.slash("admin status", room.channel)).answer()
    assert "tokens a second" in status.text and "model" in status.text
    monkeypatch.setattr(room.service.chat.speaker.engine._worker, "trouble", "off since 12:00")
    troubled = await (await owner.slash("admin status", room.channel)).answer()
    monkeypatch.undo()
    assert "engine    " not in status.text and "engine    off since 12:00" in troubled.text


async def test_always_answer_channels(room: Room) -> None:
    owner = room.double.person("owner")
    await owner.slash("admin channel", room.channel, channel=room.channel, action="always answer")
    await owner.say(room.channel, "@everyone Lunch at one.")  # people, and not the bot
    reply = await room.double.reply_to(await room.alice.say(room.channel, "Hello there"), finished, timeout=40)
    assert reply.channel is room.channel and room.double.said(room.channel) == [reply]


async def test_stop_help_and_a_step_of_the_tour(room: Room) -> None:
    assert "not writing anything" in (await room.alice.slash("stop", room.channel)).text
    assert "/explain" in (await room.alice.slash("help", room.channel)).text
    toured = await (await room.alice.slash("tour", room.channel, step=1)).answer(60)
    assert "1 of 8" in toured.text


async def test_commands_that_a_host_has_removed_meanwhile_are_synced_again(room: Room) -> None:
    rest = room.double.rest
    before = rest.syncs
    assert not await sync_if_changed(room.bot) and rest.syncs == before
    rest.commands[None].pop()
    assert await sync_if_changed(room.bot) and not await sync_if_changed(room.bot)
    owner = room.double.person("owner")
    shown = await (await owner.slash("admin sync", room.channel)).answer()
    assert rest.syncs == before + 2 and re.search(r"my \d+ commands and menus, the ones it was told", shown.text)
    room.double.fail("PUT", "/commands$", 400)
    refused = await (await owner.slash("admin sync", room.channel)).answer()
    assert "did not take my commands" in refused.text
    rest.syncs = before


async def test_commands_are_synced_once_and_presence_shows_the_model(room: Room) -> None:
    assert room.double.rest.syncs == 1
    await room.double.until(lambda: room.double.gateway.presence, timeout=40)
    assert "SmolLM2" in json.dumps(room.double.gateway.presence)
