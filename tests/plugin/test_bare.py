"""The main flow on a Discord that says as little as it may: see `discord_double.bare`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from discord_double import Double, Message, double, gateway
from discord_double.bare import bared
from discord_double.launch import point
from glasshead.plugin.client import Client
from house import finished, labels, logged_in, made_settings


@pytest.fixture
async def bare(pointed: None) -> AsyncIterator[Double]:
    async with Double(bare=True) as server:
        point(server.url)
        server.limits.rules.clear()  # those it has are the other test's business
        yield server


@pytest.fixture
async def bot(bare: Double, tmp_path: Path, shallow_path: Path, shared_model: None) -> AsyncIterator[Client]:
    short = {"max_tokens": 4, "temperature": 0.0}
    bot = Client(made_settings(tmp_path, shallow_path, sampling=short), message_content=True)
    async with logged_in(bot, bare):
        yield bot


async def test_talk_explain_and_commands(bare: Double, bot: Client) -> None:
    alice, bob, here = bare.person("alice"), bare.person("bob"), bare.general

    async def answered(asked: Message) -> Message:
        return await bare.reply_to(asked, finished, timeout=40)

    await bare.commands_synced()
    first = await answered(await alice.mention_bot(here, "Say one."))
    second = await answered(await alice.say(here, "Say two.", reply_to=first))
    await bob.say(here, "I think so too.", reply_to=second.reference)
    direct = await answered(await alice.say(alice.dm, "Say three."))
    thread = bare.thread(here, "talk", alice)
    thread.owner_id = bare.world.bot.id
    in_thread = await answered(await alice.say(thread, "Say four."))
    assert bare.said() == [first, second, direct, in_thread]

    panel = await (await bob.menu("Explain this reply", first)).answer()
    assert "explained" in panel.text and panel.attachments and "Share" in labels(panel)
    begun = await bob.slash("explain", here, message=str(first.id), step=0)  # the menu's may be the last one
    stepped = await bob.press(await begun.shows(lambda m: "Step 0 of" in m.text), "⏭")
    await stepped.shows(lambda m: "Step 0 of" not in m.text and "Step" in m.text)
    await (await bob.slash("explain", here, message=str(second.id), step=1)).shows(lambda m: "Step 1 of" in m.text)

    asked = await alice.slash("chat", here, text="Say five.")
    reply = await asked.shows(finished, timeout=40)
    assert asked.messages == [reply] and reply.content.startswith("> Say five.")
    shown = await (await alice.slash("session show", here)).answer()
    assert "Session" in shown.text and not shown.flags & 1 << 7
    owner = bare.person("owner")
    await (await owner.slash("admin status", here)).shows(lambda m: "tokens a second" in m.text)
    assert {r.status for r in bare.rejected} == {400}, "only Components V2 was refused"


async def test_rate_limits_without_a_word_how_long(bare: Double, bot: Client) -> None:
    bare.too_many("POST", "/messages$", 9.0)
    bare.too_many("PATCH", "/messages/", 9.0, times=2)
    asked = await bare.person("alice").mention_bot(bare.general, "Hello!")
    reply = await bare.reply_to(asked, finished, timeout=40)
    assert bare.said() == [reply]


async def test_commands_that_cannot_be_synced_do_not_keep_it_from_talking(
    bare: Double, tmp_path: Path, shallow_path: Path
) -> None:
    bare.fail("PUT", "/commands", 404)
    async with logged_in(Client(made_settings(tmp_path, shallow_path), message_content=True), bare):
        asked = await bare.person("alice").mention_bot(bare.general, "Hello!")
        assert await bare.reply_to(asked, finished, timeout=40)


async def test_a_server_of_which_nothing_is_known_yet(bare: Double, tmp_path: Path, shallow_path: Path) -> None:
    """Its events come, GUILD_CREATE does not: Discord calls the server unavailable."""
    bare.gateway.unsent.add("GUILD_CREATE")
    bot = Client(made_settings(tmp_path, shallow_path, discord={"guilds": (bare.guild.id,)}), message_content=True)
    async with logged_in(bot, bare):
        alice, bob = bare.person("alice"), bare.person("bob")
        first = await bare.reply_to(await alice.mention_bot(bare.general, "Hi."), finished, timeout=40)
        second = await bare.reply_to(await bob.say(bare.general, "Hi.", reply_to=first), finished, timeout=40)
        assert bot.service is not None
        turn = await bot.service.turn_shown(second.id, bare.general.id)
        full = await bot.service.chat.store.turn(turn or 0)
        session = await bot.service.chat.store.session(full.session)
        assert (session.kind, session.guild_id) == ("channel", bare.guild.id)
        assert b"Alice: Hi." in b"".join(full.prompt_pieces)
        await bare.commands_synced()
        assert "Manage Messages" in (await (await bob.slash("settings reset", bare.general)).answer()).text


async def test_an_event_that_cannot_be_read_costs_that_event(bare: Double, bot: Client) -> None:
    bare.gateway.dispatch("MESSAGE_CREATE", {"id": "1", "channel_id": str(bare.general.id)})
    bare.gateway.dispatch("NO_SUCH_EVENT", {})
    asked = await bare.person("alice").mention_bot(bare.general, "Hello!")
    assert await bare.reply_to(asked, finished, timeout=40)


async def test_a_reply_to_a_message_of_ours_that_the_event_calls_unknown(
    bare: Double, bot: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = gateway.bared_event

    def unknown(name: str, data: dict[str, Any]) -> dict[str, Any]:
        out = told(name, data)
        return out | {"referenced_message": None} if "message_reference" in out else out

    monkeypatch.setattr(gateway, "bared_event", unknown)
    alice = bare.person("alice")
    first = await bare.reply_to(await alice.mention_bot(bare.general, "Hello!"), finished, timeout=40)
    assert await bare.reply_to(await alice.say(bare.general, "And?", reply_to=first), finished, timeout=40)


async def test_references_that_say_less_than_discord_does(
    bare: Double, bot: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = gateway.bared_event

    def lesser(name: str, data: dict[str, Any]) -> dict[str, Any]:
        out = told(name, data)
        if name.startswith("MESSAGE_"):
            reference = out.get("message_reference", {})
            out["message_reference"] = {key: id for key, id in reference.items() if key == "message_id"}
        return out

    monkeypatch.setattr(gateway, "bared_event", lesser)
    monkeypatch.setattr(double, "bared", lambda value: unsaid(bared(value)))
    alice = bare.person("alice")
    first = await bare.reply_to(await alice.mention_bot(bare.general, "Hello!"), finished, timeout=40)
    assert await bare.reply_to(await alice.say(bare.general, "And?", reply_to=first), finished, timeout=40)
    thread = bare.thread(bare.general, "talk", alice)
    await alice.say(thread, "What was said before cannot be read.")
    assert await bare.reply_to(await alice.mention_bot(thread, "Hello!"), finished, timeout=40)
    bot.dispatch("ready")
    assert bot.service is not None
    await asyncio.gather(*bot.service._later)


def unsaid(value: Any) -> Any:
    """A list of messages as some servers give it: each refers to nothing."""
    return [each | {"message_reference": {}} for each in value] if isinstance(value, list) else value
