"""The filters of a query as conditions on a turn, and the newest turns that they leave.

Every filter that names a value has an index in which its turns lie newest first. The rarest is walked, the others
are asked of each; a page is full, or the index has ended. Ranges of perplexity and length have no such order: what
few turns they leave are sorted, else all turns are walked. A span of time is a span of ids.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .marks import STARS, THUMB
from .order import id_span
from .rows import numbers
from .search_syntax import Bounds, Query
from .storable import is_id
from .tables import feedback, model, person, tag, turn

FEW = 5000
"""Turns up to which a filter is resolved whole."""
SORTED = 20_000
"""Turns of a range that are sorted, where no other filter has to be asked of each."""
SHORT = 20_000
"""Turns that are walked over at once: nothing else is tried first."""
RECENT = 2000
"""Newest turns looked at first: the usual filter fills a page there."""
PROBED = 1000
"""Newest turns of a filter that tell how rare it is."""
APART = 8
"""What a turn costs whose facts are looked up from another index, beside one whose facts lie in the one walked."""

Condition = sa.ColumnElement[bool]
_walked = turn.alias("walked")


@dataclass(frozen=True, slots=True)
class Way:
    """Where the turns of one value of a filter lie newest first: their ids, and what chooses them there."""

    ids: sa.ColumnElement[int]
    chosen: Condition
    index: str | None = None
    """Of `turn`: one that holds what other filters ask (``ids`` are `turn`'s own), or one that does not."""

    def newest(self, span: tuple[int, int], limit: int) -> sa.Select[Any]:
        found = sa.select(self.ids).where(self.chosen, self.ids.between(*span))
        if self.index is not None:
            found = found.with_hint(self.ids.table, f"INDEXED BY {self.index}", "sqlite")
        return found.order_by(self.ids.desc()).limit(limit)

    def cost(self, connection: sa.Connection, span: tuple[int, int]) -> float:
        """Of walking all there are: so many turns of an index with their facts. Few are counted, many estimated."""
        newest = self.newest(span, PROBED).subquery()
        (id_,) = newest.c
        some = sa.select(sa.func.count(), sa.func.min(id_), sa.func.max(id_))
        count, oldest, last = connection.execute(some).one()
        size = count if count < PROBED else count * (last - span[0]) / max(last - oldest, 1)
        return float(size if self.ids.table is turn else size * APART)

    def walk(self, others: Sequence[Condition], span: tuple[int, int], limit: int) -> sa.Select[Any]:
        found = self.newest(span, limit).where(*others)
        if self.ids.table in {tag, feedback}:
            found = found.distinct()
        if others and self.ids.table is not turn:
            found = found.join(turn, turn.c.id == self.ids).with_hint(turn, "INDEXED BY turn_facts", "sqlite")
        return found


@dataclass(frozen=True, slots=True)
class Filter:
    condition: Condition
    ways: tuple[Way, ...] | None = None
    """One for each value; None where its turns lie in no such order."""


def turn_conditions(connection: sa.Connection, query: Query) -> list[Condition]:
    """The filters of a query as conditions on a turn."""
    return [each.condition for each in _filters(connection, query)]


def _filters(connection: sa.Connection, query: Query) -> list[Filter]:
    out: list[Filter] = []

    def add(column: sa.ColumnElement[int], values: Sequence[int], index: str) -> None:
        out.append(Filter(column.in_(values), tuple(Way(turn.c.id, column == value, index) for value in values)))

    def add_apart(name: str, values: Sequence[int], index: str) -> None:
        ways = tuple(Way(_walked.c.id, _walked.c[name] == value, index) for value in values)
        out.append(Filter(turn.c[name].in_(values), ways))

    if query.users:
        add(turn.c.requester_id, persons(connection, query), "turn_requester")
    if query.channels:
        add(turn.c.channel_id, query.channels, "turn_channel")
    if query.servers:
        add(turn.c.guild_id, query.servers, "turn_guild")
    if query.models:
        add_apart("model_id", _models(connection, query), "turn_model")
    if query.sessions:
        add_apart("session_id", query.sessions, "turn_session")
    if query.statuses:
        odd: Condition = sa.literal_column("walked.status <> 'ok'")  # in these words, for the partial index on it
        ways = tuple(
            Way(_walked.c.id, sa.and_(odd, _walked.c.status == each), "turn_odd") for each in query.statuses
        )
        out.append(Filter(turn.c.status.in_(query.statuses), None if "ok" in query.statuses else ways))
    if query.tags:
        tagged = sa.exists().where(tag.c.turn_id == turn.c.id, tag.c.name.in_(query.tags))
        out.append(Filter(tagged, tuple(Way(tag.c.turn_id, tag.c.name == name) for name in query.tags)))
    if query.thumbs or query.ratings:
        rated = sa.exists().where(feedback.c.turn_id == turn.c.id, sa.or_(sa.false(), *_rated(query)))
        out.append(Filter(rated, tuple(Way(feedback.c.turn_id, condition) for condition in _rated(query))))
    out += [Filter(condition) for condition in _ranges(query).values()]
    if query.after_us is not None:
        out.append(Filter(turn.c.created_us >= query.after_us))
    if query.before_us is not None:
        out.append(Filter(turn.c.created_us < query.before_us))
    return out


def _ranges(query: Query) -> dict[str, Condition]:
    """Those of perplexity and length, by the index that begins with it."""
    out = {}
    if query.perplexities:
        out["turn_perplexity"] = sa.or_(*(_between(turn.c.perplexity, bounds) for bounds in query.perplexities))
    if query.tokens:
        out["turn_tokens"] = sa.or_(*(_between(turn.c.n_out, bounds) for bounds in query.tokens))
    return out


def persons(connection: sa.Connection, query: Query) -> list[int]:
    """Those that the query names, by Discord id or by name, whatever its case."""
    ids = [int(user) for user in query.users if is_id(user)]
    found = numbers(connection.execute(sa.select(person.c.id).where(person.c.discord_id.in_(ids))))
    names = {_folded(user) for user in query.users if not user.isdecimal()}
    if not names:
        return found
    named = sa.select(person.c.id, person.c.name).where(person.c.name.is_not(None))
    if all(map(str.isascii, names)):  # SQLite knows the case of no other letters
        named = named.where(sa.func.lower(person.c.name).in_(names))
    return found + [row[0] for row in connection.execute(named) if _folded(row[1]) in names]


def _models(connection: sa.Connection, query: Query) -> list[int]:
    """Those whose name contains one that the query names."""
    names = [_folded(name) for name in query.models]
    rows = connection.execute(sa.select(model.c.id, model.c.name))
    return [row[0] for row in rows if any(name in _folded(row[1]) for name in names)]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _rated(query: Query) -> list[Condition]:
    thumbs = [sa.and_(feedback.c.source == THUMB, feedback.c.value == thumb) for thumb in query.thumbs]
    return [*thumbs, *(sa.and_(feedback.c.source == STARS, feedback.c.value == stars) for stars in _stars(query))]


def _stars(query: Query) -> list[int]:
    """The ratings that are meant: there are five."""
    return [stars for stars in range(1, 6) if any(_within(stars, bounds) for bounds in query.ratings)]


def _within(value: float, bounds: Bounds) -> bool:
    low = bounds.low is None or (value > bounds.low if bounds.above else value >= bounds.low)
    return low and (bounds.high is None or (value < bounds.high if bounds.below else value <= bounds.high))


def _between(column: Any, bounds: Bounds) -> Condition:
    parts: list[Condition] = []
    if bounds.low is not None:
        parts.append(column > bounds.low if bounds.above else column >= bounds.low)
    if bounds.high is not None:
        parts.append(column < bounds.high if bounds.below else column <= bounds.high)
    return sa.and_(*parts)


def newest_turns(connection: sa.Connection, query: Query, limit: int, below: int | None = None) -> list[int]:
    """The newest ``limit`` turns that the filters leave, older than ``below``."""
    given = _filters(connection, query)
    low, high = span = _span(connection, query, below)
    if low > high or any(each.ways == () for each in given):  # nobody has that name
        return []
    conditions = [each.condition for each in given]
    walked_at_once = len(given) == 1 and given[0].ways is not None
    if limit <= RECENT and not walked_at_once:
        recent = _walk(connection, conditions, (max(low, high - RECENT), high), limit)
        if len(recent) == limit or high - low <= RECENT:
            return recent
    costs = {
        place: sum(way.cost(connection, span) for way in each.ways) if len(given) > 1 else 0
        for place, each in enumerate(given)
        if each.ways is not None
    }
    rarest = min(costs, key=costs.__getitem__, default=None)
    cost = float("inf") if rarest is None else costs[rarest]
    if min(cost, high - low) > SHORT:
        few = _newest_of_a_range(connection, query, conditions, span, limit)
        if few is not None:
            return few
    if rarest is None or cost > high - low:
        return _walk(connection, conditions, span, limit)
    others = conditions[:rarest] + conditions[rarest + 1 :]
    found: set[int] = set()
    for way in given[rarest].ways or ():
        found.update(numbers(connection.execute(way.walk(others, span, limit))))
    return sorted(found, reverse=True)[:limit]


def _span(connection: sa.Connection, query: Query, below: int | None) -> tuple[int, int]:
    """The ids between which all turns of the query's time lie, below ``below``."""
    low, high = id_span(connection, query.after_us, query.before_us)
    return low, high if below is None else min(high, below - 1)


def _walk(
    connection: sa.Connection, conditions: Sequence[Condition], span: tuple[int, int], limit: int
) -> list[int]:
    found = sa.select(turn.c.id).where(turn.c.id.between(*span), *conditions)
    found = found.with_hint(turn, "INDEXED BY turn_facts", "sqlite").order_by(turn.c.id.desc()).limit(limit)
    return numbers(connection.execute(found))


def _newest_of_a_range(
    connection: sa.Connection, query: Query, conditions: list[Condition], span: tuple[int, int], limit: int
) -> list[int] | None:
    """The newest turns that a range of perplexity or length leaves; None where there is none, or it leaves many."""
    ranges = _ranges(query)
    if not ranges:
        return None
    alone = len(ranges) == len(conditions)
    most = SORTED if alone else FEW
    within = _in_both(ranges) if len(ranges) == 2 else _in_one(*ranges.items())
    counted = sa.select(sa.func.count()).select_from(within.limit(most + 1).subquery())
    if connection.execute(counted).scalar_one() > most:
        return None
    ids = within.subquery()
    newest: sa.Select[Any] = sa.select(ids.c.id).where(ids.c.id.between(*span)).order_by(ids.c.id.desc())
    if not alone:
        newest = newest.join(turn, turn.c.id == ids.c.id).where(*conditions)
        newest = newest.with_hint(turn, "INDEXED BY turn_facts", "sqlite")
    return numbers(connection.execute(newest.limit(limit)))


def _in_one(given: tuple[str, Condition]) -> sa.Select[Any]:
    index, condition = given
    return sa.select(turn.c.id).where(condition).with_hint(turn, f"INDEXED BY {index}", "sqlite")


def _in_both(ranges: dict[str, Condition]) -> sa.Select[Any]:
    """Length after length, each with its range of perplexities: lengths are few."""
    length = sa.select(sa.func.min(turn.c.n_out).label("n")).where(ranges["turn_tokens"])
    length = length.with_hint(turn, "INDEXED BY turn_tokens", "sqlite")
    lengths = length.cte("lengths", recursive=True)
    # Of the range again only below: with two lower bounds SQLite would begin at the first, for each length anew.
    following = sa.select(sa.func.min(turn.c.n_out)).where(turn.c.n_out > lengths.c.n)
    following = following.with_hint(turn, "INDEXED BY turn_tokens", "sqlite")
    lengths = lengths.union_all(sa.select(following.scalar_subquery()).where(lengths.c.n.is_not(None)))
    both = sa.select(turn.c.id).join(lengths, turn.c.n_out == lengths.c.n).where(*ranges.values())
    return both.with_hint(turn, "INDEXED BY turn_tokens", "sqlite")
