"""What the buttons under a reply do. A dynamic item is made anew from the button's id at each press."""

import re
from typing import Any, Self, cast

import discord
from discord.ext import commands

from ..chat import ReplyRequest
from ..chat.unlogged import NO_TURN
from ..errors import UserError
from ..explain.turn import Turn
from ..store.continuing import end_of, versions
from .again import heading, texts_again
from .cog import ServiceCog, acknowledge, answering, tell
from .interaction_surface import InteractionSurface, is_member, place_of
from .presenter import present
from .rereading import Rereading, system_prompt
from .rights import manages
from .service import Running, Service
from .surface import Gone, Surface
from .views import PREFIX, button, finished_view
from .waiting import STARTED_AGAIN

BEING_WRITTEN = "Another reply is just being written there."
NOT_YOURS = "Only the person who asked (or who manages messages here) can do that."


class ReplyButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=rf"{PREFIX}:(?P<action>stop|retry|version|up|down):(?P<turn>\d+)",
):
    """Stop, retry, thumbs, versions."""

    def __init__(self, action: str, turn: int) -> None:
        super().__init__(button(action, turn))
        self.action = action
        self.turn = turn

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], int(match["turn"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        cog = cast(commands.Bot, interaction.client).get_cog("Glasshead buttons")
        assert isinstance(cog, ReplyButtons), "the button is removed with its cog"
        await cog.pressed(interaction, self.action, self.turn)


class ReplyButtons(ServiceCog, name="Glasshead buttons"):
    """Keeps the dynamic item registered, and does what is pressed."""

    def __init__(self, bot: commands.Bot, service: Service) -> None:
        super().__init__(bot, service)
        self._retried: set[int] = set()
        """Turns in whose place another is just being written: their buttons stay until its first words."""

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(ReplyButton)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(ReplyButton)

    async def pressed(self, interaction: discord.Interaction[Any], action: str, turn: int) -> None:
        with self.service.waited_for():
            await self._pressed(interaction, action, turn)

    async def _pressed(self, interaction: discord.Interaction[Any], action: str, turn: int) -> None:
        async with answering(interaction):
            await acknowledge(interaction)
            if action == "stop":
                await self._stop(interaction, turn)
                return
            await self.service.check_shown(interaction, turn)
            if action in ("up", "down"):
                await self._thumb(interaction, turn, 1 if action == "up" else -1)
            elif not await self._may(interaction, turn):
                await tell(interaction, NOT_YOURS)
            elif action == "version":
                await self._version(interaction, turn)
            elif turn in self._retried:
                await tell(interaction, BEING_WRITTEN)
            else:
                self._retried.add(turn)
                try:
                    await self._retry(interaction, turn)
                finally:
                    self._retried.discard(turn)

    async def _may(self, interaction: discord.Interaction[Any], turn: int) -> bool:
        if manages(interaction, "manage_messages"):
            return True
        running = self.service.running_turn(turn)
        if running is not None and running.requester == interaction.user.id:
            return True
        store = self.service.chat.store
        asked = (await store.turn(turn)).prompt_message
        if asked is not None and (await store.message(asked)).person == interaction.user.id:
            return True  # whoever had the reply written
        return (await store.turn_rows([turn]))[0].requester in (None, interaction.user.id)

    async def _thumb(self, interaction: discord.Interaction[Any], turn: int, value: int) -> None:
        self.service.check_kept(interaction)
        await self.service.chat.store.set_feedback(turn, person=interaction.user.id, value=value)
        await tell(interaction, "Thank you, noted: 👍" if value > 0 else "Thank you, noted: 👎")

    async def _stop(self, interaction: discord.Interaction[Any], turn: int) -> None:
        assert interaction.message is not None
        logged = turn != NO_TURN
        running = self.service.running_turn(turn) or self.service.shown_in(interaction.message.id)
        if running is None:
            await tell(interaction, "That reply is not being written any more.")
        elif running.requester == interaction.user.id or (
            await self._may(interaction, turn) if logged else manages(interaction, "manage_messages")
        ):
            await running.stop()
        else:
            await tell(interaction, NOT_YOURS)

    async def _retry(self, interaction: discord.Interaction[Any], turn: int) -> None:
        """Another reply to the same message as it reads now, in place, on a fresh seed."""
        if self.service.running_turn(turn) is not None:
            await tell(interaction, "That reply is still being written.")
            return
        self.service.check_kept(interaction)
        self.service.check(interaction)
        store = self.service.chat.store
        old = await store.turn(turn)
        asked = old.prompt_message
        if asked is None or (await store.message(asked)).erased:
            raise UserError("what that reply answered was erased")
        request = ReplyRequest(
            session=old.session,
            message=await self._as_it_reads(interaction, old.session, asked),
            sampling=self.service.sampling(interaction.channel, interaction.guild_id),
            user=str(interaction.user.id),
            requester=interaction.user.id,
            model=self.service.model(interaction.channel, interaction.guild_id),
        )
        surface = await self._surface(interaction, turn, f"{interaction.id}")
        surface.heading = await heading(self.service, old)
        ends_at = surface.ends_at if isinstance(surface, InteractionSurface) else None
        reply = self.service.chat.reply(request)
        running = Running(reply, interaction.user.id, interaction.channel_id or 0, ends_at=ends_at)
        await self.service.spawn(present(self.service, running, surface))
        if surface.refused:
            raise UserError(f"I may not change that reply any more: {surface.refused}")
        if running.left and not running.removed:
            await self._put_back(interaction, old, surface, running)

    async def _put_back(
        self, interaction: discord.Interaction[Any], old: Turn, surface: Surface, running: Running
    ) -> None:
        """What was to take the place of a reply never began: that stands there again. Raises UserError to say why,
        unless somebody wanted it so."""
        if not surface.untouched:
            await self._put(interaction, old, surface)
        if self.service.closing:
            raise UserError(STARTED_AGAIN)
        if not running.stopped:
            made = None if running.turn is None else await self.service.chat.store.turn(running.turn)
            raise UserError((made.error if made is not None else None) or "no other reply could be made")

    async def _as_it_reads(self, interaction: discord.Interaction[Any], session: int, asked: int) -> int:
        """What a reply answers, in its newest version, and below all that is above it as that reads now: where the
        conversation goes on from there, or branches as it likes (what was said in a command never does). In the
        middle of a line it stays where it is, lest the line go on from there."""
        store = self.service.chat.store
        newest: int = (await store.database.read(lambda c: versions(c, asked)))[-1]
        row = await store.message(newest)
        scope = self.service.scope(interaction.channel, interaction.guild_id)
        if row.discord_message_id is None or scope != "replies":
            end = await store.database.read(lambda c: end_of(c, session))
            above = None if end is None else (await store.message(end[0])).parent
            if above not in await store.database.read(lambda c: versions(c, asked)):
                return newest
        system = system_prompt(self.service, interaction.channel)
        leaf = await Rereading(self.service).as_it_now_reads(session, newest, system)
        read = None if leaf is None else await store.message(leaf)
        same = read is not None and (read.role, read.text, read.discord_message_id) == (
            row.role,
            row.text,
            row.discord_message_id,
        )
        return leaf if leaf is not None and same else newest

    async def _version(self, interaction: discord.Interaction[Any], turn: int) -> None:
        """Show another reply to the same message in the same place; what is said next follows it."""
        store = self.service.chat.store
        assert interaction.message is not None
        shown = await store.turn_of_discord_message(interaction.message.id)
        if shown in self._retried:
            await tell(interaction, BEING_WRITTEN)
            return
        wanted = await store.turn(turn)
        surface = await self._surface(interaction, shown if shown is not None else turn, f"{interaction.id}")
        await self._put(interaction, wanted, surface)

    async def _put(self, interaction: discord.Interaction[Any], turn: Turn, surface: Surface) -> None:
        """Show a logged reply where another one stands. Raises UserError where that cannot be."""
        store = self.service.chat.store
        await store.link_discord(turn.id, surface.ids)  # first: a reply to what is shown then may come at once
        texts, file = await texts_again(self.service, turn, surface)
        try:
            async with self.service.turnstile(interaction.channel_id or 0):
                await surface.finish(texts, await finished_view(store, turn.id), file)
        except Gone as gone:
            raise UserError("that message is gone, or I may not change it any more") from gone
        await surface.settle(store, turn.id)

    async def _surface(self, interaction: discord.Interaction[Any], turn: int, name: str) -> Surface:
        """The messages that show ``turn``, to be written over."""
        assert interaction.message is not None
        if not is_member(interaction):
            return InteractionSurface(interaction, [interaction.message])
        channel: Any = place_of(interaction)  # all that a bot is a member of have partial messages
        ids = await self.service.chat.store.discord_messages(turn) or [interaction.message.id]
        partial = [channel.get_partial_message(id) for id in ids]
        return Surface(channel, name=name, messages=partial)
