"""`/session`, `/privacy`, `/forget`, `/export-my-data`: what is kept, and what becomes of it."""

import contextlib
import json
import re
from typing import Any, Literal, Self, cast

import discord
from discord import app_commands
from discord.ext import commands

from ..config import StoreSection
from ..store.clock import now_us
from ..store.export import markdown
from ..store.personal import of_person
from ..store.records import SessionRow
from ..store.sessions import update_session
from .cog import ServiceCog, acknowledge, answering, tell
from .display import counted
from .fitting import as_file
from .service import Running
from .transient import TROUBLE
from .tuning import MAY_NOT, may_tune, refused
from .views import PREFIX

Keep = Literal["keep", "keep nothing"]
RECENT = 20
"""Conversations of a place, among which somebody's own is looked for."""

PRIVACY = """\
**What is kept**: what you say to me (and messages that belong to such a conversation), what I answer, and for \
every token I wrote, what was predicted and drawn. It is what makes every reply explainable.
**Where**: in one database file on the machine I run on. No part of it is sent anywhere: the model runs there too.
**Who sees it**: whoever runs this bot. In Discord, a reply can be explained by those who can read it.
**How long**: {how_long}. A message you delete goes from the log too. `/forget` erases everything of yours.
**You may opt out**: `/privacy mine:keep nothing`. I then answer each message on its own, keep nothing, and \
nothing you say is context for others."""


def how_long(kept: StoreSection, guild: int | None) -> str:
    """The retention of [store], in words."""
    here = next(((days, mb) for server, days, mb in kept.keep_servers if server == guild), None)
    days, megabytes = here or (kept.keep_days, kept.keep_mb)
    limits = [f"{counted(days, 'day')} after it was last gone on with"] if days else []
    limits += [f"while all of it is less than {megabytes} MB, the oldest going first"] if megabytes else []
    return ", and ".join(limits) or "until it is erased"


class ForgetButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=rf"{PREFIX}:forget:(?P<user>\d+)"):
    """One dangerous button, for one person; it works after a restart, too."""

    def __init__(self, user: int) -> None:
        label, style = "Erase everything of mine", discord.ButtonStyle.danger
        super().__init__(discord.ui.Button(custom_id=f"{PREFIX}:forget:{user}", label=label, style=style))
        self.user = user

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["user"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        cog = cast(commands.Bot, interaction.client).get_cog("Glasshead keeping")
        assert isinstance(cog, Keeping), "the button is removed with its cog"
        await cog.forget_now(interaction, self.user)


class Keeping(ServiceCog, name="Glasshead keeping"):
    """The log, as far as people reach it from Discord."""

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(ForgetButton)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(ForgetButton)

    session = app_commands.Group(name="session", description="The logged conversation in this channel or thread.")

    @session.command(name="show", description="The latest conversation here, in numbers.")
    async def show(self, interaction: discord.Interaction[Any]) -> None:
        row = await self._latest(interaction)
        if row is not None:
            ended = "" if row.ended_us is None else ", ended"
            since = f"<t:{row.created_us // 1_000_000}:R>"
            title = discord.utils.escape_markdown(row.title or "untitled")
            replies = counted(row.n_turns, "reply", "replies")
            await tell(interaction, f"Session {row.id}: *{title}*, {replies}, begun {since}{ended}.")

    @session.command(name="rename", description="Give the latest conversation here a title.")
    @app_commands.describe(title="What it is to be called.")
    async def rename(self, interaction: discord.Interaction[Any], title: app_commands.Range[str, 1, 100]) -> None:
        row = await self._latest(interaction)
        if row is not None and not await self._refused(interaction, row):
            await self.service.chat.store.rename_session(row.id, title)
            await tell(interaction, f"Session {row.id} is now called *{discord.utils.escape_markdown(title)}*.")

    @session.command(name="end", description="End the conversation here: the next message begins a new one.")
    async def end(self, interaction: discord.Interaction[Any]) -> None:
        row = await self._latest(interaction)
        if row is None or await self._refused(interaction, row):
            return
        if row.ended_us is not None:
            await tell(interaction, "There is nothing to end here: the next message begins a new session anyway.")
            return
        await self.service.chat.store.database.write(lambda c: update_session(c, row.id, ended_us=now_us()))
        await tell(interaction, f"Session {row.id} has ended. The next message begins a new one.")

    @session.command(name="export", description="The latest conversation here as a Markdown file.")
    async def export(self, interaction: discord.Interaction[Any]) -> None:
        row = await self._latest(interaction)
        if row is None:
            return
        store = self.service.chat.store
        said = row, await store.messages(row.id), await store.turns(row.id)
        remedy = f"Whoever runs me can hand it to you: `glasshead log export session:{row.id} --format markdown`."
        file = await as_file(lambda: markdown(*said), f"session-{row.id}.md", interaction.filesize_limit, remedy)
        await tell(interaction, f"Session {row.id} as a file.", file)

    @session.command(name="review", description="Where to review the latest conversation here.")
    async def review(self, interaction: discord.Interaction[Any]) -> None:
        row = await self._latest(interaction)
        if row is None:
            return
        if not await self.bot.is_owner(interaction.user):
            await tell(interaction, "The review page is on my operator's machine, and theirs alone.")
            return
        port = self.service.settings.review.port
        await tell(interaction, f"Start `glasshead review`, then open <http://127.0.0.1:{port}/session/{row.id}>.")

    async def _latest(self, interaction: discord.Interaction[Any]) -> SessionRow | None:
        """The conversation here; where everybody has one, their own if they have. Told about if there is none.
        Acknowledges."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        rows = await self.service.chat.store.sessions(channel_id=interaction.channel_id, limit=RECENT)
        if not rows:
            await tell(interaction, "Nothing has been said to me here yet.")
            return None
        apart = self.service.scope(interaction.channel, interaction.guild_id) == "replies"
        own = (row for row in rows if apart and row.person == interaction.user.id)
        return next(own, rows[0])

    async def _refused(self, interaction: discord.Interaction[Any], row: SessionRow) -> bool:
        return row.person != interaction.user.id and await refused(interaction)

    @app_commands.command(description="What is kept, for how long, and who sees it; opt out.")
    @app_commands.describe(mine="Whether to keep what you say.", here="Whether to keep what is said here.")
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def privacy(
        self, interaction: discord.Interaction[Any], mine: Keep | None = None, here: Keep | None = None
    ) -> None:
        said = []
        if mine is not None:
            await self.service.preferences.set_opted_out(interaction.user.id, mine == "keep nothing")
            more = " What was kept before stays until you use `/forget`." if mine == "keep nothing" else ""
            said.append(f"Of what you say, anywhere: {mine}.{more}")
        if here is not None and await may_tune(interaction):
            assert interaction.channel_id is not None
            await self.service.preferences.set_channel(interaction.channel_id, private=here == "keep nothing")
            said.append(f"Here: {here}.")
            if here == "keep" and self.service.set_here(interaction.channel).private:
                said.append("But nothing is kept in the channel this thread belongs to, and so nothing here.")
        elif here is not None:
            said.append(MAY_NOT)
        if not said:
            out = self.service.private(interaction.user.id, interaction.channel)
            kept = PRIVACY.format(how_long=how_long(self.service.settings.store, interaction.guild_id))
            said = [kept, f"**Now**: {'nothing of this is kept' if out else 'what you say here is kept'}."]
        await tell(interaction, "\n".join(said))

    @app_commands.command(description="Erase everything of yours from the log.")
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def forget(self, interaction: discord.Interaction[Any]) -> None:
        sure = discord.ui.View(timeout=None)
        sure.add_item(ForgetButton(interaction.user.id))
        sure.stop()  # presses arrive at the dynamic item
        await tell(
            interaction,
            "This erases from the log everything you said to me and what I answered, for good. Messages in Discord "
            "stay: delete those there. Replies of mine that quote you go, too; from what others said, your words "
            "are taken out.",
            view=sure,
        )

    async def forget_now(self, pressed: discord.Interaction[Any], user: int) -> None:
        """The button was pressed."""
        if pressed.user.id != user:
            async with answering(pressed):
                await tell(pressed, "That button is not yours.")
            return
        with contextlib.suppress(discord.HTTPException, *TROUBLE):  # erased it is, whatever can be shown of it
            await pressed.response.edit_message(content="Erasing …", view=None)
        with self.service.waited_for():
            async with answering(pressed):
                await pressed.edit_original_response(content=await self._erase(user))

    async def _erase(self, user: int) -> str:
        async with self.service.beginning(user):  # nothing of theirs is between coming and being queued
            for theirs in [each for each in self.service.unfinished if each.requester == user]:
                await theirs.stop()
                if isinstance(theirs, Running):
                    await theirs.shown.wait()
            receipt = await self.service.chat.store.erase_person(user)
        return (
            f"**Erased** <t:{receipt.done_us // 1_000_000}:f>: {counted(receipt.messages, 'message')} of yours, "
            f"{counted(receipt.replies, 'reply', 'replies')}, {counted(receipt.passages, 'quotation')}, "
            f"{counted(receipt.thumbs, 'thumb')}, {counted(receipt.notes, 'note')}. "
            f"Replies to others that had read your words and can no longer be replayed: {receipt.prompts}."
        )

    @app_commands.command(
        name="export-my-data",
        description="Everything you said, what was answered to it, and your thumbs, as a file.",
    )
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def export_my_data(self, interaction: discord.Interaction[Any]) -> None:
        await acknowledge(interaction, ephemeral=True, thinking=True)
        user = interaction.user.id
        data = await self.service.chat.store.database.read(lambda c: of_person(c, user))
        remedy = f"Whoever runs me can hand it to you: `glasshead log export user:{user}`."
        file = await as_file(
            lambda: json.dumps(data, ensure_ascii=False, indent=1),
            "my-data.json",
            interaction.filesize_limit,
            remedy,
        )
        messages = counted(len(data["messages"]), "message")
        replies = counted(len(data["turns"]), "reply", "replies")
        await tell(interaction, f"{messages} of yours and {replies}, as a file.", file)
