"""Where encoded traces lie: in parts sized so that four fill a database page.

A trace of 60 to 250 tokens is 4 to 13 KB; as one value it would leave a third of its pages empty.
"""

import sqlalchemy as sa

from .tables import trace, trace_part

PART = 1008


def save_trace(connection: sa.Connection, turn_id: int, data: bytes, n: int, k: int) -> None:
    """Save or replace a turn's trace."""
    delete_trace(connection, turn_id)
    first = connection.execute(sa.select(sa.func.coalesce(sa.func.max(trace_part.c.id), 0))).scalar_one() + 1
    pieces = [data[at : at + PART] for at in range(0, len(data), PART)]
    connection.execute(trace_part.insert(), [{"id": first + i, "data": piece} for i, piece in enumerate(pieces)])
    connection.execute(trace.insert().values(turn_id=turn_id, first_part=first, parts=len(pieces), n=n, k=k))


def delete_trace(connection: sa.Connection, turn_id: int) -> None:
    row = connection.execute(sa.select(trace.c.first_part, trace.c.parts).where(trace.c.turn_id == turn_id)).first()
    if row is None:
        return
    connection.execute(
        trace_part.delete().where(trace_part.c.id.between(row.first_part, row.first_part + row.parts - 1))
    )
    connection.execute(trace.delete().where(trace.c.turn_id == turn_id))


def trace_blob(connection: sa.Connection, turn_id: int) -> bytes | None:
    """The encoded trace, None if the turn has none."""
    row = connection.execute(sa.select(trace.c.first_part, trace.c.parts).where(trace.c.turn_id == turn_id)).first()
    if row is None:
        return None
    parts = sa.select(trace_part.c.data).where(
        trace_part.c.id.between(row.first_part, row.first_part + row.parts - 1)
    )
    return b"".join(connection.execute(parts.order_by(trace_part.c.id)).scalars())
