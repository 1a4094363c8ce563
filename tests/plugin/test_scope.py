"""What a message continues, as configured for channels, threads and direct messages."""

from typing import Any

from discord_double import Channel, Double, Message, Person
from house import finished

SHORT = {"max_tokens": 4, "temperature": 0.0}


async def read(bot: Any, double: Double, who: Person, where: Channel, text: str) -> list[str]:
    """Ask, and what of people's messages the model was given."""
    asked = await who.mention_bot(where, text)
    reply: Message = await double.reply_to(asked, finished, timeout=40)
    turn = await bot.service.turn_shown(reply.id, where.id)
    full = await bot.service.chat.store.turn(turn)
    said = await bot.service.chat.store.conversation(full.prompt_message)
    return [m.text for m in said if m.role == "user"]


async def test_every_surface_as_it_is_not_by_default(double: Double, started: Any) -> None:
    scopes = {"in_channels": "recent", "in_threads": "replies", "in_direct": "replies"}
    async with started(sampling=SHORT, discord=scopes) as bot:
        alice, bob = double.person("alice"), double.person("bob")
        thread = double.thread(double.general, "talk", alice)
        await read(bot, double, alice, double.general, "One.")
        await bob.say(double.general, "Nothing to do with it.")
        assert await read(bot, double, bob, double.general, "Two.") == ["One.", "Two."]
        await read(bot, double, alice, thread, "Three.")
        assert await read(bot, double, alice, thread, "Four.") == ["Four."]
        await read(bot, double, alice, alice.dm, "Five.")
        assert await read(bot, double, alice, alice.dm, "Six.") == ["Six."]


async def test_a_channel_read_whole(double: Double, started: Any) -> None:
    async with started(sampling=SHORT, discord={"in_channels": "all"}) as bot:
        alice, bob = double.person("alice"), double.person("bob")
        await bob.say(double.general, "The sky is green.")
        assert await read(bot, double, alice, double.general, "Is it?") == ["The sky is green.", "Is it?"]


async def test_limits_as_configured_and_per_server(double: Double, started: Any) -> None:
    async with started(sampling=SHORT, discord={"at_once": 1, "per_minute": 1}) as bot:
        alice, bob, owner = double.person("alice"), double.person("bob"), double.person("owner")
        await read(bot, double, alice, double.general, "One.")
        refused = await double.reply_to(await alice.mention_bot(double.general, "Two."))
        assert "ask again in" in refused.content
        await double.commands_synced()
        shown = await (await owner.slash("admin limits", double.general, per_person=2)).answer()
        assert "2 replies a minute for each person" in shown.text
        await read(bot, double, bob, double.general, "One.")
        await read(bot, double, bob, double.general, "Two.")
        assert "ask again in" in (await double.reply_to(await bob.mention_bot(double.general, "Three."))).content
