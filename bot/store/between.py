"""Messages that no turn answers: what people said in between, which conversations have as context.

A filter of place, person or time looks at the message itself; one of what only a turn has leaves none of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from .among import among
from .filters import FEW, Condition, persons
from .order import id_span
from .rows import numbers, readable
from .search_syntax import Query
from .tables import message, session, turn


@dataclass(frozen=True, slots=True)
class Between:
    """What a query asks of such a message; ``places`` and ``people`` are the rows it names, None if any will do."""

    conditions: list[Condition]
    places: list[int] | None
    people: list[int] | None


def between(connection: sa.Connection, query: Query) -> Between | None:
    """The filters of a query for such messages; None if it leaves none."""
    if query.models or query.statuses or query.tags or query.thumbs or query.ratings:
        return None
    if query.perplexities or query.tokens or connection.execute(_ANY).first() is None:
        return None
    out: list[Condition] = [message.c.turn_id.is_(None), message.c.role == "user"]
    places = _places(connection, query)
    people = persons(connection, query) if query.users else None
    if places is not None:
        # The plus keeps SQLite from looking one message up with each of the sessions.
        out.append(sa.literal_column("+message.session_id").in_(among(places)))
    if people is not None:
        out.append(message.c.person_id.in_(people))
    if query.after_us is not None:
        out.append(message.c.created_us >= query.after_us)
        out.append(message.c.id > sa.func.coalesce(_before(connection, query.after_us), 0))
    if query.before_us is not None:
        out.append(message.c.created_us < query.before_us)
    return Between(out, places, people)


def few_between(connection: sa.Connection, asked: Between) -> list[int] | None:
    """These messages, in no order, where there are few, or the places or people that are asked for have few; else
    None."""
    for index, inside in _ways(asked):
        some = sa.select(_inside.c.id).where(inside).with_hint(_inside, f"INDEXED BY {index}", "sqlite")
        count = sa.select(sa.func.count()).select_from(some.limit(FEW + 1).subquery())
        if connection.execute(count).scalar_one() <= FEW:
            chosen = sa.select(message.c.id).where(message.c.id.in_(some), *asked.conditions)
            # It knows which of them no turn answers: no other row is read.
            chosen = chosen.with_hint(message, "INDEXED BY message_place", "sqlite")
            return [row.id for row in readable(connection, chosen, message.c.id, partial(_ids, connection, some))]
    return None


_inside = message.alias("inside")
_ANY = sa.select(message.c.id).where(message.c.turn_id.is_(None)).limit(1)


def _ways(asked: Between) -> Iterator[tuple[str, Condition]]:
    """Indexes, and what chooses a part of them that has all that is asked for."""
    yield "message_turn", _inside.c.turn_id.is_(None)
    if asked.places is not None:
        yield "message_session", _inside.c.session_id.in_(among(asked.places))
    if asked.people is not None:
        yield "message_person", _inside.c.person_id.in_(asked.people)


def _ids(connection: sa.Connection, query: sa.Select[tuple[int]]) -> list[int]:
    return numbers(connection.execute(query))


def _before(connection: sa.Connection, after_us: int) -> sa.ScalarSelect[int | None]:
    """A message that is older, as are all before it: what a turn of that time was to answer."""
    low, high = id_span(connection, after_us, None)
    last = sa.select(sa.func.max(turn.c.id)).scalar_subquery() if low > high else low - 1
    return sa.select(turn.c.prompt_message_id).where(turn.c.id == last).scalar_subquery()


def _places(connection: sa.Connection, query: Query) -> list[int] | None:
    """The sessions that are asked for; None if any will do."""
    chosen: list[Condition] = []
    if query.sessions:
        chosen.append(session.c.id.in_(query.sessions))
    if query.channels:
        chosen.append(session.c.channel_id.in_(query.channels))
    if query.servers:
        chosen.append(session.c.guild_id.in_(query.servers))
    if not chosen:
        return None
    return numbers(connection.execute(sa.select(session.c.id).where(*chosen)))
