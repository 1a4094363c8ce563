"""Daily rollups: what the statistics read instead of a million turns."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from .clock import DAY_US
from .tables import daily, session, turn


def count_turn(connection: sa.Connection, turn_id: int, surprisal: float, sign: int = 1) -> None:
    """Add a finished turn to its day (or take it away with ``sign`` -1). ``surprisal`` in nats, over its tokens."""
    query = sa.select(turn, session.c.guild_id).join(session, session.c.id == turn.c.session_id)
    row = connection.execute(query.where(turn.c.id == turn_id)).one()
    timed = row.ttft_us is not None
    add(
        connection,
        key=(row.created_us // DAY_US, row.model_id, row.guild_id or 0, row.requester_id or 0),
        turns=sign,
        stopped=sign * (row.status == "stopped"),
        errors=sign * (row.status == "error"),
        interrupted=sign * (row.status == "interrupted"),
        prompt_tokens=sign * row.n_prompt,
        cached_tokens=sign * row.n_cached,
        tokens=sign * row.n_out,
        timed=sign * timed,
        ttft_us=sign * (row.ttft_us or 0),
        gen_us=sign * (row.gen_us or 0),
        gen_tokens=sign * (max(row.n_out - 1, 0) if timed else 0),
        surprisal=sign * surprisal,
    )


def add(connection: sa.Connection, key: tuple[int, int, int, int], **amounts: Any) -> None:
    """Add amounts to the row (day, model, guild or 0, person or 0)."""
    values = dict(zip(("day", "model_id", "guild_id", "person_id"), key, strict=True))
    statement = insert(daily).values(values | amounts)
    sums = {name: daily.c[name] + statement.excluded[name] for name in amounts}
    connection.execute(statement.on_conflict_do_update(index_elements=list(values), set_=sums))
