"""What the panel can ask further: the prompt, the loss, a proof, a what-if, the file."""

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from typing import Any

import discord

from ..chat import BranchRequest, Done, fresh_seed
from ..errors import UserError
from ..explain.contrast import kin_text
from ..explain.explanation import Explanation
from ..explain.explanation import explain as explain_turn
from ..explain.lines import plain
from ..explain.loss import arrange, one_pass, scored_lines
from ..explain.page import page
from ..explain.statement import certificate_lines
from ..explain.text import absence, percent, prompt_lines, step_lines
from ..explain.turn import Turn
from ..explain.visible import visible
from ..store.relatives import relatives
from .cog import acknowledge, answering, expired, in_time, show_form, tell
from .display import unforged
from .fitting import as_file, tell_block
from .panel import COLUMNS, Place, Verb, within
from .reckoned import Reckoned
from .service import Running, Service
from .touring import prove_here

Show = Callable[[discord.Interaction[Any], Explanation, Place, str], Awaitable[None]]


class Probes:
    """Answers below or beside a panel; everything here is only seen by whoever asked."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._reckoned = Reckoned()

    async def run(self, interaction: discord.Interaction[Any], verb: Verb, place: Place, show: Show) -> None:
        if verb == "whatif":
            await self._ask_what_if(interaction, place, show)
            return
        await acknowledge(interaction, ephemeral=True, thinking=True)
        if verb in ("loss", "prove"):  # they make the model work
            self.service.check(interaction)
        explanation = await self._explanation(place.turn)
        if verb == "saw":
            prompt = "\n".join(prompt_lines(explanation, COLUMNS))
            await tell_block(interaction, prompt, f"turn-{place.turn}-prompt.txt")
        elif verb == "numbers":
            at = within(place, explanation).step
            lines = step_lines(explanation, at, COLUMNS) if explanation.tokens else [[("", absence(explanation))]]
            await tell_block(interaction, plain(lines), f"turn-{place.turn}-step-{at}.txt")
        elif verb == "loss":
            await tell_block(
                interaction, await self._loss(explanation, interaction.user.id), f"turn-{place.turn}-loss.txt"
            )
        elif verb == "tree":
            await tell_block(interaction, await self._tree(explanation.turn), f"turn-{place.turn}-tree.txt")
        elif verb == "thought":
            await tell_block(interaction, explanation.turn.reasoning, f"turn-{place.turn}-thought.txt")
        elif verb == "file":
            await self._file(interaction, explanation)
        else:
            await self._prove(interaction, explanation)

    async def _explanation(self, turn: int) -> Explanation:
        return await asyncio.to_thread(explain_turn, await self.service.chat.store.turn(turn))

    async def _loss(self, explanation: Explanation, person: int) -> str:
        """The reply scored in one pass, beside what was recorded while it was written."""
        turn = explanation.turn
        async with self.service.chat.using_maker(turn) as speaker:
            scores = await one_pass(speaker.engine, turn, k=1, user=str(person))
        self._reckoned.scored(turn.id, scores)
        return "\n".join(scored_lines(turn, arrange(turn, scores), COLUMNS))

    async def _tree(self, turn: Turn) -> str:
        """The replies to the same message; below, a branch compared with the reply it left."""
        family = await relatives(self.service.chat.store, turn)
        return await asyncio.to_thread(kin_text, family, turn, COLUMNS)

    async def _prove(self, interaction: discord.Interaction[Any], explanation: Explanation) -> None:
        turn = explanation.turn
        certificate = await prove_here(self.service, turn)
        lines = certificate_lines(certificate)
        self._reckoned.proven(turn.id, lines)
        paragraphs = (textwrap.fill(line.strip(), COLUMNS) for line in lines)
        await tell_block(interaction, "\n\n".join(paragraphs), f"turn-{turn.id}-certificate.txt")

    async def _file(self, interaction: discord.Interaction[Any], explanation: Explanation) -> None:
        family = await relatives(self.service.chat.store, explanation.turn)
        extras = self._reckoned.extras(explanation.turn, family)
        file = await as_file(
            lambda: page(explanation, extras=extras),
            f"turn-{explanation.turn.id}.html",
            interaction.filesize_limit,
            f"Whoever runs me can hand it to you: `glasshead explain {explanation.turn.id} --html page.html`.",
        )
        missing = [name for name, there in (("Loss", extras.scored), ("Prove it", extras.certificate)) if not there]
        more = f" *{'* and *'.join(missing)}*, pressed before, would be on it." if missing else ""
        said = f"Everything recorded, as one page: download it and open it in a browser.{more}"
        await tell(interaction, said, file)

    async def _ask_what_if(self, interaction: discord.Interaction[Any], place: Place, show: Show) -> None:
        explanation, ends = await in_time(self._branchable(place))
        await show_form(interaction, WhatIf(self, explanation, place, ends, show))

    async def _branchable(self, place: Place) -> tuple[Explanation, frozenset[int]]:
        """What is explained, and the tokens that a what-if there cannot take."""
        explanation = await self._explanation(place.turn)
        if place.step >= len(explanation.tokens):
            raise UserError(f"turn {place.turn} has no step {place.step} any more")
        return explanation, await self.service.chat.ends(explanation.turn)

    async def branch(
        self, interaction: discord.Interaction[Any], place: Place, choice: int | str, *, fresh: bool, show: Show
    ) -> None:
        """Write the reply on from another token (or the text of one), and open what came of it."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        self.service.check_kept(interaction)
        self.service.check(interaction)
        explanation = await self._explanation(place.turn)
        at = explanation.step(place.step).draw_index
        request = BranchRequest(
            turn=place.turn,
            step=at,
            choice=choice,
            seed=fresh_seed() if fresh else None,
            user=str(interaction.user.id),
            requester=interaction.user.id,
        )
        done = None
        reply = self.service.chat.branch(request)
        running = Running(reply, interaction.user.id, interaction.channel_id or 0)
        self.service.running.add(running)
        try:
            async for event in reply:
                if isinstance(event, Done):
                    done = event
        finally:
            self.service.running.discard(running)
            running.shown.set()
        assert done is not None, "a branch ends with Done or raises"
        branched = await self._explanation(done.turn)
        draws = "fresh draws" if fresh else "the same draws"
        text = discord.utils.escape_markdown(unforged(done.text[:1500])) or "(no words)"
        note = f"What if, from step {place.step} of turn {place.turn}, on {draws}:\n>>> {text}"
        try:
            await show(interaction, branched, Place(done.turn, 0, place.layer, interaction.user.id), note)
        except discord.HTTPException as error:
            if not expired(error):
                raise
            await tell(interaction, f"-# *Tree*, on the panel of turn {place.turn}, compares the two.\n{note}")


class WhatIf(discord.ui.Modal):
    """Which token instead, and on which draws."""

    def __init__(
        self, probes: Probes, explanation: Explanation, place: Place, ends: frozenset[int], show: Show
    ) -> None:
        """``ends``: the tokens after which nothing could be written."""
        super().__init__(title=f"What if, at step {place.step} of turn {place.turn}?"[:45])
        self._probes, self._place, self._show = probes, place, show
        others = [c for c in explanation.step(place.step).candidates if not c.chosen]
        candidates = [c for c in others if c.id not in ends][:25]
        self._choice: discord.ui.Select[Any] = discord.ui.Select(
            required=False,
            options=[
                discord.SelectOption(
                    label=(visible(c.bytes) or f"token {c.id}")[:100], value=str(c.id), description=percent(c.p)
                )
                for c in candidates
            ],
        )
        self._typed: discord.ui.TextInput[Any] = discord.ui.TextInput(required=False, max_length=64)
        self._draws: discord.ui.Select[Any] = discord.ui.Select(
            options=[
                discord.SelectOption(label="The same draws: only the choice differs", value="same", default=True),
                discord.SelectOption(label="Fresh draws", value="fresh"),
            ]
        )
        if candidates:  # a select without options is none
            self.add_item(discord.ui.Label(text="Another candidate", component=self._choice))
        self.add_item(discord.ui.Label(text="Or type one token", component=self._typed))
        self.add_item(discord.ui.Label(text="What falls after it", component=self._draws))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        async with answering(interaction):
            if self._typed.value:
                choice: int | str = self._typed.value
            elif self._choice.values:
                choice = int(self._choice.values[0])
            else:
                raise UserError("choose a candidate or type one")
            fresh = "fresh" in self._draws.values
            with self._probes.service.waited_for():
                await self._probes.branch(interaction, self._place, choice, fresh=fresh, show=self._show)
