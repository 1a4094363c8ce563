"""Where encoded traces lie: one after another, in rows that fill a database page each.

A trace of 60 to 250 tokens is 4 to 13 KB. As a value of its own it would leave a tenth to a third of its pages
empty; so a trace begins where the one before ended. What is deleted becomes zeros, and a row of zeros goes.
"""

from collections.abc import Collection

import sqlalchemy as sa

from .among import among
from .prepared import run
from .rows import past_damage, readable
from .tables import trace, trace_draft, trace_part

PART = 4056
"""The longest value that fits a 4 KiB page with its row's header."""
LOST = b""
"""Stands for a trace of which nothing can be read: no trace is so short, and to decode it raises Damaged."""
MOST = 100_000
"""Parts of a trace that are looked for: the size of a damaged one may be any number."""


_DROP_DRAFT = trace_draft.delete().where(trace_draft.c.turn_id == sa.bindparam("turn"))
_DROP = trace.delete().where(trace.c.turn_id == sa.bindparam("turn"))
_DROP_PART = trace_part.delete().where(trace_part.c.id == sa.bindparam("part"))
_LAST = sa.select(trace_part.c.id, trace_part.c.data).order_by(trace_part.c.id.desc()).limit(1)
_FILL = trace_part.update().where(trace_part.c.id == sa.bindparam("part"))
_INSERT_PART = trace_part.insert()
_INSERT = trace.insert()


def save_trace(connection: sa.Connection, turn_id: int, data: bytes, n: int, k: int) -> None:
    """Save a turn's trace, which has none yet; its draft goes."""
    run(connection, _DROP_DRAFT, {"turn": turn_id})
    last, begun = run(connection, _LAST).fetchone() or (0, bytes(PART))
    room = PART - len(begun)
    first, start = (last, len(begun)) if room else (last + 1, 0)
    if room:
        run(connection, _FILL, {"part": last, "data": begun + data[:room]})
    for i, at in enumerate(range(room, len(data), PART), last + 1):
        run(connection, _INSERT_PART, {"id": i, "data": data[at : at + PART]})
    values = {"turn_id": turn_id, "first_part": first, "start": start, "size": len(data), "n": n, "k": k}
    run(connection, _INSERT, values)


def save_draft(connection: sa.Connection, turn_id: int, data: bytes) -> None:
    """Keep what an unfinished turn has so far, in place of what it had."""
    connection.execute(trace_draft.delete().where(trace_draft.c.turn_id == turn_id))
    connection.execute(trace_draft.insert().values(turn_id=turn_id, data=data))


_DRAFT = sa.select(trace_draft.c.data).where(trace_draft.c.turn_id == sa.bindparam("turn"))
_TRACE = sa.select(trace).where(trace.c.turn_id == sa.bindparam("turn"))
_PARTS = (
    sa.select(trace_part)
    .where(trace_part.c.id.between(sa.bindparam("first"), sa.bindparam("last")))
    .order_by(trace_part.c.id)
)


def draft(connection: sa.Connection, turn_id: int) -> bytes | None:
    return connection.execute(_DRAFT, {"turn": turn_id}).scalar()


def trace_blob(connection: sa.Connection, turn_id: int) -> bytes | None:
    """The encoded trace, or the draft of an unfinished one; None if the turn has neither, LOST where the file is
    damaged."""
    with past_damage():
        row = connection.execute(_TRACE, {"turn": turn_id}).first()
        if row is None:
            return draft(connection, turn_id)
        parts = connection.execute(_PARTS, _of(row)).all()
        return b"".join(part.data for part in parts)[row.start : row.start + row.size]
    return LOST


def trace_blobs(connection: sa.Connection, turns: Collection[int]) -> dict[int, bytes]:
    """The same of some turns, by turn."""
    out: dict[int, bytes] = {}

    def lose(turn_id: int) -> None:
        out[turn_id] = LOST

    query = sa.select(trace).where(trace.c.turn_id.in_(among(turns)))
    found = readable(connection, query, trace.c.turn_id, lambda: turns, lost=lose)
    places = {row.turn_id: _of(row) for row in found}
    needed = {part for place in places.values() for part in range(place["first"], place["last"] + 1)}
    wanted = sa.select(trace_part).where(trace_part.c.id.in_(among(needed)))
    lost: set[int] = set()
    parts = {
        row.id: row.data for row in readable(connection, wanted, trace_part.c.id, lambda: needed, lost=lost.add)
    }
    for row in found:
        place = places[row.turn_id]
        lie_in = range(place["first"], place["last"] + 1)
        data = b"".join(parts.get(part, b"") for part in lie_in)
        out[row.turn_id] = data[row.start : row.start + row.size] if lost.isdisjoint(lie_in) else LOST
    rest = set(turns) - out.keys()
    drafts = sa.select(trace_draft).where(trace_draft.c.turn_id.in_(among(rest)))
    for row in readable(connection, drafts, trace_draft.c.turn_id, lambda: rest, lost=lose):
        out[row.turn_id] = row.data
    return out


def delete_trace(connection: sa.Connection, turn_id: int) -> None:
    """Delete a turn's trace and draft: their bytes are overwritten."""
    connection.execute(_DROP_DRAFT, {"turn": turn_id})
    row = connection.execute(_TRACE, {"turn": turn_id}).first()
    if row is None:
        return
    connection.execute(_DROP, {"turn": turn_id})
    for part in connection.execute(_PARTS, _of(row)).all():
        before = (part.id - row.first_part) * PART
        start = max(row.start - before, 0)
        end = max(start, min(row.start + row.size - before, len(part.data)))
        blank = part.data[:start] + bytes(end - start) + part.data[end:]
        if any(blank):
            connection.execute(_FILL, {"part": part.id, "data": blank})
        else:
            connection.execute(_DROP_PART, {"part": part.id})


def _of(row: "sa.Row[tuple[int, ...]]") -> dict[str, int]:
    """The parts a trace lies in, the first and the last."""
    count = min(-(-(row.start + row.size) // PART), MOST)
    return {"first": row.first_part, "last": row.first_part + count - 1}
