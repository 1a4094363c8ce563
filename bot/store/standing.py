"""Which Discord messages the log holds words of, and in which channels they stand."""

from typing import Any

import sqlalchemy as sa

from .rows import is_damage, readable
from .tables import discord_part, message, session, turn

MOST = 5_000


def standing(connection: sa.Connection, after: int) -> dict[int, set[int]]:
    """By channel, what people said and what shows the replies to it, of the messages newer than ``after``: the
    newest few thousand.

    Left out is what may not be found in its channel although it is there, replies to commands: Discord may show
    them to one person only. And what a conversation took over from elsewhere (a thread goes on from what was said
    in its channel): it is older than the place it is in.
    """
    typed = (
        sa.select(session.c.channel_id, message.c.discord_message_id)
        .join(session, session.c.id == message.c.session_id)
        .where(message.c.discord_message_id > after, message.c.role == "user")
        .where(message.c.discord_message_id > session.c.channel_id)
    )
    asked, reply = message.alias("asked"), message.alias("reply")
    shown = (
        sa.select(session.c.channel_id, discord_part.c.discord_message_id)
        .join(turn, turn.c.id == discord_part.c.turn_id)
        .join(session, session.c.id == turn.c.session_id)
        .join(asked, asked.c.id == turn.c.prompt_message_id)
        .join(reply, reply.c.id == turn.c.reply_message_id)
        .where(discord_part.c.discord_message_id > after, asked.c.discord_message_id.is_not(None), ~reply.c.erased)
        .where(discord_part.c.discord_message_id > session.c.channel_id)
    )
    both = sa.union_all(typed, shown).subquery()
    newest = sa.select(both).order_by(both.c.discord_message_id.desc()).limit(MOST)
    out: dict[int, set[int]] = {}
    try:
        found: list[Any] = [*connection.execute(newest)]
    except sa.exc.DatabaseError as error:
        if not is_damage(error):
            raise
        found = _one_by_one(connection, typed, message, after) + _one_by_one(connection, shown, discord_part, after)
    for channel, id_ in found:
        out.setdefault(channel, set()).add(id_)
    return out


def _one_by_one(connection: sa.Connection, query: sa.Select[Any], table: sa.Table, after: int) -> list[Any]:
    """Where the log is damaged, what can be read of the newest."""
    column = table.c.discord_message_id
    newest = sa.select(column).where(column > after).order_by(column.desc()).limit(MOST)
    return readable(connection, query, column, lambda: connection.execute(newest).scalars().all())
