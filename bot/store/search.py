"""Finding turns and messages: filters over turns, words over the full-text indexes, pages by key.

What is rarer goes first. A filter that leaves few turns is resolved, and the words are looked for in those alone;
otherwise the newest messages with the words are walked and the filter is asked of each, in indexes that hold what
filters ask for. First the ids of a page are found, then what is shown.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from . import filters
from .among import among
from .filters import newest_turns, turn_conditions
from .search_syntax import Query, Term
from .sessions import unspaced
from .small_index import matching, snippets
from .tables import message, model, turn

Order = Literal["newest", "best"]

CHUNK = 200
"""Messages of few turns whose words are looked at together, newest first."""
RARE = 2000
"""Hits up to which the words alone are rarer than any filter."""
WALKED_US, LOOKED_AT_US = 0.7, 50.0
"""What a hit costs to walk over, and a message to be read and looked at: the shorter way is taken."""
BEST_OF = 50_000
"""Newest hits among which the best are chosen."""
TRIGRAM = 3
"""Characters below which a word without spaces around it is looked for one message after another."""
_OPEN, _CLOSE = "\x02", "\x03"
_ASCII = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found, and the turn it belongs to. ``snippet`` alternates plain and matching text."""

    message: int
    turn: int | None
    session: int
    role: str
    author: str | None
    snippet: tuple[str, ...]
    created_us: int
    status: str | None
    perplexity: float | None
    n_out: int | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """``next`` is the key of the page after, None at the end. ``capped`` : best first looked only at the newest."""

    hits: tuple[Hit, ...]
    next: tuple[float, int] | None
    capped: bool = False


_words = sa.table("message_words", sa.column("rowid"), sa.column("rank"))
_trigrams = sa.table("message_trigrams", sa.column("rowid"), sa.column("rank"))


def search(
    connection: sa.Connection,
    query: Query,
    *,
    order: Order = "newest",
    limit: int = 50,
    after: tuple[float, int] | None = None,
) -> Page:
    """One page of hits, at most ``limit``. ``after`` is ``Page.next`` of the page before."""
    if not query.terms:
        return _by_filter(connection, query, limit, after)
    conditions = turn_conditions(query)
    few: list[int] | None = None
    if conditions:
        turns = newest_turns(connection, query, filters.FEW + 1)
        few = turns if len(turns) <= filters.FEW else None
    if few is not None and not few:
        return Page((), None)
    index, matched = _index(query.terms)
    capped = False
    if few is not None:
        best = order == "best" and index is not None
        keys = _in_few(connection, few, query.terms, best=best, limit=limit + 1, after=after)
    elif order == "best" and index is not None:
        keys, capped = _best(connection, index, _found(index, matched, query.terms, conditions), limit + 1, after)
    else:
        ids = message.c.id if index is None else index.c.rowid
        found = _found(index, matched, query.terms, conditions).order_by(ids.desc())
        if after is not None:
            found = found.where(ids < after[1])
        keys = [(id_, 0.0) for id_ in connection.execute(found.limit(limit + 1)).scalars()]
    hits = _shown(connection, index, matched, [id_ for id_, _ in keys[:limit]], query.terms)
    last = keys[limit - 1] if len(keys) > limit else None
    return Page(hits, None if last is None else (last[1], last[0]), capped)


Key = tuple[int, float]
"""A message and its rank, 0 where there is none."""


def _best(
    connection: sa.Connection,
    index: sa.TableClause,
    found: sa.Select[Any],
    limit: int,
    after: tuple[float, int] | None,
) -> tuple[list[Key], bool]:
    """The best of the newest hits, and whether there are older ones."""
    ids = index.c.rowid
    floor = connection.execute(found.order_by(ids.desc()).offset(BEST_OF).limit(1)).scalar()
    rank: sa.ColumnElement[float] = sa.literal_column(f"{index.name}.rank")
    best = found.add_columns(rank.label("score")).order_by(rank, ids.desc())
    if floor is not None:
        best = best.where(ids > floor)
    if after is not None:
        best = best.where(sa.or_(rank > after[0], sa.and_(rank == after[0], ids < after[1])))
    return [(row[0], row[1]) for row in connection.execute(best.limit(limit))], floor is not None


def _in_few(  # noqa: PLR0917
    connection: sa.Connection,
    turns: list[int],
    terms: tuple[Term, ...],
    best: bool,
    limit: int,
    after: tuple[float, int] | None,
) -> list[Key]:
    """The messages of few turns that have the words."""
    index, matched = _index(terms)
    of_turns = sa.select(message.c.id).where(message.c.turn_id.in_(among(turns))).order_by(message.c.id.desc())
    if after is not None and not best:
        of_turns = of_turns.where(message.c.id < after[1])
    messages = list(connection.execute(of_turns).scalars())
    if index is None:
        found = _found(None, (), terms, []).where(message.c.id.in_(among(messages)))
        ids = connection.execute(found.order_by(message.c.id.desc()).limit(limit)).scalars()
        return [(id_, 0.0) for id_ in ids]
    if best:
        ranked = [(rank, -id_) for id_, rank in _looked_at(connection, index, matched, terms, messages)]
        later = sorted(key for key in ranked if after is None or key > (after[0], -after[1]))
        return [(-id_, rank) for rank, id_ in later[:limit]]
    if _walking_is_shorter(connection, index, matched, len(messages), limit):
        # The plus keeps SQLite from asking the index about one message after another.
        walked = _found(index, matched, terms, []).where(
            sa.literal_column(f"+{index.name}.rowid").in_(among(messages))
        )
        ids = connection.execute(walked.order_by(index.c.rowid.desc()).limit(limit)).scalars()
        return [(id_, 0.0) for id_ in ids]
    out: list[Key] = []
    for at in range(0, len(messages), CHUNK):
        some = _looked_at(connection, index, matched, terms, messages[at : at + CHUNK])
        out += [(id_, 0.0) for id_ in sorted((id_ for id_, _ in some), reverse=True)]
        if len(out) >= limit:
            break
    return out[:limit]


def _walking_is_shorter(
    connection: sa.Connection, index: sa.TableClause, matched: tuple[Term, ...], few: int, limit: int
) -> bool:
    """Whether to walk over the newest hits and keep those in a few messages, or to look at the messages' words."""
    newest = _found(index, matched, matched, []).order_by(index.c.rowid.desc()).limit(RARE + 1)
    hits = newest.add_columns(index.c.rowid.label("hit")).subquery()
    count, oldest = connection.execute(sa.select(sa.func.count(), sa.func.min(hits.c.hit))).one()
    if count <= RARE:
        return True
    total = connection.execute(sa.select(sa.func.max(message.c.id))).scalar_one()
    share = count / max(total - oldest, count)
    walking = min(share * total, limit * total / max(few, 1)) * WALKED_US
    return bool(walking < min(few, limit / share) * LOOKED_AT_US)


def _looked_at(
    connection: sa.Connection,
    index: sa.TableClause,
    matched: tuple[Term, ...],
    terms: tuple[Term, ...],
    messages: list[int],
) -> list[Key]:
    """Which of some messages have the words, by their texts, with their rank among these. A text that cannot have
    them counts with no words."""
    left = [_contains(term) for term in terms if term not in matched]
    may = [_may_have(word) for term in terms if not term.exclude for word in _ASCII.findall(term.phrase)]
    texts = sa.select(message.c.id, message.c.text).where(message.c.id.in_(among(messages)), *may, *left)
    if index is _trigrams:
        texts = texts.where(sa.literal_column("message.unspaced"))
    having = {row.id: row.text for row in connection.execute(texts)}
    return matching(index.name, match_expression(matched), [(id_, having.get(id_, "")) for id_ in messages])


def turns_with(
    connection: sa.Connection, terms: tuple[Term, ...], *, below: int | None = None, limit: int
) -> tuple[list[int], int | None]:
    """Turns of the newest ``limit`` messages with the words, older than message ``below``; and that of the next
    page, None at the end."""
    index, matched = _index(terms)
    ids = message.c.id if index is None else index.c.rowid
    found = _found(index, matched, terms, []).order_by(ids.desc()).limit(limit)
    if below is not None:
        found = found.where(ids < below)
    messages = connection.execute(found).scalars().all()
    place = sa.select(message.c.turn_id).where(message.c.id.in_(among(messages)), message.c.turn_id.is_not(None))
    return list(connection.execute(place).scalars()), messages[-1] if len(messages) == limit else None


def _index(terms: tuple[Term, ...]) -> tuple[sa.TableClause | None, tuple[Term, ...]]:
    """The full-text index that drives the search, and the terms it answers (none if nothing is long enough)."""
    spaced = tuple(term for term in terms if not unspaced(term.phrase))
    long = tuple(term for term in terms if unspaced(term.phrase) and len(term.phrase) >= TRIGRAM)
    return (_words, spaced) if _wanted(spaced) else (_trigrams, long) if _wanted(long) else (None, ())


def _found(
    index: sa.TableClause | None,
    matched: tuple[Term, ...],
    terms: tuple[Term, ...],
    conditions: list[sa.ColumnElement[bool]],
) -> sa.Select[Any]:
    """The ids of messages with the terms, in turns that meet the conditions."""
    ids = message.c.id if index is None else index.c.rowid
    left = [term for term in terms if term not in matched]
    source: Any = message if index is None else index
    if index is not None and (left or conditions):
        source = source.join(message, message.c.id == index.c.rowid)
    found: sa.Select[Any] = sa.select(ids)
    if conditions:
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


def _may_have(word: str) -> sa.ColumnElement[bool]:
    """A text of ASCII has a word only if it contains its letters; another may have them with accents."""
    text = message.c.text
    return sa.or_(
        sa.func.instr(sa.func.lower(text), word.lower()) > 0,
        sa.func.length(text) != sa.func.length(sa.cast(text, sa.LargeBinary)),
    )


def _shown(
    connection: sa.Connection,
    index: sa.TableClause | None,
    matched: tuple[Term, ...],
    ids: list[int],
    terms: tuple[Term, ...],
) -> tuple[Hit, ...]:
    """What is shown of some messages, in the order of ``ids``."""
    query = (
        sa.select(
            message.c.id, message.c.turn_id, message.c.session_id, message.c.role, message.c.author,
            message.c.text, message.c.created_us, turn.c.status, turn.c.perplexity, turn.c.n_out, model.c.name,
        )
        .select_from(message)
        .outerjoin(turn, turn.c.id == message.c.turn_id)
        .outerjoin(model, model.c.id == turn.c.model_id)
        .where(message.c.id.in_(among(ids)))
    )  # fmt: skip
    rows = {row.id: row for row in connection.execute(query)}
    marked: dict[int, str] = {}
    if index is _words:
        texts = [(row.id, row.text) for row in rows.values()]
        marked = snippets(index.name, match_expression(matched), texts, _OPEN, _CLOSE)
    plain = [term.phrase for term in terms if not term.exclude]
    return tuple(_hit(rows[id_], plain, marked.get(id_)) for id_ in ids)


def _wanted(terms: tuple[Term, ...]) -> bool:
    return any(not term.exclude for term in terms)


def _contains(term: Term) -> sa.ColumnElement[bool]:
    escaped = term.phrase.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    like = message.c.text.like(f"%{escaped}%", escape="\\")
    return sa.not_(like) if term.exclude else like


def match_expression(terms: tuple[Term, ...]) -> str:
    """FTS5's own syntax, with everything a person typed inside quotes."""

    def quoted(term: Term) -> str:
        return '"' + term.phrase.replace('"', '""').replace("\0", " ") + '"' + ("*" if term.prefix else "")

    wanted = " AND ".join(quoted(term) for term in terms if not term.exclude)
    return " NOT ".join([f"({wanted})", *(quoted(term) for term in terms if term.exclude)])


def _by_filter(connection: sa.Connection, query: Query, limit: int, after: tuple[float, int] | None) -> Page:
    """Without words: the newest turns that the filters leave, each by its reply (or what it was to answer)."""
    newest = newest_turns(connection, query, limit + 1, None if after is None else int(after[1]))
    said: sa.Select[Any] = (
        sa.select(
            message.c.id, turn.c.id.label("turn_id"), turn.c.session_id, message.c.role, message.c.author,
            sa.func.substr(message.c.text, 1, 160).label("text"), turn.c.created_us, turn.c.status,
            turn.c.perplexity, turn.c.n_out, model.c.name,
        )
        .select_from(turn)
        .join(model, model.c.id == turn.c.model_id)
        .join(message, message.c.id == sa.func.coalesce(turn.c.reply_message_id, turn.c.prompt_message_id))
        .where(turn.c.id.in_(among(list(newest[:limit]))))
        .order_by(turn.c.id.desc())
    )  # fmt: skip
    hits = tuple(_hit(row, [], None) for row in connection.execute(said))
    return Page(hits, (0.0, newest[limit - 1]) if len(newest) > limit else None)


def _hit(row: Any, phrases: list[str], snippet: str | None) -> Hit:
    return Hit(
        message=row.id,
        turn=row.turn_id,
        session=row.session_id,
        role=row.role,
        author=row.author,
        snippet=_marked(snippet) if snippet is not None else around(row.text, phrases),
        created_us=row.created_us,
        status=row.status,
        perplexity=row.perplexity,
        n_out=row.n_out,
        model=row.name,
    )


def _marked(snippet: str) -> tuple[str, ...]:
    return tuple(part for piece in snippet.split(_OPEN) for part in piece.split(_CLOSE)) or ("",)


def around(text: str, phrases: list[str], width: int = 120) -> tuple[str, ...]:
    """A piece of text around the first phrase found: before, match, after."""
    for phrase in phrases:
        at = text.casefold().find(phrase.casefold())
        if at >= 0 and text[at : at + len(phrase)].casefold() == phrase.casefold():
            start = max(at - width // 3, 0)
            end = at + len(phrase)
            head, tail = text[start:at], text[end : start + width]
            return (
                ("…" if start else "") + head,
                text[at:end],
                tail + ("…" if start + width < len(text) else ""),
            )
    return (text[:width] + ("…" if len(text) > width else ""),)
