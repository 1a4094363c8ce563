"""Commands, components and permissions on simcord: no wire, no clock, no model."""

import json
from types import SimpleNamespace
from typing import Any

import discord
import glasshead.plugin
import pytest
from discord.ext import commands
from glasshead.config import Settings
from glasshead.errors import UserError
from glasshead.plugin.presenter import hidden_thought
from scripted import OTHER
from simcord.components import walk_components
from simcord.results import InteractionResult
from simulated import Place, words
from store.making import MODEL

pytestmark = pytest.mark.simcord(check_errors=False, settle_timeout=30)
SAID = "Well, then."


# who may do what

CHANGES: dict[str, dict[str, Any]] = {
    "settings set": {"temperature": 0.5},
    "settings reset": {},
    "system set": {"text": "Be brief."},
    "system clear": {},
    "model": {"use": OTHER},
    "privacy": {"here": "keep nothing"},
}


@pytest.mark.parametrize("command", CHANGES)
async def test_what_changes_a_channel_is_for_those_who_manage_it(place: Place, command: str) -> None:
    assert "Manage Messages" in await place.tell(place.alice, command, **CHANGES[command])
    assert "Manage Messages" not in await place.tell(place.carol, command, **CHANGES[command])


@pytest.mark.parametrize(
    "command", ["settings show", "system show", "model", "privacy", "help", "stop", "session show"]
)
async def test_what_only_shows_is_for_everybody_and_seen_by_one(place: Place, command: str) -> None:
    result = await place.alice.slash(place.channel, command)
    assert words(result) and result.ephemeral


async def test_administration_is_offered_to_those_who_manage_the_server(place: Place) -> None:
    assert "admin status" in place.dave.available_commands(place.channel)
    assert not [name for name in place.carol.available_commands(place.channel) if name.startswith("admin")]


async def test_administration_opened_to_others_by_mistake_is_refused_once(place: Place) -> None:
    commands = await place.bot.tree.fetch_commands()
    admin = next(command for command in commands if command.name == "admin")
    place.guild.set_command_permissions(admin, {place.alice: True})
    assert await place.tell(place.alice, "admin status") == "That needs the permission **Manage Server**."


async def test_a_session_is_renamed_and_ended_by_whoever_began_it_or_manages_messages(place: Place) -> None:
    await place.ask(place.alice)
    assert "Manage Messages" in await place.tell(place.bob, "session rename", title="Mine")
    assert "called *Ours*" in await place.tell(place.alice, "session rename", title="Ours")
    assert "Manage Messages" in await place.tell(place.bob, "session end")
    assert "has ended" in await place.tell(place.carol, "session end")
    assert "nothing to end" in await place.tell(place.alice, "session end")
    await place.ask(place.alice)
    assert "Session 2 has ended" in await place.tell(place.alice, "session end")


async def test_who_asked_keeps_the_buttons_when_somebody_else_has_pressed_retry(place: Place) -> None:
    reply = await place.ask(place.alice)
    for who in (place.carol, place.alice):
        await who.click(place.said(), label="Retry")
    assert len(place.chat.requests) == 3 and place.said().id == reply.id


async def test_buttons_check_who_presses(place: Place) -> None:
    reply = await place.ask(place.alice)
    refused = await place.bob.click(reply, label="Retry")
    assert "Only the person who asked" in refused.followups[0].content and len(place.chat.requests) == 1
    await place.carol.click(reply, label="Retry")
    assert len(place.chat.requests) == 2
    labels = [c.label for row in place.said().components for c in row.children]  # type: ignore[union-attr]
    assert labels[-3:] == ["◀", "2/2", "▶"]


async def test_a_retry_that_cannot_begin_leaves_the_reply_as_it_is(place: Place) -> None:
    asked = await place.alice.send(place.channel, f"{place.mention} Hello")
    reply = place.said()

    async def refuse(*_: Any) -> None:
        raise UserError("the message does not fit")

    answer = place.chat._answer_to
    place.chat._answer_to = refuse  # type: ignore[method-assign]
    refused = await place.alice.click(reply, label="Retry")
    place.chat._answer_to = answer  # type: ignore[method-assign]
    assert refused.followups[0].content == "The message does not fit."
    await place.alice.delete(asked)
    refused = await place.alice.click(place.said(), label="Retry")
    assert refused.followups[0].content == "What that reply answered was erased."
    assert SAID in place.said().content and len(place.chat.requests) == 1


async def test_who_asks_while_the_bot_is_being_stopped_is_told(place: Place) -> None:
    assert place.bot.service is not None
    place.bot.service.closing = True
    assert "I am just being stopped" in await place.tell(place.alice, "chat", text="Hello")
    assert not place.chat.requests


# bounds


async def test_what_the_server_bounds_cannot_be_exceeded_in_a_channel(place: Place) -> None:
    await place.tell(place.dave, "admin limits", tokens=20)
    assert "max_tokens at most 20, not 21" in await place.tell(place.carol, "settings set", max_tokens=21)
    assert "20" in await place.tell(place.carol, "settings set", max_tokens=20)
    await place.tell(place.dave, "admin limits", tokens=10)
    await place.ask(place.alice)
    sampling = place.chat.requests[-1].sampling
    assert sampling is not None and sampling.max_tokens == 10


async def test_models_are_those_the_server_offers(place: Place) -> None:
    async def offered(typed: str) -> list[str]:
        return [c["value"] for c in await place.carol.autocomplete(place.channel, "model", "use", typed)]

    assert await offered("") == [MODEL.name, OTHER] and await offered("ANO") == [OTHER]
    await place.tell(place.dave, "admin model", name=OTHER, action="allow")
    assert "No model of that name" in await place.tell(place.carol, "model", use=MODEL.name)
    await place.tell(place.carol, "model", use=OTHER)
    await place.ask(place.alice)
    assert place.chat.requests[-1].model == OTHER


async def test_who_asks_too_much_is_told_however_they_ask(place: Place) -> None:
    await place.tell(place.dave, "admin limits", per_person=2)
    reply = await place.ask(place.alice)
    await place.ask(place.alice)
    told = await place.ask(place.alice)
    assert "ask again in" in told.content
    await place.alice.send(place.channel, f"{place.mention} Well?")  # who has been told is not told again
    assert [m.id for m in place.channel.history() if "ask again in" in m.content] == [told.id]
    assert "ask again in" in await place.tell(place.alice, "chat", text="Hello")
    assert "ask again in" in (await place.alice.click(reply, label="Retry")).followups[0].content
    assert len(place.chat.requests) == 2
    await place.env.advance_time(60)
    assert (await place.ask(place.bob)).content == SAID


async def test_who_is_blocked_gets_no_reply_by_any_way(place: Place) -> None:
    reply = await place.ask(place.alice)
    await place.tell(place.dave, "admin user", user=place.alice, action="block")
    await place.alice.send(place.channel, f"{place.mention} Hello?")
    assert "have not let me" in await place.tell(place.alice, "chat", text="Hello")
    assert "have not let me" in (await place.alice.click(reply, label="Retry")).followups[0].content
    assert len(place.chat.requests) == 1


async def test_roles_are_allowed_and_blocked(place: Place) -> None:
    moderator = place.guild.roles["moderator"]
    assert "everybody, but not <@&" in await place.tell(place.dave, "admin role", role=moderator, action="block")
    assert "have not let me" in await place.tell(place.carol, "chat", text="Hello")
    assert SAID in await place.tell(place.alice, "chat", text="Hello")
    shown = await place.tell(place.dave, "admin role", role=moderator, action="allow")
    assert "everybody" not in shown and "but not" not in shown
    assert SAID in await place.tell(place.carol, "chat", text="Hello")
    assert "have not let me" in await place.tell(place.alice, "chat", text="Hello")
    assert (
        await place.tell(place.dave, "admin role", role=moderator, action="remove") == "May talk to me: everybody."
    )


async def test_a_thread_or_a_whole_category_is_blocked_like_a_channel(place: Place) -> None:
    thread = await place.thread_on(await place.ask(place.alice))
    await place.tell(place.dave, "admin channel", channel=thread, action="block")
    await place.alice.send(thread, f"{place.mention} Hello?")
    assert len(place.chat.requests) == 1
    await place.ask(place.alice)
    assert len(place.chat.requests) == 2
    await place.tell(place.dave, "admin channel", channel=thread, action="allow")
    await place.alice.send(thread, f"{place.mention} Hello?")
    assert len(place.chat.requests) == 3
    category = place.guild.create_category("work")
    within = place.guild.create_text_channel("within", category=category)
    await place.tell(place.dave, "admin channel", channel=category, action="block")
    await place.alice.send(within, f"{place.mention} Hello?")
    assert len(place.chat.requests) == 3


async def test_the_bots_owner_blocks_somebody_everywhere(place: Place) -> None:
    assert "Only the bot's owner" in await place.tell(
        place.dave, "admin user", user=place.alice, action="block everywhere"
    )
    place.bot.owner_id = place.dave.id
    await place.tell(place.dave, "admin user", user=place.alice, action="block everywhere")
    await place.alice.send_dm("Hello?")
    await place.alice.send(place.channel, f"{place.mention} Hello?")
    assert not place.chat.requests
    await place.tell(place.dave, "admin user", user=place.alice, action="allow")
    assert SAID in (await place.ask(place.alice)).content


# what is kept


async def test_the_privacy_notice_stands_with_the_first_reply_also_to_a_command(place: Place) -> None:
    assert "First time here" in await place.tell(place.alice, "chat", text="Hello")
    assert "First time here" not in (await place.ask(place.bob)).content


async def test_of_who_opted_out_nothing_is_kept_whatever_they_press(place: Place) -> None:
    reply = await place.ask(place.bob, "My dog is called Rex.")
    await place.tell(place.alice, "privacy", mine="keep nothing")
    kept = await place.chat.store.latest_turn()
    await place.ask(place.alice, "My secret is a kite.", reply_to=reply)
    assert place.chat.heard[-1][1:] == [("user", "My secret is a kite.")]
    assert (
        "nothing is to be kept" in (await place.alice.click(reply, custom_id="glasshead:up:1")).followups[0].content
    )
    assert SAID in await place.tell(place.alice, "chat", text="Another secret.")
    assert await place.chat.store.latest_turn() == kept
    await place.ask(place.bob, "What did she say?", reply_to=place.said())
    assert all("secret" not in text for _, text in place.chat.heard[-1])


async def test_what_somebody_said_before_opting_out_is_context_for_nobody(place: Place) -> None:
    first = await place.ask(place.alice, "My secret is a kite.")
    second = await place.ask(place.bob, "My dog is called Rex.", reply_to=first)
    await place.tell(place.alice, "privacy", mine="keep nothing")
    await place.ask(place.bob, "And now?", reply_to=second)
    heard = [text for _, text in place.chat.heard[-1][1:]]
    assert heard == ["My dog is called Rex.", SAID, "And now?"]
    await place.tell(place.alice, "privacy", mine="keep")
    await place.ask(place.bob, "And again?", reply_to=second)
    assert "My secret is a kite." in [text for _, text in place.chat.heard[-1]]


async def test_forget_asks_once_more_and_gives_a_receipt(place: Place) -> None:
    await place.ask(place.alice, "My secret is a silver spoon.")
    asked = await place.alice.slash(place.channel, "forget")
    assert asked.response is not None and asked.ephemeral
    await place.alice.click(asked.response, label="Erase everything of mine")
    assert asked.response is not None and "1 message of yours, 1 reply" in asked.response.content
    data = await place.alice.slash(place.channel, "export-my-data")
    assert data.response is not None and data.response.attachments
    exported = json.loads(await data.response.attachments[0].read())
    assert exported["turns"] == []


# conversations


async def test_what_was_erased_is_not_gone_on_with_and_that_is_said(place: Place) -> None:
    reply = await place.ask(place.alice, "My secret is a silver spoon.")
    asked = await place.alice.slash(place.channel, "forget")
    assert asked.response is not None
    await place.alice.click(asked.response, label="Erase everything of mine")
    refused = await place.bob.context_menu(place.channel, "Continue from here", reply)
    assert refused.modal is None and "was erased" in words(refused)
    await place.ask(place.bob, "And then?", reply_to=reply)
    assert place.asked()[-1] == "And then?" and "was not read" in place.said().content


async def test_who_has_opted_out_cannot_go_on_with_what_is_kept(place: Place) -> None:
    reply = await place.ask(place.alice, "One.")
    await place.tell(place.bob, "privacy", mine="keep nothing")
    refused = await place.bob.context_menu(place.channel, "Continue from here", reply)
    assert refused.modal is None and "/privacy" in words(refused)


async def test_a_session_in_a_channel_is_ones_own(place: Place) -> None:
    await place.ask(place.alice, "Of cats.")
    await place.ask(place.bob, "Of dogs.")
    assert "Of cats." in await place.tell(place.alice, "session show")
    assert "is now called *Cats*" in await place.tell(place.alice, "session rename", title="Cats")
    assert "Of dogs." in await place.tell(place.carol, "session show")


async def test_continue_from_here(place: Place) -> None:
    reply = await place.ask(place.alice, "One.")
    await place.ask(place.alice, "Two.", reply_to=reply)
    shown = await place.bob.context_menu(place.channel, "Continue from here", reply)
    assert shown.modal is not None
    field = shown.modal["components"][0]["component"]["custom_id"]
    await place.bob.submit_modal(shown, {field: "Three."})
    assert [text for _, text in place.chat.heard[-1][1:]] == ["One.", SAID, "Three."]


async def test_what_is_forwarded_is_read(place: Place) -> None:
    said = await place.bob.send(place.channel, "The moon is made of cheese.")
    await place.alice.forward(said, place.alice_alone)
    assert "[forwarded]\nThe moon is made of cheese." in place.chat.heard[-1][-1][1]


async def test_a_thread_on_a_reply_goes_on_from_it(place: Place) -> None:
    reply = await place.ask(place.alice, "My cat is called Tom.")
    channel = await place.thread_on(reply)
    await place.bob.send(channel, "And mine Jerry.")
    await place.alice.send(channel, f"{place.mention} Who is who?")
    texts = [text for _, text in place.chat.heard[-1][1:]]
    assert texts == ["My cat is called Tom.", SAID, "And mine Jerry.", SAID, "Who is who?"]


async def test_a_thread_on_somebodys_message_begins_with_it(place: Place) -> None:
    said = await place.bob.send(place.channel, "Cats are best.")
    channel = await place.thread_on(said)
    await place.alice.send(channel, f"{place.mention} Is that so?")
    assert [text for _, text in place.chat.heard[-1][1:]] == ["Cats are best.", "Is that so?"]
    await place.bob.delete(said)
    await place.alice.send(channel, f"{place.mention} And now?")
    assert "Cats are best." not in [text for _, text in place.chat.heard[-1]]


async def test_a_thread_stays_one_conversation_whoever_speaks_and_however(place: Place) -> None:
    thread = await place.thread_on(await place.bob.send(place.channel, "Zero."))
    await place.alice.send(thread, f"{place.mention} One.")
    aside = await place.bob.send(thread, "Two.")
    await place.alice.send(thread, f"{place.mention} Three.", reply_to=aside)
    assert place.asked() == ["Zero.", "One.", "Two.", "Three."]
    await place.bob.send(thread, "Four.")
    await place.bob.slash(thread, "chat", text="Five.")
    assert place.asked() == ["Zero.", "One.", "Two.", "Three.", "Four.", "Five."]
    old = next(message for message in thread.history() if message.content == SAID)
    await place.bob.send(thread, f"{place.mention} Six.", reply_to=old)
    assert place.asked() == ["Zero.", "One.", "Two.", "Three.", "Four.", "Five.", "Six."]


async def test_a_command_begins_with_what_was_said_in_the_thread(place: Place) -> None:
    thread = await place.thread_on(await place.bob.send(place.channel, "Zero."))
    await place.bob.send(thread, "One.")
    await place.alice.slash(thread, "chat", text="Two.")
    assert place.asked() == ["Zero.", "One.", "Two."]
    await place.tell(place.alice, "privacy", mine="keep nothing")
    await place.bob.send(thread, "Three.")
    await place.alice.slash(thread, "chat", text="Four.")
    assert place.asked() == ["Four."]


async def test_retry_answers_a_message_as_it_reads_now(place: Place) -> None:
    asked = await place.alice.send(place.channel, f"{place.mention} My cat is called Tom.")
    await place.alice.edit(asked, f"{place.mention} My cat is called Jerry.")
    await place.alice.click(place.said(), label="Retry")
    assert place.asked() == ["My cat is called Jerry."]
    buttons = [c.label for row in place.said().components for c in row.children]  # type: ignore[union-attr]
    assert buttons[-3:] == ["◀", "2/2", "▶"]


async def test_retry_of_a_command_rereads_what_is_above_it(place: Place) -> None:
    asked = await place.alice.send(place.channel, f"{place.mention} My cat is called Tom.")
    await place.alice.slash(place.channel, "chat", text="And now?")
    await place.alice.slash(place.channel, "chat", text="And now?")
    last = place.said()
    await place.alice.edit(asked, f"{place.mention} My cat is called Jerry.")
    for _ in range(2):
        await place.alice.click(last, label="Retry")
        assert place.asked() == ["My cat is called Jerry.", "And now?", "And now?"]
    buttons = [c.label for row in place.said().components for c in row.children]  # type: ignore[union-attr]
    assert buttons[-3:] == ["◀", "3/3", "▶"]
    await place.alice.slash(place.channel, "chat", text="Well?")
    assert place.asked() == ["My cat is called Jerry.", "And now?", "And now?", "Well?"]


async def test_a_version_chosen_in_the_middle_is_what_the_model_reads(place: Place) -> None:
    asked = await place.alice.send(place.channel, f"{place.mention} My cat is called Tom.")
    first = place.said()
    place.chat.says = "Meow."
    second = await place.ask(place.alice, "And my dog?", reply_to=first)
    await place.alice.edit(asked, f"{place.mention} My cat is called Jerry.")
    place.chat.says = "Purr."
    await place.alice.click(first, label="Retry")
    place.chat.says = "Woof."
    await place.alice.click(second, label="Retry")
    assert place.chat.heard[-1][1:] == [
        ("user", "My cat is called Jerry."),
        ("assistant", "Purr."),
        ("user", "And my dog?"),
    ]
    await place.alice.click(first, label="◀")
    await place.alice.click(second, label="◀")
    await place.ask(place.alice, "Well?", reply_to=second)
    read = [text for _, text in place.chat.heard[-1][1:]]
    shown = {message.id: message.content for message in place.channel.history()}
    assert [shown[first.id], shown[second.id]] == [SAID, "Meow."]
    assert read == ["My cat is called Jerry.", SAID, "And my dog?", "Meow.", "Well?"]


async def test_a_retry_in_the_middle_of_a_thread_does_not_move_its_end(place: Place) -> None:
    thread = await place.thread_on(await place.bob.send(place.channel, "Zero."))
    asked = await place.alice.send(thread, f"{place.mention} One.")
    first = place.said(thread)
    place.chat.says = "Two it is."
    await place.alice.send(thread, f"{place.mention} Two.")
    await place.alice.edit(asked, f"{place.mention} Eins.")
    place.chat.says = "One it is."
    await place.alice.click(first, label="Retry")
    await place.alice.send(thread, f"{place.mention} Three.")
    read = [text for _, text in place.chat.heard[-1][1:]]
    assert read == ["Zero.", "Eins.", "One it is.", "Two.", "Two it is.", "Three."]


# explanations without a picture


async def test_the_latest_replies_are_offered_by_their_words(place: Place) -> None:
    async def offered(typed: str) -> list[dict[str, Any]]:
        return await place.bob.autocomplete(place.channel, "explain", "message", typed)

    assert await offered("") == []
    for place.chat.says in ("The first.", "The second."):
        await place.ask(place.alice)
    assert [choice["name"] for choice in await offered("")] == ["The second.", "The first."]
    (first,) = await offered("FIRST")
    assert "Turn 1, explained" in text_of(await place.bob.slash(place.channel, "explain", message=first["value"]))


async def test_what_it_thought_is_kept_out_of_the_reply_and_offered_with_it(place: Place) -> None:
    place.chat.thinks = "They greet me. I greet back."
    reply = await place.ask(place.alice)
    assert "greet" not in reply.content
    opened = await place.bob.context_menu(place.channel, "Explain this reply", reply)
    assert opened.response is not None
    shown = await place.bob.click(opened.response, label="What it thought")
    assert "```\nThey greet me. I greet back.\n```" in words(shown)


async def test_a_thought_before_the_reply_hides_no_address(settings: Settings) -> None:
    shown = settings.discord.model_copy(update={"reasoning": "spoiler"})
    service: Any = SimpleNamespace(settings=settings.model_copy(update={"discord": shown}))
    assert hidden_thought(service, "See [here](https://evil.example).") == "||See here (<https://evil.example>).||"


async def test_the_panel_steps_through_every_token(place: Place) -> None:
    reply = await place.ask(place.alice)
    opened = await place.bob.context_menu(place.channel, "Explain this reply", reply)
    assert opened.ephemeral and opened.response is not None
    await place.bob.click(opened.response, custom_id=button(opened, "first"))
    assert opened.response is not None
    for step in range(11):
        assert f"Step {step} (of 0 to 11)" in text_of(opened)
        await place.bob.click(opened.response, custom_id=button(opened, "next"))
    assert "Step 11 (of 0 to 11)" in text_of(opened)


def button(shown: InteractionResult, verb: str) -> str:
    assert shown.response is not None
    every = (c for c in walk_components(shown.response.components) if f":{verb}:" in c.get("custom_id", ""))
    return str(next(every)["custom_id"])


def text_of(shown: InteractionResult) -> str:
    assert shown.response is not None
    return "\n".join(c["content"] for c in walk_components(shown.response.components) if c["type"] == 10)


# in somebody else's bot


async def test_a_host_with_a_command_of_the_same_name_is_told_and_left_as_it_is(settings: Settings) -> None:
    host = commands.Bot("!", intents=discord.Intents.default())

    @host.tree.command(name="help", description="The host's own.")
    async def own(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("mine")

    with pytest.raises(UserError, match="command /help of its own"):
        await glasshead.plugin.load(host, settings)
    assert host.tree.get_commands() == [own] and not host.cogs
