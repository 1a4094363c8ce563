"""The loopback Discord itself, driven by a plain discord.py client."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import discord
import pytest
import yarl
from discord import app_commands
from discord_double import Double, NoResponse, Permission


class Plain(discord.Client):
    """The smallest client with a command tree; tests hang their handlers on it."""

    def __init__(self, *, intents: discord.Intents | None = None) -> None:
        super().__init__(intents=intents or discord.Intents.all(), guild_ready_timeout=0.05)
        self.tree = app_commands.CommandTree(self)
        self.heard: list[discord.Message] = []

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message)


@asynccontextmanager
async def running(client: Plain, double: Double) -> AsyncIterator[Plain]:
    task = asyncio.create_task(client.start(double.token))
    try:
        await asyncio.wait_for(asyncio.shield(_ready(client, task)), 10)
        yield client
    finally:
        await client.close()
        await asyncio.gather(task, return_exceptions=True)


async def _ready(client: Plain, task: "asyncio.Task[None]") -> None:
    ready = asyncio.create_task(client.wait_for("ready"))
    done, _ = await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        ready.cancel()
        await task


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
    return await client.wait_for("message", check=lambda m: m.id == message_id)


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


class Commands:
    """A command of every kind, for the interaction tests."""

    def __init__(self, client: Plain, double: Double) -> None:
        self.errors: list[int] = []

        def failed(error: discord.HTTPException) -> None:
            self.errors.append(error.code)
            double.changed()

        @client.tree.command(description="Add.")
        async def add(
            interaction: discord.Interaction, left: int, right: app_commands.Range[int, 0, 9] = 1
        ) -> None:
            await interaction.response.send_message(str(left + right), ephemeral=True)

        @client.tree.command(description="Slow.")
        async def slow(interaction: discord.Interaction) -> None:
            await asyncio.sleep(3.2)
            try:
                await interaction.response.send_message("too late")
            except discord.NotFound as error:
                failed(error)

        @client.tree.command(description="Deferred.")
        async def deferred(interaction: discord.Interaction) -> None:
            await interaction.response.defer(ephemeral=True)
            await interaction.followup.send("done")
            await interaction.followup.send("more", ephemeral=True)

        @client.tree.command(description="Twice.")
        async def twice(interaction: discord.Interaction) -> None:
            await interaction.response.send_message("one")
            interaction.response._response_type = None  # let the server notice
            try:
                await interaction.response.send_message("two")
            except discord.HTTPException as error:
                failed(error)

        @client.tree.command(description="Ask.")
        async def ask(interaction: discord.Interaction) -> None:
            await interaction.response.send_modal(Ask())

        @client.tree.command(description="Buttons.")
        async def buttons(interaction: discord.Interaction) -> None:
            await interaction.response.send_message("choose", view=Choose())

        @client.tree.command(description="Pick.")
        async def pick(interaction: discord.Interaction, fruit: str) -> None:
            await interaction.response.send_message(fruit)

        @pick.autocomplete("fruit")
        async def fruits(interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=f, value=f) for f in ("apple", "pear") if f.startswith(typed)]

        @client.tree.context_menu(name="Shout")
        async def shout(interaction: discord.Interaction, message: discord.Message) -> None:
            await interaction.response.send_message(message.content.upper())


class Ask(discord.ui.Modal, title="Ask"):
    name: discord.ui.TextInput["Ask"] = discord.ui.TextInput(label="Name")
    why = discord.ui.Label(text="Why", component=discord.ui.TextInput(required=False))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"{self.name.value}: {self.why.component.value}")


class Choose(discord.ui.View):
    @discord.ui.button(label="Yes")
    async def yes(self, interaction: discord.Interaction, button: discord.ui.Button["Choose"]) -> None:
        button.disabled = True
        await interaction.response.edit_message(content=f"yes by {interaction.user.name}", view=self)

    @discord.ui.select(placeholder="How", options=[discord.SelectOption(label=x) for x in "abc"])
    async def how(self, interaction: discord.Interaction, select: discord.ui.Select["Choose"]) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content=select.values[0])


@pytest.fixture
async def commanded(double: Double) -> AsyncIterator[tuple[Double, Commands]]:
    client = Plain()
    commands = Commands(client, double)
    async with running(client, double):
        await client.tree.sync()
        yield double, commands


async def test_slash_commands(commanded: tuple[Double, Commands]) -> None:
    double, _ = commanded
    alice = double.person("alice")
    done = await alice.slash("add", double.general, left=2, right=3)
    assert done.text == "5" and done.response is not None and done.response.ephemeral
    assert (await alice.slash("add", alice.dm, left=2)).text == "3"
    with pytest.raises(AssertionError, match="out of range"):
        await alice.slash("add", double.general, left=2, right=10)
    assert [c["value"] for c in await alice.complete("pick", "fruit", "p", double.general)] == ["pear"]
    message = await alice.say(double.general, "quiet")
    assert (await alice.menu("Shout", message)).text == "QUIET"


async def test_deadlines(commanded: tuple[Double, Commands]) -> None:
    double, commands = commanded
    alice = double.person("alice")
    with pytest.raises(NoResponse):
        await alice.slash("slow", double.general)
    done = await alice.slash("deferred", double.general)
    assert (await done.answer()).text == "done"
    await double.until(lambda: len(done.messages) == 2)
    assert all(m.ephemeral for m in done.messages)
    await alice.slash("twice", double.general)
    await double.until(lambda: any(r.status == 400 for r in double.requests))
    await double.until(lambda: len(commands.errors) == 2)
    assert commands.errors == [10062, 40060]


async def test_components_and_modals(commanded: tuple[Double, Commands]) -> None:
    double, _ = commanded
    alice, bob = double.person("alice"), double.person("bob")
    shown = await (await alice.slash("buttons", double.general)).answer()
    await bob.press(shown, "Yes")
    assert shown.content == "yes by bob"
    with pytest.raises(AssertionError, match="disabled"):
        await alice.press(shown, "Yes")
    await alice.choose(shown, "How", "b")
    await double.until(lambda: shown.content == "b")
    asked = await alice.slash("ask", double.general)
    assert asked.answered_with == "modal"
    assert (await alice.submit(asked, Name="A", Why="because")).text == "A: because"


async def test_tokens_expire(double: Double) -> None:
    client = Plain()
    go = asyncio.Event()
    codes: list[int] = []

    @client.tree.command(description="Long.")
    async def long(interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        await go.wait()
        try:
            await interaction.followup.send("finally")
        except discord.HTTPException as error:
            codes.append(error.code)
        double.changed()

    async with running(client, double):
        await client.tree.sync()
        done = await double.person("alice").slash("long", double.general)
        double.clock.advance(15 * 60 + 1)
        go.set()
        await double.until(lambda: codes)
        assert codes == [50027] and done.loading
