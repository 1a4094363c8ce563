"""Adding to the log: sessions, and what people say in them."""

from typing import Any

import discord

from ..store import Store
from ..store.continuing import has_namesake
from .logged import Opening
from .names import speaker
from .reading import words_of
from .rereading import system_prompt
from .service import Service, guild_of


class Adding:
    """For one bot account."""

    def __init__(self, service: Service, us: discord.ClientUser) -> None:
        self._service = service
        self._store: Store = service.chat.store
        self._us = us

    def opening(self, message: discord.Message) -> Opening:
        """Of the conversation that a message may begin."""
        guild, words = guild_of(message), words_of(message, self._us.id)
        kind = "thread" if isinstance(message.channel, discord.Thread) else "channel" if guild else "direct"
        return Opening(message.channel, message.channel.id, guild, kind, message.author.id, words)

    def asked(
        self, interaction: discord.Interaction[Any], text: str, thread: discord.Thread | None = None
    ) -> Opening:
        """By a command; ``thread``: one that was opened for it."""
        guild, id_ = interaction.guild_id, thread.id if thread else interaction.channel_id
        kind = "thread" if thread else "channel" if guild else "direct"
        return Opening(thread or interaction.channel, id_, guild, kind, interaction.user.id, text)

    async def start(self, opening: Opening) -> int:
        """A session."""
        return await self._store.start_session(
            title=" ".join(opening.words.split())[:80],
            kind=opening.kind,
            guild_id=opening.guild_id,
            channel_id=opening.channel_id,
            person=opening.person,
        )

    async def root(self, session: int, channel: object) -> int | None:
        """What a session begins with: the system prompt, if there is one."""
        system = system_prompt(self._service, channel)
        return await self._store.append_message(session, "system", system) if system else None

    async def append(
        self,
        session: int,
        parent: int | None,
        message: discord.Message,
        text: str,
        *,
        author: str | None = None,
    ) -> int:
        """Add what a person said; ``author``: the name it was logged under before."""
        name = author or (await self.named(session, message.author) if guild_of(message) else None)
        return await self._store.append_message(
            session,
            "user",
            text,
            parent=parent,
            author=name,
            person=message.author.id,
            discord_message_id=message.id,
        )

    async def named(self, session: int, user: discord.abc.User) -> str:
        """What somebody is called in a conversation: with the account's name, which is one person's, where another
        is called the same there."""
        name = speaker(user.display_name, user.id, user.name)
        taken = await self._store.database.read(lambda c: has_namesake(c, session, name, user.id))
        return f"{name} ({speaker(user.name, user.id)})" if taken else name

    async def copied(self, session: int, leaf: int) -> int | None:
        """Copy the line of the log that ends with ``leaf`` into another session: its end there."""
        rows = [
            await self._store.message(each.id)
            for each in await self._store.conversation(leaf)
            if each.id is not None
        ]
        parent: int | None = None
        for row in rows:
            shown = None
            if row.turn is not None and row.role == "assistant":
                shown = next(iter(await self._store.discord_messages(row.turn)), None)
            parent = await self._store.copy_message(row.id, parent=parent, session=session, discord_id=shown)
        return parent
