"""`/system`, `/settings`, `/model`: how the bot answers in one channel or thread."""

from collections.abc import Sequence
from typing import Any

import discord
from discord import app_commands

from ..predict.draw import SEED_LIMIT
from ..predict.engine import short_name
from .bounds import SETTINGS, described, refusal
from .cog import ServiceCog, in_time, tell
from .fitting import tell_block
from .reading import beginning
from .rights import manages

LONGEST_SYSTEM = 4000
MAY_NOT = "Changing that here needs **Manage Messages** (or a thread of your own)."


async def may_tune(interaction: discord.Interaction[Any]) -> bool:
    """In direct messages the person, in a thread whoever opened it (by `/chat`, too), else whoever manages messages
    there."""
    thread = interaction.channel
    if interaction.guild is None or manages(interaction, "manage_messages"):
        return True
    if not isinstance(thread, discord.Thread):
        return False
    if thread.owner_id != interaction.client.user.id:
        return thread.owner_id == interaction.user.id
    asked = await in_time(beginning(thread))
    by = asked.interaction_metadata if asked is not None else None
    return by is not None and by.user.id == interaction.user.id


async def refused(interaction: discord.Interaction[Any]) -> bool:
    """Say so to whoever may not change things there."""
    if await may_tune(interaction):
        return False
    await tell(interaction, MAY_NOT)
    return True


def called(name: str, models: Sequence[str]) -> str | None:
    """The model that somebody means."""
    return next((model for model in models if name in (model, short_name(model))), None)


def offers(models: Sequence[str], typed: str) -> list[app_commands.Choice[str]]:
    """Models to choose from while somebody types a name."""
    names = [name for name in map(short_name, models) if typed.lower() in name.lower()]
    return [app_commands.Choice(name=name[:100], value=name[:100]) for name in names[:25]]


class Tuning(ServiceCog, name="Glasshead tuning"):
    """What is set for a channel; where a thread has nothing of its own, its channel's counts."""

    system = app_commands.Group(name="system", description="What the model is told first, here.")
    settings = app_commands.Group(name="settings", description="How tokens are picked in this channel or thread.")

    @system.command(name="show", description="Show it.")
    async def system_show(self, interaction: discord.Interaction[Any]) -> None:
        own = self.service.set_here(interaction.channel).system
        text = self.service.settings.chat.system_prompt if own is None else own
        whose = "As configured" if own is None else "Set for this channel"
        await tell_block(interaction, text or "(nothing)", "system.txt", f"{whose}:\n")

    @system.command(name="set", description="Set it. It counts from the next message on.")
    @app_commands.describe(text="What the model is told before the conversation.")
    async def system_set(
        self, interaction: discord.Interaction[Any], text: app_commands.Range[str, 1, LONGEST_SYSTEM]
    ) -> None:
        if not await refused(interaction):
            await self._set(interaction, system=text)
            await tell(interaction, "Set. It counts from the next message on, in going conversations too.")

    @system.command(name="clear", description="Go back to the configured one.")
    async def system_clear(self, interaction: discord.Interaction[Any]) -> None:
        if not await refused(interaction):
            await self._set(interaction, system=None)
            of_channel = self.service.set_here(interaction.channel).system is not None
            now = "in this thread what is set for its channel counts" if of_channel else "as configured"
            await tell(interaction, f"Cleared: {now} again.")

    @settings.command(name="show", description="Show them.")
    async def settings_show(self, interaction: discord.Interaction[Any]) -> None:
        await tell(interaction, self._shown(interaction))

    @settings.command(name="set", description="Set one or more of them.")
    @app_commands.describe(
        temperature="0 takes the likeliest token; higher is more varied.",
        top_p="Keep the likeliest tokens that make up this share.",
        top_k="Keep the k likeliest tokens; 0 for all.",
        min_p="Drop tokens below this share of the likeliest one's probability.",
        max_tokens="The longest reply, in tokens.",
        seed="The same seed and input give the same reply; -1 for a fresh one every time.",
    )
    async def settings_set(
        self,
        interaction: discord.Interaction[Any],
        *,
        temperature: app_commands.Range[float, 0.0, 10.0] | None = None,
        top_p: app_commands.Range[float, 0.0, 1.0] | None = None,
        top_k: app_commands.Range[int, 0, 1_000_000] | None = None,
        min_p: app_commands.Range[float, 0.0, 1.0] | None = None,
        max_tokens: app_commands.Range[int, 1, 100_000] | None = None,
        seed: app_commands.Range[int, -1, SEED_LIMIT - 1] | None = None,
    ) -> None:
        if await refused(interaction):
            return
        asked = {
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "max_tokens": max_tokens,
            "seed": seed,
        }
        bounds = self.service.preferences.guild(interaction.guild_id).bounds
        refusals = [refusal(bounds, name, value) for name, value in asked.items() if value is not None]
        if any(refusals):
            await tell(interaction, " ".join(["Nothing is changed.", *filter(None, refusals)]))
            return
        change: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        if seed == -1:
            change["seed"] = None
        await self._set(interaction, **change)
        await tell(interaction, self._shown(interaction))

    @settings.command(name="reset", description="Go back to the configured ones.")
    async def settings_reset(self, interaction: discord.Interaction[Any]) -> None:
        if not await refused(interaction):
            await self._set(interaction, **dict.fromkeys(SETTINGS))
            await tell(interaction, self._shown(interaction))

    @app_commands.command(description="Which model answers in this channel or thread.")
    @app_commands.describe(use="The model that is to answer; without it, show which one does.")
    async def model(self, interaction: discord.Interaction[Any], use: str | None = None) -> None:
        models = self.service.models(interaction.guild_id)
        offered = ", ".join(map(short_name, models))
        if use is None:
            now = self.service.model(interaction.channel, interaction.guild_id) or self.service.chat.models[0]
            await tell(interaction, f"**{short_name(now)}** answers here. Offered: {offered}.")
        elif (chosen := called(use, models)) is None:
            await tell(interaction, f"No model of that name can be chosen here. Offered: {offered}.")
        elif not await refused(interaction):
            await self._set(interaction, model=chosen)
            await tell(interaction, f"**{short_name(chosen)}** answers here from the next message on.")

    @model.autocomplete("use")
    async def _models(self, interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return offers(self.service.models(interaction.guild_id), typed)

    async def _set(self, interaction: discord.Interaction[Any], **values: Any) -> None:
        assert interaction.channel_id is not None
        await self.service.preferences.set_channel(interaction.channel_id, **values)

    def _shown(self, interaction: discord.Interaction[Any]) -> str:
        here = self.service.set_here(interaction.channel)
        sampling = self.service.sampling(interaction.channel, interaction.guild_id)
        bounds = self.service.preferences.guild(interaction.guild_id).bounds
        seed = self.service.seed(interaction.channel, interaction.guild_id)
        lines = []
        for name in SETTINGS:
            value = ("fresh every time" if seed is None else seed) if name == "seed" else getattr(sampling, name)
            mark = "set here" if value == getattr(here, name) else ""
            marks = ", ".join(filter(None, (mark, described(bounds, name))))
            lines.append(f"{name:<12} {value!s:<8} {marks}".rstrip())
        return "```\n" + "\n".join(lines) + "\n```"
