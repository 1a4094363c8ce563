"""The loopback Discord itself, driven by a plain discord.py client: messages, permissions, the gateway, limits."""

import asyncio
import io

import discord
import pytest
import yarl
from discord_double import Double, Permission
from plain import Plain, running


async def test_login_and_cache(double: Double) -> None:
    async with running(Plain(), double) as client:
        assert client.user is not None and client.user.name == "glasshead"
        guild = client.get_guild(double.guild.id)
        assert guild is not None and guild.me.id == client.user.id
        assert guild.get_channel(double.general.id) is not None
        assert guild.get_member(double.owner.id) is not None
        assert (await client.application_info()).owner.id == double.owner.id
        assert yarl.URL(double.url).port == double.port


async def test_a_wrong_token_is_refused(double: Double) -> None:
    client = Plain()
    with pytest.raises(discord.LoginFailure):
        await client.start("wrong")
    await client.close()


async def test_messages_go_both_ways(double: Double) -> None:
    alice = double.person("alice")
    async with running(Plain(), double) as client:
        said = await alice.say(double.general, "hello there")
        heard = await asyncio.wait_for(_heard(client, said.id), 5)
        assert heard.content == "hello there" and heard.author.display_name == "Alice"
        await heard.channel.typing()
        reply = await heard.reply("hi", file=discord.File(io.BytesIO(b"data"), "note.txt"))
        seen = await double.reply_to(said)
        assert seen.content == "hi" and seen.attachments[0].data == b"data"
        assert await reply.attachments[0].read() == b"data"
        await reply.edit(content="hi again", suppress=False)
        assert [text for _, text in seen.revisions] == ["hi", "hi again"] and seen.attachments
        await reply.add_reaction("👍")
        assert seen.reactions == {"👍": [double.world.bot.id]}
        await reply.delete()
        assert seen.deleted and not double.said()
        assert [channel for _, channel in double.typing] == [double.general]


async def _heard(client: Plain, message_id: int) -> discord.Message:
    for message in client.heard:
        if message.id == message_id:
            return message
    return await client.wait_for("heard", check=lambda m: m.id == message_id)


async def test_direct_messages(double: Double) -> None:
    alice = double.person("alice")
    async with running(Plain(), double) as client:
        said = await alice.say(alice.dm, "psst")
        heard = await _heard(client, said.id)
        assert isinstance(heard.channel, discord.DMChannel)
        await heard.channel.send("yes?")
        assert (await double.wait_for(lambda m: m.content == "yes?")).channel is alice.dm
        alice.user.blocks_dms = True
        with pytest.raises(discord.Forbidden) as refused:
            await heard.channel.send("still there?")
        assert refused.value.code == 50007


async def test_threads(double: Double) -> None:
    alice = double.person("alice")
    async with running(Plain(), double) as client:
        said = await alice.say(double.general, "let us talk")
        heard = await _heard(client, said.id)
        thread = await heard.create_thread(name="talk")
        await thread.send("here")
        message = await double.wait_for(lambda m: m.content == "here")
        assert message.channel.is_thread and message.channel.owner_id == double.world.bot.id
        answer = await alice.say(message.channel, "ok")
        assert isinstance((await _heard(client, answer.id)).channel, discord.Thread)
        await thread.edit(archived=True)
        assert message.channel.archived


@pytest.mark.parametrize(
    ("allowed", "pinged"),
    [
        (None, {"alice", "everyone"}),
        (discord.AllowedMentions.none(), set()),
        (discord.AllowedMentions(everyone=False, users=True, roles=False), {"alice"}),
        (discord.AllowedMentions(everyone=True, users=False, roles=False), {"everyone"}),
    ],
)
async def test_who_is_pinged(double: Double, allowed: discord.AllowedMentions | None, pinged: set[str]) -> None:
    alice = double.person("alice")
    double.guild.roles[double.guild.id].permissions |= Permission.MENTION_EVERYONE
    async with running(Plain(), double) as client:
        channel = client.get_channel(double.general.id)
        assert isinstance(channel, discord.TextChannel)
        text = f"@everyone {alice.mention}"
        await channel.send(text) if allowed is None else await channel.send(text, allowed_mentions=allowed)
        view = discord.ui.LayoutView()
        view.add_item(discord.ui.TextDisplay(text))
        await channel.send(view=view) if allowed is None else await channel.send(
            view=view, allowed_mentions=allowed
        )
        names = {str(alice.id): "alice", "everyone": "everyone"}
        for message in double.said():
            assert {names[who] for who in message.pinged} == pinged
        embed = discord.Embed(description=text)
        await channel.send(embed=embed)
        assert double.said()[-1].pinged == set()


@pytest.mark.parametrize("what", ["content", "empty", "embed", "custom_id", "v2 text", "v2 count"])
async def test_too_much_is_refused(double: Double, what: str) -> None:
    async with running(Plain(), double) as client:
        channel = client.get_channel(double.general.id)
        assert isinstance(channel, discord.TextChannel)
        with pytest.raises(discord.HTTPException) as refused:
            if what == "content":
                await channel.send("x" * 2001)
            elif what == "empty":
                await channel.send("")
            elif what == "embed":
                await channel.send(embeds=[discord.Embed(description="x" * 4000) for _ in range(2)])
            elif what == "custom_id":
                view = discord.ui.View()
                view.add_item(discord.ui.Button(label="a", custom_id="same"))
                view.add_item(discord.ui.Button(label="b", custom_id="same"))
                await channel.send(view=view)
            else:
                layout = discord.ui.LayoutView()
                if what == "v2 text":
                    layout.add_item(discord.ui.TextDisplay("x" * 3000))
                    layout._children.append(discord.ui.TextDisplay("x" * 3000))  # past discord.py's own check
                else:
                    for i in range(41):
                        layout._children.append(discord.ui.TextDisplay(str(i)))
                await channel.send(view=layout)
        assert refused.value.code == (50006 if what == "empty" else 50035)


async def test_permissions(double: Double) -> None:
    async with running(Plain(), double) as client:
        channel = client.get_channel(double.general.id)
        assert isinstance(channel, discord.TextChannel)
        heard = asyncio.create_task(client.wait_for("guild_channel_update", timeout=5))
        double.general.denied[double.world.bot.id] = Permission.SEND_MESSAGES
        double.update_channel(double.general)
        with pytest.raises(discord.Forbidden) as refused:
            await channel.send("hello")
        assert refused.value.code == 50013
        await heard
        assert not channel.permissions_for(channel.guild.me).send_messages


async def test_content_is_withheld_without_the_intent(double: Double) -> None:
    alice = double.person("alice")
    intents = discord.Intents.default()
    async with running(Plain(intents=intents), double) as client:
        plain = await alice.say(double.general, "secret")
        named = await alice.mention_bot(double.general, "open")
        direct = await alice.say(alice.dm, "also open")
        assert (await _heard(client, direct.id)).content == "also open"
        contents = {m.id: m.content for m in client.heard}
        assert contents[plain.id] == ""
        assert contents[named.id].endswith("open")


async def test_a_disallowed_intent_ends_the_connection(double: Double) -> None:
    double.gateway.content_intent_granted = False
    client = Plain()
    with pytest.raises(discord.PrivilegedIntentsRequired):
        await client.start(double.token)
    await client.close()


async def test_resume_replays_what_was_missed(double: Double) -> None:
    alice = double.person("alice")
    async with running(Plain(), double) as client:
        first = await alice.say(double.general, "one")
        await _heard(client, first.id)
        await double.gateway.disconnect()
        missed = await alice.say(double.general, "two")
        assert (await asyncio.wait_for(_heard(client, missed.id), 15)).content == "two"
        assert [m.content for m in client.heard] == ["one", "two"]
        assert (double.gateway.identified, double.gateway.resumed) == (1, 1)


async def test_an_invalid_session_identifies_anew(double: Double) -> None:
    alice = double.person("alice")
    async with running(Plain(), double) as client:
        await double.gateway.invalidate()
        await double.until(lambda: double.gateway.identified == 2, timeout=20)
        said = await alice.say(double.general, "again")
        assert await asyncio.wait_for(_heard(client, said.id), 10)


async def test_rate_limits_are_told_and_enforced(double: Double) -> None:
    double.limits.rules["POST /channels/{channel}/messages"] = (2, 0.5)
    async with running(Plain(), double) as client:
        channel = client.get_channel(double.general.id)
        assert isinstance(channel, discord.TextChannel)
        await asyncio.gather(*(channel.send(str(i)) for i in range(5)))
        assert len(double.said()) == 5
        at = [r.at for r in double.requests if r.method == "POST" and r.status == 200]
        assert at[-1] - at[0] >= 0.9
        double.too_many("POST", "/messages$", 0.2)
        await channel.send("after a real 429")
        assert [r.status for r in double.requests if r.path.endswith("/messages")][-2:] == [429, 200]


async def test_failing_rest(double: Double) -> None:
    async with running(Plain(), double) as client:
        channel = client.get_channel(double.general.id)
        assert isinstance(channel, discord.TextChannel)
        double.fail("POST", "/messages$", 502, after=True)
        await channel.send("once", nonce="n1")
        assert [m.content for m in double.said()] == ["once"]
        double.fail("POST", "/messages$", 503)
        with pytest.raises(discord.DiscordServerError):
            await channel.send("never")


async def test_old_messages_take_few_edits(double: Double) -> None:
    async with running(Plain(), double) as client:
        channel = client.get_channel(double.general.id)
        assert isinstance(channel, discord.TextChannel)
        message = await channel.send("old")
        double.clock.advance(3700)
        double.limits.rules["PATCH /channels/{channel}/messages/{message}"] = (50, 1.0)
        with pytest.raises(discord.HTTPException) as refused:
            for i in range(10):
                await message.edit(content=f"newer {i}", suppress=False)
        assert refused.value.code == 30046
