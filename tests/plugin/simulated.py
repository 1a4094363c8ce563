"""A server on simcord, with people of different ranks: no wire, no clock, no model."""

from dataclasses import dataclass
from typing import Any

import discord
from glasshead.plugin.client import Client
from scripted import Scripted
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, GuildHandle
from simcord.env import Env
from simcord.results import InteractionResult


@dataclass
class Place:
    """A server with a channel; alice and bob, carol who manages messages, dave who manages the server."""

    env: Env
    guild: GuildHandle
    channel: ChannelHandle
    alice: MemberActor
    bob: MemberActor
    carol: MemberActor
    dave: MemberActor
    alice_alone: ChannelHandle
    """Her direct messages with the bot."""

    @property
    def bot(self) -> Client:
        assert isinstance(self.env.bot, Client)
        return self.env.bot

    @property
    def chat(self) -> Scripted:
        assert self.bot.service is not None and isinstance(self.bot.service.chat, Scripted)
        return self.bot.service.chat

    @property
    def mention(self) -> str:
        assert self.bot.user is not None
        return self.bot.user.mention

    async def ask(self, who: MemberActor, text: str = "Hello", **more: Any) -> discord.Message:
        """Mention the bot; what it said last there."""
        await who.send(self.channel, f"{self.mention} {text}", **more)
        return self.said()

    def asked(self) -> list[str]:
        """What people had said in the conversation that the model was given last."""
        return [text for role, text in self.chat.heard[-1] if role == "user"]

    async def thread_on(self, said: discord.Message) -> ChannelHandle:
        """The thread that somebody opens on a message."""
        thread = await said.create_thread(name="talk")
        await self.env.settle()
        return next(each for each in self.channel.threads if each.id == thread.id)

    def said(self, channel: ChannelHandle | None = None) -> discord.Message:
        message = (channel or self.channel).last_message
        assert message is not None
        return message

    async def tell(self, who: MemberActor, command: str, /, **options: Any) -> str:
        """Give a command; the words it is answered with."""
        return words(await who.slash(self.channel, command, **options))


def words(result: InteractionResult) -> str:
    assert result.acknowledged and result.response is not None
    return "\n".join([result.response.content, *(each.content for each in result.followups)])
