"""The filters of a query as conditions on a turn, and the newest turns that they leave.

Every filter that names a value has an index in which its turns lie newest first, beside what the other filters ask
for. The rarest is walked, the others are asked of each; a page is full, or the index has ended. Ranges of
perplexity and length have no such order: what few turns they leave are sorted, else all turns are walked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .among import among
from .marks import STARS, THUMB
from .search_syntax import Bounds, Query
from .tables import feedback, model, person, tag, turn

FEW = 5000
"""Turns up to which a filter is resolved whole."""
RECENT = 2000
"""Newest turns looked at first: the usual filter fills a page there."""
COUNTED = 20_000
"""Filters that leave more are all the same."""

Condition = sa.ColumnElement[bool]


def turn_conditions(query: Query) -> list[Condition]:
    """The filters of a query as conditions on a turn."""
    out: list[Condition] = []
    if query.users:
        out.append(turn.c.requester_id.in_(_persons(query)))
    if query.channels:
        out.append(turn.c.channel_id.in_(query.channels))
    if query.servers:
        out.append(turn.c.guild_id.in_(query.servers))
    if query.models:
        out.append(turn.c.model_id.in_(_models(query)))
    if query.sessions:
        out.append(turn.c.session_id.in_(query.sessions))
    if query.statuses:
        out.append(turn.c.status.in_(query.statuses))
    if query.tags:
        out.append(turn.c.id.in_(sa.select(tag.c.turn_id).where(tag.c.name.in_(query.tags))))
    if rated := _rated(query):
        out.append(turn.c.id.in_(sa.select(feedback.c.turn_id).where(sa.or_(*rated))))
    if query.perplexities:
        out.append(sa.or_(*(_between(turn.c.perplexity, bounds) for bounds in query.perplexities)))
    if query.tokens:
        out.append(sa.or_(*(_between(turn.c.n_out, bounds) for bounds in query.tokens)))
    if query.after_us is not None:
        out.append(turn.c.created_us >= query.after_us)
    if query.before_us is not None:
        out.append(turn.c.created_us < query.before_us)
    return out


def _persons(query: Query) -> sa.Select[Any]:
    return sa.select(person.c.id).where(sa.or_(*map(_is_user, query.users)))


def _models(query: Query) -> sa.Select[Any]:
    names = [sa.func.instr(sa.func.lower(model.c.name), name.lower()) > 0 for name in query.models]
    return sa.select(model.c.id).where(sa.or_(*names))


def _rated(query: Query) -> list[Condition]:
    thumbs = [sa.and_(feedback.c.source == THUMB, feedback.c.value == thumb) for thumb in query.thumbs]
    return [*thumbs, *(sa.and_(feedback.c.source == STARS, feedback.c.value == stars) for stars in _stars(query))]


def _stars(query: Query) -> list[int]:
    """The ratings that are meant: there are five."""
    return [stars for stars in range(1, 6) if any(_within(stars, bounds) for bounds in query.ratings)]


def _within(value: float, bounds: Bounds) -> bool:
    low = bounds.low is None or (value > bounds.low if bounds.above else value >= bounds.low)
    return low and (bounds.high is None or (value < bounds.high if bounds.below else value <= bounds.high))


def _is_user(value: str) -> Condition:
    if value.isdecimal() and int(value) < 2**63:
        return person.c.discord_id == int(value)
    return sa.func.lower(person.c.name) == value.lower()


def _between(column: Any, bounds: Bounds) -> Condition:
    parts: list[Condition] = []
    if bounds.low is not None:
        parts.append(column > bounds.low if bounds.above else column >= bounds.low)
    if bounds.high is not None:
        parts.append(column < bounds.high if bounds.below else column <= bounds.high)
    return sa.and_(*parts)


@dataclass(frozen=True, slots=True)
class Way:
    """Where the turns of one value of a filter lie newest first: their ids, and what chooses them there."""

    ids: sa.ColumnElement[int]
    chosen: Condition
    index: str = "turn_facts"
    """Of `turn`, through which the other filters are asked."""

    def count(self, connection: sa.Connection, most: int) -> int:
        """How many there are, ``most`` at most."""
        some = sa.select(self.ids).where(self.chosen)
        if self.ids.table is turn:
            some = some.with_hint(turn, f"INDEXED BY {self.index}", "sqlite")
        counted = sa.select(sa.func.count()).select_from(some.limit(most).subquery())
        return int(connection.execute(counted).scalar_one())

    def walk(self, conditions: Sequence[Condition], limit: int, below: int | None) -> sa.Select[Any]:
        found: sa.Select[Any] = sa.select(self.ids).where(self.chosen, *conditions)
        if self.ids.table is not turn:
            found = found.join(turn, turn.c.id == self.ids).distinct()
        if below is not None:
            found = found.where(self.ids < below)
        found = found.with_hint(turn, f"INDEXED BY {self.index}", "sqlite")
        return found.order_by(self.ids.desc()).limit(limit)


def ways(connection: sa.Connection, query: Query) -> list[list[Way]]:
    """For each filter that names values: a way for each value."""
    out: list[list[Way]] = []

    def add(column: sa.ColumnElement[int], values: Sequence[int], index: str) -> None:
        out.append([Way(turn.c.id, column == value, index) for value in values])

    if query.users:
        add(turn.c.requester_id, connection.execute(_persons(query)).scalars().all(), "turn_requester")
    if query.channels:
        add(turn.c.channel_id, query.channels, "turn_channel")
    if query.servers:
        add(turn.c.guild_id, query.servers, "turn_guild")
    if query.models:
        add(turn.c.model_id, connection.execute(_models(query)).scalars().all(), "turn_model")
    if query.sessions:
        add(turn.c.session_id, query.sessions, "turn_session")
    if query.statuses and "ok" not in query.statuses:
        odd: Condition = sa.literal_column("turn.status <> 'ok'")  # in these words, for the partial index on it
        out.append([Way(turn.c.id, sa.and_(odd, turn.c.status == each), "turn_odd") for each in query.statuses])
    if query.tags:
        out.append([Way(tag.c.turn_id, tag.c.name == name) for name in query.tags])
    if query.thumbs or query.ratings:
        out.append([Way(feedback.c.turn_id, condition) for condition in _rated(query)])
    return out


def newest_turns(connection: sa.Connection, query: Query, limit: int, below: int | None = None) -> list[int]:
    """The newest ``limit`` turns that the filters leave, older than ``below``."""
    conditions = turn_conditions(query)
    walked = _walk(conditions, limit, below)
    top = connection.execute(sa.select(sa.func.max(turn.c.id))).scalar() or 0
    if below is not None:
        top = min(top, below - 1)
    recent = list(connection.execute(walked.where(turn.c.id > top - RECENT)).scalars())
    if len(recent) == limit or top <= RECENT:
        return recent
    named = ways(connection, query)
    if named:
        rarest = named[0] if len(named) == 1 else min(named, key=lambda one: _size(connection, one))
        found: set[int] = set()
        for way in rarest:
            found.update(connection.execute(way.walk(conditions, limit, below)).scalars())
        return sorted(found, reverse=True)[:limit]
    few = _few_of_a_range(connection, query, conditions)
    if few is not None:
        return sorted((id_ for id_ in few if below is None or id_ < below), reverse=True)[:limit]
    if query.before_us is not None:  # nothing newer than the newest of that time
        last = sa.select(sa.func.max(turn.c.id)).where(turn.c.created_us < query.before_us)
        walked = walked.where(turn.c.id <= (connection.execute(last).scalar() or 0))
    return list(connection.execute(walked).scalars())


def _walk(conditions: Sequence[Condition], limit: int, below: int | None) -> sa.Select[Any]:
    found = sa.select(turn.c.id).where(*conditions).order_by(turn.c.id.desc()).limit(limit)
    if below is not None:
        found = found.where(turn.c.id < below)
    return found.with_hint(turn, "INDEXED BY turn_facts", "sqlite")


def _size(connection: sa.Connection, one: list[Way]) -> int:
    return sum(way.count(connection, COUNTED) for way in one)


def _few_of_a_range(connection: sa.Connection, query: Query, conditions: Sequence[Condition]) -> list[int] | None:
    """The turns a range of perplexity or length leaves; None if there is no range, or if it leaves many."""
    ranges = {
        "turn_perplexity": [_between(turn.c.perplexity, bounds) for bounds in query.perplexities],
        "turn_tokens": [_between(turn.c.n_out, bounds) for bounds in query.tokens],
    }
    given = {index: sa.or_(*bounds) for index, bounds in ranges.items() if bounds}
    if not given:
        return None
    index = min(given, key=lambda name: _share(connection, given[name])) if len(given) > 1 else next(iter(given))
    within = sa.select(turn.c.id).where(*given.values()).with_hint(turn, f"INDEXED BY {index}", "sqlite")
    ids = connection.execute(within.limit(FEW + 1)).scalars().all()
    if len(ids) > FEW:
        return None
    if len(conditions) == len(given):
        return list(ids)
    left = sa.select(turn.c.id).where(turn.c.id.in_(among(ids)), *conditions)
    return list(connection.execute(left.with_hint(turn, "INDEXED BY turn_facts", "sqlite")).scalars())


def _share(connection: sa.Connection, condition: Condition) -> int:
    """How many of the newest turns meet it."""
    top = sa.select(sa.func.max(turn.c.id)).scalar_subquery()
    recent = sa.select(sa.func.count()).where(turn.c.id > top - RECENT, condition)
    return int(connection.execute(recent.with_hint(turn, "INDEXED BY turn_facts", "sqlite")).scalar_one())
