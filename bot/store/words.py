"""Messages with some words, in turns that some filters leave.

What is rarer goes first. The newest messages with the words are walked and the filters are asked of each, in
indexes that hold what filters ask for; where that does not fill a page soon, a filter that leaves few turns is
resolved, and the words are looked for in those alone.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from . import filters
from .among import among
from .between import Between, between, few_between
from .filters import Condition, newest_turns, turn_conditions
from .order import id_span
from .points import bare
from .rows import numbers, readable
from .search_syntax import Query, Term
from .sessions import unspaced
from .small_index import matching
from .tables import message, turn

CHUNK = 500
"""Messages of few turns whose words are looked at together, newest first."""
RARE = 2000
"""Newest hits that are walked over before anything else is tried."""
AT_ONCE = 1000
"""Turns of which the first may get its reply after the last."""
MANY = 20_000
"""Turns up to which the newest message of all is looked up, before older hits are walked over."""
RANKED = 1500
"""Turns up to which the best are chosen among all their messages."""
WALKED_US, LOOKED_AT_US = 0.7, 8.0
"""What a hit costs to walk over, and a message to be read and looked at: the shorter way is taken."""
BEST_OF = 50_000
"""Newest hits among which the best are chosen."""
TRIGRAM = 3
"""Characters below which a word without spaces around it is looked for one message after another."""
_TOKEN = re.compile(r"[A-Za-z0-9]+")

Key = tuple[int, float]
"""A message and its rank, 0 where there is none."""

WORDS = sa.table("message_words", sa.column("rowid"), sa.column("rank"))
_trigrams = sa.table("message_trigrams", sa.column("rowid"), sa.column("rank"))


@dataclass(frozen=True, slots=True)
class Found:
    """``capped``: there are hits older than those among which the best were chosen."""

    keys: list[Key]
    capped: bool = False


def messages_found(
    connection: sa.Connection, query: Query, *, best: bool, limit: int, after: tuple[float, int] | None
) -> Found:
    """The first ``limit`` messages after ``after``, the newest or the best first."""
    conditions = turn_conditions(connection, query)
    apart = between(connection, query) if conditions else None
    index, matched = index_of(query.terms)
    if best and index is not None:
        turns = newest_turns(connection, query, RANKED + 1) if conditions else []
        if conditions and len(turns) <= RANKED:
            more = [] if apart is None else _newest_between(connection, query, apart, RANKED + 1, None)
            if len(more) <= RANKED:
                return Found(_best_of_few(connection, turns, more, query.terms, limit, after))
        found = _best(connection, index, matched, query.terms, conditions, limit, after)
        if apart is None:
            return found
        others = _best(connection, index, matched, query.terms, apart.conditions, limit, after, answered=False)
        keys = sorted(found.keys + others.keys, key=lambda key: (key[1], -key[0]))
        return Found(keys[:limit], found.capped)
    below = None if after is None else int(after[1])
    start = below if query.before_us is None else _begun_before(connection, query.before_us, below)
    if (
        index is None
        and conditions
        and len(turns := newest_turns(connection, query, filters.FEW + 1)) <= filters.FEW
    ):
        mine = message.c.id.in_(among(_messages_of(connection, turns)))
        ids = _newest(connection, index, matched, query.terms, [], limit, start, mine)
    elif not conditions or index is None:
        ids = _newest(connection, index, matched, query.terms, conditions, limit, start)
    else:
        ids = _newest_filtered(connection, index, matched, query, conditions, limit, start)
    if apart is not None:
        newer = ids[-1] if len(ids) == limit else 0
        ids = sorted(ids + _newest_between(connection, query, apart, limit, below, newer), reverse=True)[:limit]
    return Found([(id_, 0.0) for id_ in ids])


def _begun_before(connection: sa.Connection, before_us: int, below: int | None) -> int:
    """A message, ``below`` or older: newer ones are of later turns, or replies copied later than that."""
    _, high = id_span(connection, None, before_us)
    newest = sa.select(sa.func.max(message.c.id)).where(message.c.turn_id.between(high - AT_ONCE, high))
    start = int(connection.execute(newest).scalar() or 0) + 1
    return start if below is None else min(below, start)


def _newest_between(  # noqa: PLR0917
    connection: sa.Connection,
    query: Query,
    asked: Between,
    limit: int,
    below: int | None,
    newer: int = 0,
) -> list[int]:
    """Those of the messages that no turn answers, newer than the message ``newer``."""
    index, matched = index_of(query.terms)
    few = None if index is None else few_between(connection, asked)
    if index is None or few is None:
        ids = message.c.id if index is None else index.c.rowid
        return _newest(
            connection, index, matched, query.terms, asked.conditions, limit, below, ids > newer, answered=False
        )
    wanted = [id_ for id_ in few if newer < id_ and (below is None or id_ < below)]
    return _having(connection, index, matched, query.terms, wanted)[:limit]


def _newest(  # noqa: PLR0917
    connection: sa.Connection,
    index: sa.TableClause | None,
    matched: tuple[Term, ...],
    terms: tuple[Term, ...],
    conditions: Sequence[Condition],
    limit: int,
    below: int | None,
    *more: Condition,
    answered: bool = True,
) -> list[int]:
    ids = message.c.id if index is None else index.c.rowid
    found = _found(index, matched, terms, conditions, answered).where(*more)
    if below is not None:
        found = found.where(ids < below)
    return numbers(connection.execute(found.order_by(ids.desc()).limit(limit)))


def _newest_filtered(  # noqa: PLR0917
    connection: sa.Connection,
    index: sa.TableClause,
    matched: tuple[Term, ...],
    query: Query,
    conditions: Sequence[Condition],
    limit: int,
    below: int | None,
) -> list[int]:
    terms = query.terms
    hits = _found(index, matched, matched, []).order_by(index.c.rowid.desc()).limit(RARE)
    if below is not None:
        hits = hits.where(index.c.rowid < below)
    some = hits.add_columns(index.c.rowid.label("hit")).subquery()
    span = sa.select(sa.func.count(), sa.func.min(some.c.hit), sa.func.max(some.c.hit))
    count, oldest, newest = connection.execute(span).one()
    if not count:
        return []
    ids = _newest(connection, index, matched, terms, conditions, limit, below, index.c.rowid >= oldest)
    if len(ids) == limit or count < RARE:
        return ids
    turns = newest_turns(connection, query, (filters.FEW if ids else MANY) + 1)
    if len(turns) > filters.FEW:
        if not ids and len(turns) <= MANY:  # none of them may be near the newest hits
            last = sa.select(sa.func.max(message.c.id)).where(message.c.turn_id.in_(among(turns)))
            oldest = min(oldest, int(connection.execute(last).scalar() or 0) + 1)
        return ids + _newest(connection, index, matched, terms, conditions, limit - len(ids), oldest)
    messages = [id_ for id_ in _messages_of(connection, turns) if id_ < oldest]
    left = limit - len(ids)
    share = count / (newest - oldest + 1)
    walking = min(share * oldest, left * oldest / max(len(messages), 1) * share) * WALKED_US
    if walking < min(len(messages), left / share) * LOOKED_AT_US:
        # The plus keeps SQLite from asking the index about one message after another.
        mine = sa.literal_column(f"+{index.name}.rowid").in_(among(messages))
        return ids + _newest(connection, index, matched, terms, [], left, oldest, mine)
    for at in range(0, len(messages), CHUNK):
        ids += _having(connection, index, matched, terms, messages[at : at + CHUNK])
        if len(ids) >= limit:
            break
    return ids[:limit]


def _best(  # noqa: PLR0917
    connection: sa.Connection,
    index: sa.TableClause,
    matched: tuple[Term, ...],
    terms: tuple[Term, ...],
    conditions: Sequence[Condition],
    limit: int,
    after: tuple[float, int] | None,
    *,
    answered: bool = True,
) -> Found:
    """The best of the newest hits: so many have the words, whatever the filters say of them."""
    ids = index.c.rowid
    hits = _found(index, matched, matched, [])
    floor = connection.execute(hits.order_by(ids.desc()).offset(BEST_OF).limit(1)).scalar()
    rank: sa.ColumnElement[float] = sa.literal_column(f"{index.name}.rank")
    best = (
        _found(index, matched, terms, conditions, answered)
        .add_columns(rank.label("score"))
        .order_by(rank, ids.desc())
    )
    if floor is not None:
        best = best.where(ids > floor)
    if after is not None:
        best = best.where(sa.or_(rank > after[0], sa.and_(rank == after[0], ids < after[1])))
    return Found([(row[0], row[1]) for row in connection.execute(best.limit(limit)).all()], floor is not None)


def _best_of_few(  # noqa: PLR0917
    connection: sa.Connection,
    turns: list[int],
    more: list[int],
    terms: tuple[Term, ...],
    limit: int,
    after: tuple[float, int] | None,
) -> list[Key]:
    """By their rank among the messages of these turns and ``more``. A text that cannot have the words has none."""
    index, matched = index_of(terms)
    assert index is not None
    messages = _messages_of(connection, turns) + more
    may = [_may_have(word) for term in terms if not term.exclude for word in _TOKEN.findall(term.phrase)]
    having = dict(_texts(connection, index, matched, terms, messages, *may))
    ranked = matching(index.name, match_expression(matched), [(id_, having.get(id_, "")) for id_ in messages])
    later = sorted((rank, -id_) for id_, rank in ranked if after is None or (rank, -id_) > (after[0], -after[1]))
    return [(-id_, rank) for rank, id_ in later[:limit]]


def _messages_of(connection: sa.Connection, turns: list[int]) -> list[int]:
    """Those of some turns, newest first."""
    ids = sa.select(message.c.id).where(message.c.turn_id.in_(among(turns))).order_by(message.c.id.desc())
    return numbers(connection.execute(ids))


def _having(
    connection: sa.Connection,
    index: sa.TableClause,
    matched: tuple[Term, ...],
    terms: tuple[Term, ...],
    messages: list[int],
) -> list[int]:
    """Which of some messages have the words, by their texts, newest first."""
    texts = _texts(connection, index, matched, terms, messages)
    plain = _plain(matched) if index is WORDS else None
    if plain is None:
        found = [id_ for id_, _ in matching(index.name, match_expression(matched), texts)]
    else:
        found = [id_ for id_, text in texts if text.isascii() and plain(text)]
        others = [(id_, text) for id_, text in texts if not text.isascii()]
        found += [id_ for id_, _ in matching(index.name, match_expression(matched), others)] if others else []
    return sorted(found, reverse=True)


def _plain(terms: tuple[Term, ...]) -> Callable[[str], bool] | None:
    """Whether a text of ASCII has the words, as the index would say; None if that takes the index's own rules."""
    wanted: list[re.Pattern[str]] = []
    unwanted: list[re.Pattern[str]] = []
    for term in terms:
        tokens = _TOKEN.findall(term.phrase)
        if not tokens or not term.phrase.isascii():
            return None
        words = "[^A-Za-z0-9]+".join(tokens)
        pattern = f"(?<![A-Za-z0-9]){words}{'' if term.prefix else '(?![A-Za-z0-9])'}"
        (unwanted if term.exclude else wanted).append(re.compile(pattern, re.IGNORECASE))
    return lambda text: all(each.search(text) for each in wanted) and not any(e.search(text) for e in unwanted)


def _texts(
    connection: sa.Connection,
    index: sa.TableClause | None,
    matched: tuple[Term, ...],
    terms: tuple[Term, ...],
    messages: list[int],
    *more: Condition,
) -> list[tuple[int, str]]:
    """Ids and texts of those among some messages that may have the words."""
    left = [_contains(term) for term in terms if term not in matched]
    texts = sa.select(message.c.id, message.c.text).where(message.c.id.in_(among(messages)), *more, *left)
    if index is _trigrams:
        texts = texts.where(sa.literal_column("message.unspaced"))
    return [(row.id, row.text) for row in readable(connection, texts, message.c.id, lambda: messages)]


def turns_with(
    connection: sa.Connection, terms: tuple[Term, ...], *, below: int | None, limit: int
) -> tuple[list[int], int | None]:
    """Turns of the newest ``limit`` messages with the words, older than message ``below``; and that of the next
    page, None at the end."""
    index, matched = index_of(terms)
    messages = _newest(connection, index, matched, terms, [], limit, below)
    place = sa.select(message.c.turn_id).where(message.c.id.in_(among(messages)), message.c.turn_id.is_not(None))
    place = place.with_hint(message, "INDEXED BY message_place", "sqlite")
    return list(connection.execute(place).scalars()), messages[-1] if len(messages) == limit else None


def turns_from(connection: sa.Connection, terms: tuple[Term, ...], turns: Collection[int], first: int) -> set[int]:
    """Those of some turns that have the words in a message from ``first`` on."""
    newer = sa.select(message.c.id, message.c.turn_id).where(
        message.c.turn_id.in_(among(turns)), message.c.id >= first
    )
    of = {id_: turn_id for id_, turn_id in connection.execute(newer)}
    index, matched = index_of(terms)
    if index is None:
        having = [id_ for id_, _ in _texts(connection, None, (), terms, list(of))]
    else:
        having = _having(connection, index, matched, terms, list(of))
    return {of[id_] for id_ in having}


def sessions_between(
    connection: sa.Connection, query: Query, *, below: int | None, limit: int
) -> tuple[list[int], int | None]:
    """The same of the sessions in which a search finds messages that no turn answers."""
    if turn_conditions(connection, query):
        asked = between(connection, query)
        messages = [] if asked is None else _newest_between(connection, query, asked, limit, below)
    else:
        index, matched = index_of(query.terms)
        messages = _newest(connection, index, matched, query.terms, [], limit, below)
    place = sa.select(message.c.session_id).where(message.c.id.in_(among(messages)), message.c.turn_id.is_(None))
    place = place.with_hint(message, "INDEXED BY message_place", "sqlite")
    return numbers(connection.execute(place.distinct())), messages[-1] if len(messages) == limit else None


def index_of(terms: tuple[Term, ...]) -> tuple[sa.TableClause | None, tuple[Term, ...]]:
    """The full-text index that drives the search, and the terms it answers (none if nothing is long enough)."""
    spaced = tuple(term for term in terms if not unspaced(term.phrase))
    long = tuple(term for term in terms if unspaced(term.phrase) and len(term.phrase) >= TRIGRAM)
    return (WORDS, spaced) if _wanted(spaced) else (_trigrams, long) if _wanted(long) else (None, ())


def _found(
    index: sa.TableClause | None,
    matched: tuple[Term, ...],
    terms: tuple[Term, ...],
    conditions: Sequence[Condition],
    answered: bool = True,
) -> sa.Select[Any]:
    """The ids of messages with the terms, in turns that meet the conditions; if not ``answered``, those that meet
    them by themselves."""
    ids = message.c.id if index is None else index.c.rowid
    left = [term for term in terms if term not in matched]
    source: Any = message if index is None else index
    if index is not None and (left or conditions):
        source = source.join(message, message.c.id == index.c.rowid)
    found: sa.Select[Any] = sa.select(ids)
    if conditions and not answered:
        found = found.where(*conditions)
    elif conditions:
        source = source.join(turn, turn.c.id == message.c.turn_id)
        found = found.where(*conditions).with_hint(turn, "INDEXED BY turn_facts", "sqlite")
    found = found.select_from(source).where(*map(_contains, left))
    if index is None:
        return found.where(sa.literal_column("message.unspaced")).with_hint(
            message, "INDEXED BY message_unspaced", "sqlite"
        )
    if conditions and not left:
        found = found.with_hint(message, "INDEXED BY message_place", "sqlite")
    return found.where(sa.literal_column(index.name).op("MATCH")(match_expression(matched)))


def _may_have(word: str) -> Condition:
    """A text of ASCII has a word only if it contains its letters; another may have them with accents."""
    text = message.c.text
    return sa.or_(
        sa.func.instr(sa.func.lower(text), word.lower()) > 0,
        sa.func.length(text) != sa.func.length(sa.cast(text, sa.LargeBinary)),
    )


def _wanted(terms: tuple[Term, ...]) -> bool:
    return any(not term.exclude for term in terms)


def _contains(term: Term) -> Condition:
    if term.exclude and not unspaced(term.phrase):  # as everywhere a word, not its letters within another
        with_it = sa.select(WORDS.c.rowid).where(
            sa.literal_column(WORDS.name).op("MATCH")(match_expression((Term(term.phrase, term.prefix),)))
        )
        return message.c.id.not_in(with_it)
    escaped = term.phrase.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    like = message.c.text.like(f"%{escaped}%", escape="\\")
    return sa.not_(like) if term.exclude else like


def match_expression(terms: tuple[Term, ...]) -> str:
    """FTS5's own syntax, with everything a person typed inside quotes."""

    def quoted(term: Term) -> str:
        phrase = term.phrase if unspaced(term.phrase) else bare(term.phrase)  # as the index has it
        return '"' + phrase.replace('"', '""').replace("\0", " ") + '"' + ("*" if term.prefix else "")

    wanted = " AND ".join(quoted(term) for term in terms if not term.exclude)
    return " NOT ".join([f"({wanted})", *(quoted(term) for term in terms if term.exclude)])
