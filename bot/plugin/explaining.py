"""`/explain`, the menu *Explain this reply*, and the panel's buttons: recorded predictions, opened."""

import asyncio
import io
import logging
import re
from dataclasses import replace
from typing import Any, Self, cast

import discord
from discord import app_commands
from discord.ext import commands

from ..errors import UserError
from ..explain.explanation import Explanation
from ..explain.explanation import explain as explain_turn
from ..explain.picture_process import PictureProcess
from ..explain.scale import LAYERS, Layer
from ..explain.sheet import sheet
from ..explain.turn import Turn
from .cog import ServiceCog, acknowledge, answering
from .panel import FOR_OPENER, PICTURE, REVEAL, TEMPLATE, Panel, Place, PlainPanel, Verb, moved, within
from .probes import Probes
from .rights import surely_may_read
from .service import NOBODY, Service, places
from .surface import BAD_REQUEST
from .views import PREFIX, button

log = logging.getLogger(__name__)

MENU = "Explain this reply"
RECENT = 10
"""Replies offered to choose from."""
_LINK = re.compile(r"(?:https?://\S+/channels/(?:\d+|@me)/\d+/)?(\d{1,20})/?$")
EVERYWHERE = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)
INSTALLS = app_commands.AppInstallationType(guild=True, user=True)


class ExplainButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=rf"{PREFIX}:explain:(?P<turn>\d+)"):
    """*Explain* under a reply."""

    def __init__(self, turn: int) -> None:
        super().__init__(button("explain", turn))
        self.turn = turn

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["turn"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await _cog(interaction).open(interaction, self.turn)


class PanelButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=TEMPLATE):
    """A button of the panel."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> "Self":
        made = cls(cast(discord.ui.Button[Any], item))
        made.groups = match.groupdict()
        return made

    groups: dict[str, str | None]

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await _cog(interaction).pressed(interaction, cast(Verb, self.groups["verb"]), Place.of(self.groups))


class PanelSelect(discord.ui.DynamicItem[discord.ui.Select[Any]], template=TEMPLATE.replace("panel", "choose")):
    """A select of the panel."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> "Self":
        made = cls(cast(discord.ui.Select[Any], item))
        made.groups = match.groupdict()
        return made

    groups: dict[str, str | None]

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        place, value = Place.of(self.groups), self.item.values[0]
        if self.groups["verb"] == "jump":
            place = replace(place, step=int(value))
        elif value == REVEAL:
            place = replace(place, reveal=not place.reveal)
        else:
            layer: Layer = next(layer for layer in LAYERS if layer == value)
            place = replace(place, layer=layer)
        await _cog(interaction).go(interaction, place)


def _cog(interaction: discord.Interaction[Any]) -> "Explaining":
    cog = cast(commands.Bot, interaction.client).get_cog("Glasshead explanations")
    assert isinstance(cog, Explaining), "its buttons are removed with it"
    return cog


class Explaining(ServiceCog, name="Glasshead explanations"):
    """Opens explanations. Reads the log; only the probes need the model."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self.probes = Probes(service)
        self._pictures = PictureProcess()
        menu = app_commands.ContextMenu(name=MENU, callback=self._from_menu)
        menu.allowed_contexts, menu.allowed_installs = EVERYWHERE, INSTALLS
        self.menus = (menu,)

    async def cog_load(self) -> None:
        self.add_menus()
        self.bot.add_dynamic_items(ExplainButton, PanelButton, PanelSelect)
        self.service.spawn(self._warm_up())

    async def _warm_up(self) -> None:
        """So that the first picture comes as quickly as the others."""
        try:
            await self._pictures.warm_up()
        except (OSError, TimeoutError) as error:
            log.warning("pictures cannot be drawn: %s", error)

    async def cog_unload(self) -> None:
        self.remove_menus()
        self.bot.remove_dynamic_items(ExplainButton, PanelButton, PanelSelect)
        await self._pictures.aclose()

    @app_commands.command(name="explain", description="How a reply came about, token by token.")
    @app_commands.describe(
        message="Link or id of a reply; without it, the latest one here.", step="Which token, from 0."
    )
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def explain(
        self,
        interaction: discord.Interaction[Any],
        message: str | None = None,
        step: app_commands.Range[int, 0, 1_000_000] | None = None,
    ) -> None:
        await acknowledge(interaction, ephemeral=True, thinking=True)
        await self._show_first(interaction, await self._named(interaction, message), step)

    @explain.autocomplete("message")
    async def _recent(self, interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        """The latest replies there, by their first words."""
        store = self.service.chat.store
        found: list[app_commands.Choice[str]] = []
        for session in await store.sessions(channel_id=interaction.channel_id, limit=RECENT):
            for row in reversed(await store.turns(session.id)):
                words = " ".join(row.reply.split())
                if words and typed.lower() in words.lower() and (shown := await store.discord_messages(row.id)):
                    found.append(app_commands.Choice(name=words[:100], value=str(shown[0])))
                if len(found) == RECENT:
                    return found
        return found

    async def _from_menu(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        async with answering(interaction):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            turn = await self.service.turn_shown(message.id, *places(message.channel))
            if turn is None:
                mine = self.bot.user is not None and message.author.id == self.bot.user.id
                raise UserError(
                    "that message is mine, but my log has no reply that it shows"
                    if mine
                    else "I did not write that: nothing to explain"
                )
            await self._show_first(interaction, turn, None)

    async def open(self, interaction: discord.Interaction[Any], turn: int) -> None:
        """From the button under a reply."""
        async with answering(interaction):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            await self.service.check_shown(interaction, turn)
            await self._show_first(interaction, turn, None)

    async def pressed(self, interaction: discord.Interaction[Any], verb: Verb, place: Place) -> None:
        with self.service.waited_for():
            await self._pressed(interaction, verb, place)

    async def _pressed(self, interaction: discord.Interaction[Any], verb: Verb, place: Place) -> None:
        async with answering(interaction):
            if verb in FOR_OPENER and interaction.user.id != place.opener:
                raise UserError("Only the person who opened this panel can run that; `/explain` opens your own.")
            if verb == "share":
                await self._share(interaction, place)
            elif verb in ("saw", "loss", "prove", "whatif", "tree", "numbers", "file", "thought"):
                await self.probes.run(interaction, verb, place, self.show)
            else:
                await acknowledge(interaction)
                explanation = await self._explanation(place.turn)
                await self.show(interaction, explanation, moved(place, verb, explanation))

    async def go(self, interaction: discord.Interaction[Any], place: Place) -> None:
        async with answering(interaction):
            await acknowledge(interaction)
            await self.show(interaction, await self._explanation(place.turn), place)

    async def show(
        self, interaction: discord.Interaction[Any], explanation: Explanation, place: Place, note: str = ""
    ) -> None:
        """Make the interaction's message the panel at ``place``."""
        place = within(place, explanation)
        picture = await self._picture(explanation, place)
        seen = picture is not None
        panel = Panel(explanation, place, picture=seen, note=note)
        try:
            await interaction.edit_original_response(
                view=panel, attachments=_files(picture), allowed_mentions=NOBODY
            )
        except discord.HTTPException as error:
            if error.status != BAD_REQUEST:
                raise
            log.info("no panel of components here: %s", error)
            plain = PlainPanel(explanation, place, picture=seen, note=note)
            await interaction.edit_original_response(
                content=plain.text, view=plain, attachments=_files(picture), allowed_mentions=NOBODY
            )

    async def _show_first(self, interaction: discord.Interaction[Any], turn: int, step: int | None) -> None:
        explanation = await self._explanation(turn)
        count = len(explanation.tokens)
        if step is not None and step >= count:
            raise UserError(
                f"turn {turn} has steps 0 to {count - 1}, not {step}" if count else f"turn {turn} is empty"
            )
        if step is None:
            step = explanation.whole.least_certain[0] if count else 0
        await self.show(interaction, explanation, Place(turn, step, LAYERS[0], interaction.user.id))

    async def _share(self, interaction: discord.Interaction[Any], place: Place) -> None:
        await acknowledge(interaction, thinking=True)
        explanation = await self._explanation(place.turn)
        await self.show(interaction, explanation, place, f"-# Shared by {interaction.user.mention}")

    async def _explanation(self, turn: int) -> Explanation:
        return await asyncio.to_thread(opened, await self.service.chat.store.turn(turn))

    async def _picture(self, explanation: Explanation, place: Place) -> bytes | None:
        """Drawn in another process; None where there is nothing to draw, or it cannot be drawn."""
        if not explanation.tokens:
            return None
        try:
            drawing = await asyncio.to_thread(sheet, explanation, place.step, place.layer, reveal=place.reveal)
            return await self._pictures.draw(drawing)
        except UserError as error:
            log.warning("turn %d without its picture: %s", place.turn, error)
            return None

    async def _named(self, interaction: discord.Interaction[Any], message: str | None) -> int:
        """The turn a person means: of a linked message, or the latest here."""
        store = self.service.chat.store
        if message is None:
            latest = await store.latest_turn(channel_id=interaction.channel_id)
            if latest is None:
                raise UserError("I have not said anything here yet")
            return latest
        match = _LINK.search(message.strip())
        if match is None:
            raise UserError("that is no message link: use *Copy Message Link*, or the menu on the reply itself")
        turn = await self.service.turn_shown(int(match[1]), interaction.channel_id)
        if turn is None or not await self._may_see(interaction, turn):
            raise UserError("I know no reply of mine at that link")
        return turn

    async def _may_see(self, interaction: discord.Interaction[Any], turn: int) -> bool:
        """Only what the person could read themselves: a link is no key to other channels."""
        session = await self.service.chat.store.session((await self.service.chat.store.turn(turn)).session)
        if session.channel_id in (None, interaction.channel_id) or session.person == interaction.user.id:
            return session.channel_id is not None
        if interaction.guild is None or session.guild_id != interaction.guild.id:
            return False
        channel = interaction.guild.get_channel_or_thread(session.channel_id or 0)
        return await surely_may_read(channel, cast(discord.Member, interaction.user))


def opened(turn: Turn) -> Explanation:
    """An explanation with its numbers reckoned: for a thread, a long reply takes its time."""
    explanation = explain_turn(turn)
    _ = explanation.whole  # reckoned here, and kept
    return explanation


def _files(picture: bytes | None) -> list[discord.File]:
    return [discord.File(io.BytesIO(picture), PICTURE)] if picture else []
