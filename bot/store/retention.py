"""Keeping a log within an age and a size: the oldest sessions go first, a few rows at a time.

A session is as old as its newest turn. It goes from the end, so that a crash leaves it shorter, never torn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa

from .clock import DAY_US, now_us
from .database import Database
from .tables import discord_part, message, prompt_block, session, trace, turn
from .traces import delete_trace

ROWS = 12
"""Turns or messages deleted in one transaction: some ten milliseconds under the write lock."""
TURN_BYTES = 1500
"""What a turn takes besides its trace: its rows, indexes and part of the search index."""


@dataclass(frozen=True, slots=True)
class Limit:
    """None is no limit. ``bytes`` is an estimate: what a deleted session leaves is used again, not given back."""

    days: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """``servers`` overrides ``default`` for sessions of that Discord server."""

    default: Limit = Limit()
    servers: Mapping[int, Limit] = field(default_factory=dict)


async def prune(database: Database, limits: Limits, *, now: int | None = None) -> list[int]:
    """Delete the sessions beyond the limits; which ones went."""
    moment = now_us() if now is None else now
    doomed = await database.read(lambda c: _beyond(c, limits, moment))
    gone = []
    for session_id in doomed.sessions:
        state: _State = "going"
        while state == "going":
            state = await database.write(lambda c, s=session_id: _delete_some(c, s, doomed))  # type: ignore[misc]
        if state == "gone":
            gone.append(session_id)
    return gone


@dataclass(frozen=True, slots=True)
class _Doomed:
    """Sessions beyond the limits, oldest first, as of a moment: the newest turn and message then."""

    sessions: list[int]
    turn: int
    message: int


_State = Literal["going", "gone", "stays"]


def _beyond(connection: sa.Connection, limits: Limits, now: int) -> _Doomed:
    """The sessions beyond the limits of their server; one with an open turn stays."""
    size = (sa.func.coalesce(sa.func.sum(trace.c.size), 0) + sa.func.count(turn.c.id) * TURN_BYTES).label("size")
    newest = sa.func.coalesce(sa.func.max(turn.c.created_us), session.c.created_us).label("newest")
    busy = sa.func.coalesce(sa.func.max(turn.c.status == "pending"), 0).label("busy")
    query = (
        sa.select(session.c.id, session.c.guild_id, size, newest, busy)
        .outerjoin(turn, turn.c.session_id == session.c.id)
        .outerjoin(trace, trace.c.turn_id == turn.c.id)
        .group_by(session.c.id)
        .order_by(session.c.last_turn_id.desc(), session.c.id.desc())
    )
    kept: dict[int | None, int] = {}
    doomed: list[int] = []
    for row in connection.execute(query):
        server = row.guild_id if row.guild_id in limits.servers else None
        limit = limits.default if server is None else limits.servers[server]
        kept[server] = kept.get(server, 0) + row.size
        too_old = limit.days is not None and row.newest < now - limit.days * DAY_US
        too_much = limit.bytes is not None and kept[server] > limit.bytes
        if (too_old or too_much) and not row.busy:
            doomed.append(row.id)
    newest_ids = (sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)) for table in (turn, message))
    made, said = (connection.execute(query).scalar_one() for query in newest_ids)
    return _Doomed(doomed[::-1], made, said)


def _delete_some(connection: sa.Connection, session_id: int, doomed: _Doomed) -> _State:
    """Delete a few rows of a session, the newest first. One that goes on stays: there may be hours between the look
    at all sessions and this."""
    later = sa.select(message.c.id).where(message.c.session_id == session_id, message.c.id > doomed.message)
    answered = sa.select(turn.c.id).where(turn.c.session_id == session_id, turn.c.id > doomed.turn)
    if any(connection.execute(query.limit(1)).first() for query in (later, answered)):
        return "stays"
    of_session = sa.select(turn.c.id).where(turn.c.session_id == session_id).order_by(turn.c.id.desc()).limit(ROWS)
    turns = connection.execute(of_session).scalars().all()
    if turns:
        for id_ in turns:
            delete_trace(connection, id_)
        connection.execute(discord_part.delete().where(discord_part.c.turn_id.in_(turns)))
        connection.execute(turn.delete().where(turn.c.id.in_(turns)))
        return "going"
    said = (
        sa.select(message.c.id).where(message.c.session_id == session_id).order_by(message.c.id.desc()).limit(ROWS)
    )
    messages = connection.execute(said).scalars().all()
    if messages:
        connection.execute(message.delete().where(message.c.id.in_(messages)))
        return "going"
    blocks = sa.select(prompt_block.c.id).where(prompt_block.c.session_id == session_id)
    some = connection.execute(blocks.order_by(prompt_block.c.id.desc()).limit(4 * ROWS)).scalars().all()
    if some:
        connection.execute(prompt_block.delete().where(prompt_block.c.id.in_(some)))
        return "going"
    connection.execute(session.delete().where(session.c.id == session_id))
    return "gone"
