"""`/tour`: eight claims about next-token prediction, tested live."""

import asyncio
import io
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from ..errors import UserError
from ..explain.certificate import Certificate
from ..explain.proof import prove
from ..explain.tour import TOUR, Bench, report_lines, visit
from ..explain.turn import Turn
from ..predict.pool import load_model
from ..wiring import model_choice
from .cog import ServiceCog, acknowledge, answering, tell
from .interaction_surface import is_member
from .service import NOBODY, Service

THREADS = 1
"""A proof runs beside the replies: it must not take their cores."""


async def prove_here(service: Service, turn: Turn) -> Certificate:
    """Replay a turn in a context of its own. One after the other: each holds the model once more."""

    def work() -> Certificate:
        name = turn.model.name if turn.model.name in service.chat.models else service.settings.model.name
        with closing(load_model(name, model_choice(service.settings, name))) as model:
            return prove(turn, model, threads=THREADS, halt=service.halt)

    async with service.proving:
        if service.closing:
            raise UserError("there is no time for a proof: I am being stopped")
        return await asyncio.to_thread(work)


class Touring(ServiceCog, name="Glasshead tour"):
    """One tour at a time: each step makes the model work."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self._one = asyncio.Lock()

    @app_commands.command(description="Eight short steps through how I make a reply, run live.")
    @app_commands.describe(step="Only this step; without it, all eight.")
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def tour(
        self, interaction: discord.Interaction[Any], step: app_commands.Range[int, 1, len(TOUR)] | None = None
    ) -> None:
        if self._one.locked():
            await tell(interaction, "Somebody else is on the tour right now; please try again in a minute.")
            return
        await acknowledge(interaction, ephemeral=True, thinking=True)
        with self.service.waited_for():
            async with answering(interaction):
                self.service.check(interaction)
                await self._lead(interaction, [step] if step else range(1, len(TOUR) + 1))

    async def _lead(self, interaction: discord.Interaction[Any], numbers: Iterable[int]) -> None:
        async with self._one:
            speaker = self.service.chat.speaker

            async def replay(turn: Turn) -> Certificate:
                return await prove_here(self.service, turn)

            bench = Bench(speaker.engine, speaker.renderer, speaker.vocabulary, replay)
            told: list[str] = []
            for number in numbers:
                if self.service.closing:
                    raise UserError("the tour ends here: I am being stopped")
                told.append("\n".join(report_lines(await visit(bench, number), columns=56)))
                await self._show(interaction, told)

    async def _show(self, interaction: discord.Interaction[Any], told: list[str]) -> None:
        """A message for each step; where follow-ups are few, the latest, and all so far in its file."""
        lines = told[-1].replace("```", "'''")
        text = f"```\n{lines[:1900]}\n```"
        if is_member(interaction):
            await tell(interaction, text)
            return
        file = discord.File(io.BytesIO("\n\n".join(told).encode()), "tour.txt")
        files = [file] if len(told) > 1 else []
        await interaction.edit_original_response(content=text, attachments=files, allowed_mentions=NOBODY)
