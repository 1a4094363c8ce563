"""`/admin`: who may talk to the bot in a server, how much, and how it is doing."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import discord
from discord import app_commands

from ..errors import UserError
from ..predict.engine import short_name
from .bounds import Bounds, Range, Setting, bounded, check, described
from .cog import ServiceCog, acknowledge, answering, tell
from .preferences import GuildPreferences, with_or_without
from .rights import manages
from .sync import sync
from .tuning import called, offers

SPEED_TURNS = 20


class Governing(ServiceCog, name="Glasshead administration"):
    """For those who manage the server; `sync` for the bot's owner."""

    admin = app_commands.Group(
        name="admin",
        description="Who may talk to me here, how much, and how I am doing.",
        guild_only=True,
        default_permissions=discord.Permissions(manage_guild=True),
    )

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Also where a server has opened the command to others by mistake."""
        await super().interaction_check(interaction)
        if manages(interaction, "manage_guild") or await self.bot.is_owner(interaction.user):
            return True
        async with answering(interaction):
            await tell(interaction, "That needs the permission **Manage Server**.")
        return False

    @admin.command(name="user", description="Block somebody here, or let them talk to me again.")
    @app_commands.describe(user="Who.", action="Whether I answer them here; everywhere: the bot's owner decides.")
    async def user(
        self,
        interaction: discord.Interaction[Any],
        user: discord.User,
        action: Literal["block", "allow", "block everywhere"],
    ) -> None:
        owner, everywhere = await self.bot.is_owner(interaction.user), action == "block everywhere"
        if everywhere and not owner:
            await tell(interaction, "Only the bot's owner can do that.")
            return
        preferences = self.service.preferences
        if owner and (everywhere or preferences.blocked(user.id)):
            await preferences.set_blocked(user.id, everywhere)
        if everywhere:
            await tell(interaction, f"{user.mention}: blocked everywhere, in direct messages, too.")
            return
        changed = with_or_without(self._guild(interaction).blocked_users, user.id, action == "block")
        still = " But the bot's owner has blocked them everywhere." if preferences.blocked(user.id) else ""
        await self._set(interaction, f"{user.mention}: {action}ed.{still}", blocked_users=changed)

    @admin.command(name="channel", description="Block a channel, allow it, or answer everything in it.")
    @app_commands.describe(channel="Where.", action="Whether I answer nothing there, what is meant for me, or all.")
    async def channel(
        self,
        interaction: discord.Interaction[Any],
        channel: app_commands.AppCommandChannel | app_commands.AppCommandThread,
        action: Literal["block", "allow", "always answer"],
    ) -> None:
        await self.service.preferences.set_channel(channel.id, always=action == "always answer")
        changed = with_or_without(self._guild(interaction).blocked_channels, channel.id, action == "block")
        what = {"block": "nothing", "allow": "what is meant for me", "always answer": "everything"}[action]
        await self._set(interaction, f"{channel.mention}: I answer {what} there.", blocked_channels=changed)

    @admin.command(
        name="role", description="Only allowed roles may talk to me (none: everybody), blocked ones never."
    )
    @app_commands.describe(role="Whose members.", action="Whether they may talk to me; remove: as if never named.")
    async def role(
        self, interaction: discord.Interaction[Any], role: discord.Role, action: Literal["allow", "block", "remove"]
    ) -> None:
        guild = self._guild(interaction)
        allowed = with_or_without(guild.allowed_roles, role.id, action == "allow")
        blocked = with_or_without(guild.blocked_roles, role.id, action == "block")
        who = ", ".join(f"<@&{id}>" for id in allowed) or "everybody"
        but = f", but not {', '.join(f'<@&{id}>' for id in blocked)}" if blocked else ""
        await self._set(interaction, f"May talk to me: {who}{but}.", allowed_roles=allowed, blocked_roles=blocked)

    @admin.command(name="model", description="Which models may be chosen here (none listed: all).")
    @app_commands.describe(name="One of those I have.", action="Whether people may choose it.")
    async def model(
        self, interaction: discord.Interaction[Any], name: str, action: Literal["allow", "remove"]
    ) -> None:
        models = self.service.chat.models
        chosen = called(name, models)
        if chosen is None:
            await tell(interaction, f"There is no such model. I have: {', '.join(map(short_name, models))}.")
            return
        now = tuple(n for n in self._guild(interaction).models if n != chosen)
        changed = (*now, chosen) if action == "allow" else now
        await self._set(interaction, f"Offered: {', '.join(map(short_name, changed)) or 'all'}.", models=changed)

    @model.autocomplete("name")
    async def _models(self, interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return offers(self.service.chat.models, typed)

    @admin.command(name="limits", description="The longest reply, and replies a minute, in this server.")
    @app_commands.describe(
        tokens="The longest reply, in tokens; 0: as configured.",
        per_minute="Replies a minute, for everybody together; 0: as configured.",
        per_person="Replies a minute, for each person; 0: as configured.",
    )
    async def limits(
        self,
        interaction: discord.Interaction[Any],
        tokens: app_commands.Range[int, 0, 100_000] | None = None,
        per_minute: app_commands.Range[int, 0, 1000] | None = None,
        per_person: app_commands.Range[int, 0, 1000] | None = None,
    ) -> None:
        change: dict[str, Any] = {}
        if tokens is not None:
            change["bounds"] = _changed(self._guild(interaction).bounds, "max_tokens", (None, tokens or None))
        if per_minute is not None:
            change["per_minute"] = per_minute or None
        if per_person is not None:
            change["per_person"] = per_person or None
        guild = replace(self._guild(interaction), **change)
        usual, most = self.service.settings.discord, bounded(guild.bounds, {}, self.service.chat.sampling)
        shown = (
            f"In this server: at most {most.max_tokens} tokens a reply, "
            f"{allowed(guild.per_minute or usual.server_per_minute)} for everybody together, "
            f"{allowed(guild.per_person or usual.per_minute)} for each person."
        )
        await self._set(interaction, shown, **change)

    @admin.command(name="bounds", description="What may be set in this server's channels, and how far.")
    @app_commands.describe(
        setting="Of which setting.",
        least="The smallest value that may be set.",
        most="The largest value that may be set.",
        action="allow: any value again; forbid: it stays as configured.",
    )
    async def bounds(
        self,
        interaction: discord.Interaction[Any],
        setting: Setting,
        least: app_commands.Range[float, 0.0, 1_000_000.0] | None = None,
        most: app_commands.Range[float, 0.0, 1_000_000.0] | None = None,
        action: Literal["allow", "forbid"] | None = None,
    ) -> None:
        now, given = self._guild(interaction).bounds, least is not None or most is not None
        if given and action is not None:
            raise UserError("give either bounds or an action")
        if given:
            check(setting, (least, most))
        if given or action == "allow":
            now = _changed(now, setting, (least, most))
        elif action == "forbid":
            now = {**now, setting: None}
        change = {"bounds": now} if given or action else {}
        said = described(now, setting) or "whatever people who may change it want"
        await self._set(interaction, f"{setting} in this server: {said}.", **change)

    @admin.command(name="status", description="Queue, speed, memory, model, uptime.")
    async def status(self, interaction: discord.Interaction[Any]) -> None:
        await acknowledge(interaction, ephemeral=True, thinking=True)
        chat = self.service.chat
        rows = await chat.store.turn_rows(await self._newest())
        tokens = sum(row.n_out - 1 for row in rows if row.gen_us and row.n_out > 1)
        micros = sum(row.gen_us for row in rows if row.gen_us and row.n_out > 1)
        speed = f"{tokens / micros * 1e6:.1f} tokens a second each" if micros else "not measured yet"
        uptime = int(time.monotonic() - self.service.started)
        lines = [
            f"model     {', '.join(map(short_name, chat.models))}",
            f"replies   {chat.running + len(self.service.waiting)} being made or waiting",
            f"speed     {speed} (last {len(rows)} replies)",
            f"memory    {resident_mb()} MB",
            f"gateway   {self.bot.latency * 1000:.0f} ms",
            f"up        {uptime // 3600} h {uptime // 60 % 60} min",
        ]
        if trouble := chat.speaker.engine.trouble:
            lines.append(f"engine    {trouble}")
        await tell(interaction, "```\n" + "\n".join(lines) + "\n```")

    async def _newest(self) -> list[int]:
        latest = await self.service.chat.store.latest_turn()
        return [] if latest is None else list(range(max(1, latest - SPEED_TURNS + 1), latest + 1))

    @admin.command(name="sync", description="Tell Discord my commands once more (the bot's owner).")
    async def sync(self, interaction: discord.Interaction[Any]) -> None:
        if not await self.bot.is_owner(interaction.user):
            await tell(interaction, "Only the bot's owner can do that.")
            return
        await acknowledge(interaction, ephemeral=True, thinking=True)
        try:
            count, changed = await sync(self.bot)
        except discord.HTTPException as error:
            raise UserError(f"Discord did not take my commands: {error}") from error
        before = "not the ones it was told before" if changed else "the ones it was told before"
        await tell(interaction, f"Synced: Discord was told my {count} commands and menus, {before}.")

    def _guild(self, interaction: discord.Interaction[Any]) -> GuildPreferences:
        return self.service.preferences.guild(interaction.guild_id)

    async def _set(self, interaction: discord.Interaction[Any], said: str, **values: Any) -> None:
        assert interaction.guild_id is not None
        if values:
            await self.service.preferences.set_guild(interaction.guild_id, **values)
        await tell(interaction, said)


def allowed(per_minute: float) -> str:
    replies = "reply" if per_minute == 1 else "replies"
    return f"{per_minute:g} {replies} a minute" if per_minute else "any number of replies"


def _changed(bounds: Bounds, name: str, bound: Range) -> Bounds:
    others = {each: value for each, value in bounds.items() if each != name}
    return others if bound == (None, None) else {**others, name: bound}


def resident_mb() -> int:
    """Megabytes of memory in use; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0
    return pages * 4096 >> 20
