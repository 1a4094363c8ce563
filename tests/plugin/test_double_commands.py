"""The loopback Discord itself, driven by a plain discord.py client: commands, components, modals, tokens."""

import asyncio
from collections.abc import AsyncIterator

import discord
import pytest
from discord import app_commands
from discord_double import Double, NoResponse
from plain import Plain, running


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
