"""`/chat`, `/stop`, `/help` and the menu *Continue from here*: talking without writing a message."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from ..chat import ReplyRequest
from ..errors import UserError
from ..store import StoreError
from .again import quoted
from .cog import ServiceCog, acknowledge, answering, in_time, show_form, tell
from .display import small
from .explaining import EVERYWHERE, INSTALLS
from .history import Before, History
from .interaction_surface import InteractionSurface, is_member
from .line import turn_of
from .presenter import present
from .reading import spelled
from .rights import manages
from .service import NOBODY, Running, Service, Waiting, places
from .surface import Gone, Surface
from .waiting import STARTED_AGAIN, STOPPED

Follows = Callable[[History, str], Awaitable[Before | None]]
"""Finds what in the log something said in a command follows, from that."""

MENU = "Continue from here"
HELP = """\
**Talk**: mention me, reply to me, write me a direct message, or use `/chat`. I read the whole reply chain or \
thread every time; nothing else is remembered.
**Explain**: right-click a reply → Apps → *Explain this reply*, the button under it, or `/explain`: every token, \
what else it might have been, and why it fell so. `/tour` shows how it works, live.
**Under a reply**: *Retry* writes another one in place, 👍 👎 are kept as feedback, *Stop* ends one that is being \
written (so does `/stop`). Right-click → *Continue from here* takes up any earlier reply.
**Here**: `/system` what I am told first · `/settings` how tokens are picked · `/model` who answers · `/session`
**Yours**: `/privacy` what is kept · `/forget` erase it · `/export-my-data` have it"""


async def _nothing(_: History, __: str) -> None:
    """It begins a conversation."""


def _check_threads(interaction: discord.Interaction[Any]) -> None:
    """Raise UserError where no thread can be opened."""
    has = interaction.app_permissions
    if not isinstance(interaction.channel, discord.TextChannel) or not is_member(interaction):
        raise UserError("a thread can only be opened in a text channel of a server I am a member of")
    if not (has.create_public_threads and has.send_messages_in_threads):
        raise UserError("I lack **Create Public Threads** or **Send Messages in Threads** in this channel")


class Asking(ServiceCog, name="Glasshead asking"):
    """Commands that lead to a reply, or end one."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        menu = app_commands.ContextMenu(name=MENU, callback=self._continue)
        menu.allowed_contexts, menu.allowed_installs = EVERYWHERE, INSTALLS
        self.menus = (menu,)

    async def cog_load(self) -> None:
        self.add_menus()

    async def cog_unload(self) -> None:
        self.remove_menus()

    @property
    def history(self) -> History:
        assert self.bot.user is not None, "commands come after login"
        return History(self.service, self.bot.user)

    @app_commands.command(description="Say something to me, also where I am not a member.")
    @app_commands.describe(
        text="What you want to say.", fresh="Begin anew; usually it goes on with yours.", thread="In a new thread."
    )
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def chat(
        self,
        interaction: discord.Interaction[Any],
        text: app_commands.Range[str, 1, 6000],
        fresh: bool = False,
        thread: bool = False,
    ) -> None:
        _check_words(text)
        if thread:
            _check_threads(interaction)
        self.service.check(interaction)
        await acknowledge(interaction, thinking=True)
        if thread:
            await self.answer(interaction, text, _nothing, await self._thread(interaction, text))
        elif fresh:
            await self.answer(interaction, text, _nothing)
        else:
            await self.answer(interaction, text, lambda history, said: history.latest_of(interaction, said))

    @app_commands.command(description="Stop what I am writing for you here.")
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def stop(self, interaction: discord.Interaction[Any]) -> None:
        everybody = manages(interaction, "manage_messages")
        mine = [
            each
            for each in self.service.unfinished
            if each.channel == interaction.channel_id and (everybody or each.requester == interaction.user.id)
        ]
        for each in mine:
            await each.stop()
        await tell(interaction, "Stopped." if mine else "I am not writing anything for you here.")

    @app_commands.command(description="What I can do, in short.")
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def help(self, interaction: discord.Interaction[Any]) -> None:
        await tell(interaction, HELP)

    async def _continue(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        async with answering(interaction):
            self.service.check_kept(interaction)
            await show_form(interaction, Continue(self, await in_time(self._continued(message))))

    async def _continued(self, message: discord.Message) -> int:
        """The turn that a message shows. Raises UserError where none can be gone on with."""
        turn = await self.service.turn_shown(message.id, *places(message.channel))
        if turn is None:
            raise UserError("I did not write that: reply to it and mention me instead.")
        end = await self.history.end_of_turn(turn)
        if end is None or await self.history.erased(end[1]):
            raise UserError("what that reply said was erased: nobody can go on from it")
        return turn

    async def _thread(self, interaction: discord.Interaction[Any], text: str) -> discord.Thread:
        """A thread of ours, below what was said. In it nobody needs to mention the bot."""
        channel = interaction.channel
        assert isinstance(channel, discord.TextChannel), "that was checked"
        said = await interaction.edit_original_response(content=quoted(text), allowed_mentions=NOBODY)
        try:
            name = " ".join((await spelled(text, interaction)).split())[:90]
            return await channel.create_thread(name=name, message=discord.Object(said.id))
        except discord.HTTPException as error:
            raise UserError(f"Discord does not let me open a thread here: {error.text or error}") from error

    async def answer(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        follows: Follows,
        thread: discord.Thread | None = None,
    ) -> None:
        """Reply to ``text`` in the deferred response of an interaction, or in a thread opened for it."""
        with self.service.waited_for():
            await self._answer_in_turn(interaction, text, follows, thread)

    async def _answer_in_turn(
        self, interaction: discord.Interaction[Any], text: str, follows: Follows, thread: discord.Thread | None
    ) -> None:
        place = thread or interaction.channel
        line = self.service.line(place, interaction.guild_id) if is_member(interaction) else nullcontext()
        surface: Surface
        if thread is not None:
            surface = Surface(thread, name=str(interaction.id))
        else:
            surface = InteractionSurface(interaction)
            surface.heading = quoted(text) + "\n"
        waiting = Waiting(interaction.user.id, getattr(place, "id", 0))
        async with turn_of(self.service, waiting, surface, line) as come:
            if come and await self._answer(interaction, text, follows, thread, surface):
                return
        with suppress(Gone):  # it was deleted
            await surface.show([small(STARTED_AGAIN if self.service.closing else STOPPED)])

    async def _answer(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        follows: Follows,
        thread: discord.Thread | None,
        surface: Surface,
    ) -> bool:
        """Whether it was answered; False: the bot is being stopped, and had not come to it."""
        await self.service.changed()
        said = await spelled(text, interaction)
        request = ReplyRequest(
            session=0,
            message=0,
            sampling=self.service.sampling(interaction.channel, interaction.guild_id),
            seed=self.service.seed(interaction.channel, interaction.guild_id),
            user=str(interaction.user.id),
            requester=interaction.user.id,
            model=self.service.model(interaction.channel, interaction.guild_id),
        )
        notes: list[str] = []
        if self.service.private(interaction.user.id, interaction.channel):
            reply = self.service.chat.unlogged(self.history.single(said, interaction.channel), request)
        else:
            history = self.history
            try:
                logged = await history.add_text(interaction, said, await follows(history, said), thread)
                notes += await self.service.welcome(interaction.guild_id)
            except StoreError as gap:
                reply = self.service.chat.unlogged(self.history.single(said, interaction.channel), request, gap)
            else:
                notes += logged.notes
                reply = self.service.chat.reply(replace(request, session=logged.session, message=logged.message))
        place = thread.id if thread else interaction.channel_id or 0
        ends_at = surface.ends_at if isinstance(surface, InteractionSurface) else None
        running = Running(reply, interaction.user.id, place, ends_at=ends_at)
        await self.service.spawn(present(self.service, running, surface, tuple(notes)))
        if running.left and running.turn is not None:
            await self.service.chat.store.link_discord(running.turn, [])
        return not running.left or running.removed


def _check_words(text: str) -> None:
    """Raise UserError where nothing is said."""
    if not text.strip():
        raise UserError("I see an empty message")


class Continue(discord.ui.Modal, title=MENU):
    """What to say after an earlier reply."""

    def __init__(self, asking: Asking, turn: int) -> None:
        super().__init__()
        self._asking, self._turn = asking, turn
        self._text: discord.ui.TextInput[Any] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, max_length=4000
        )
        self.add_item(discord.ui.Label(text="What do you say after this reply?", component=self._text))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        async with answering(interaction):
            _check_words(self._text.value)
            self._asking.service.check(interaction)
            await acknowledge(interaction, thinking=True)
            await self._asking.answer(
                interaction, self._text.value, lambda history, _: history.end_of_turn(self._turn)
            )
