"""The turns that answer the same message: its retries, and the what-ifs that branched from any of them."""

import sqlalchemy as sa

from ..explain.family import Family
from ..explain.turn import Turn
from .store import Store
from .tables import turn

MOST = 24
"""More are not read at once: each is decoded whole."""


async def relatives(store: Store, of: Turn) -> Family:
    """``of`` and its relatives by id. `MOST` are read at most: its own line first, then those made earliest."""

    def work(connection: sa.Connection) -> dict[int, int | None]:
        if of.prompt_message is None:
            return {of.id: None}
        query = sa.select(turn.c.id, turn.c.parent_turn_id).where(turn.c.prompt_message_id == of.prompt_message)
        return {row.id: row.parent_turn_id for row in connection.execute(query.order_by(turn.c.id))}

    parents = await store.database.read(work)
    line: list[int] = []
    at: int | None = of.id
    while at in parents and at not in line:
        line.append(at)
        at = parents[at]
    numbers = [*line, *(number for number in parents if number not in line)]
    turns = [of if number == of.id else await store.turn(number) for number in sorted(numbers[:MOST])]
    return Family(tuple(turns), tuple(sorted(numbers[MOST:])))
