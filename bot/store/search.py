"""Finding turns and messages: filters over turns, words over the full-text indexes, pages by key.

Words and filters meet in one of two ways. A filter that leaves few turns is resolved first, and the words are
looked up in those alone; otherwise the newest messages with the words are walked and the filter is asked of each.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from .marks import STARS
from .search_syntax import Bounds, Query, Term
from .sessions import unspaced
from .tables import feedback, message, model, person, session, tag, turn

Order = Literal["newest", "best"]

FEW = 1000
"""Turns up to which a filter is resolved before the words."""
BEST_OF = 50_000
"""Newest hits among which the best are chosen."""
TRIGRAM = 3
"""Characters below which a word without spaces around it is looked for one message after another."""
_OPEN, _CLOSE = "\x02", "\x03"


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
    conditions = turn_conditions(query)
    few = _few_turns(connection, conditions) if conditions else None
    if few is not None and not few:
        return Page((), None)
    if not query.terms:
        return _by_filter(connection, conditions, few, limit, after)
    found, index = _found(query.terms)
    ids = message.c.id if index is None else index.c.rowid
    if few is not None:
        found = found.where(message.c.turn_id.in_(few), ids.in_(_messages_of(connection, few)))
    elif conditions:
        found = found.where(*conditions)
    capped = False
    if order == "best" and index is not None:
        newest = found.with_only_columns(ids).order_by(ids.desc())
        floor = connection.execute(newest.offset(BEST_OF).limit(1)).scalar()
        if floor is not None:
            capped = True
            found = found.where(ids > floor)
        rank: sa.ColumnElement[float] = sa.literal_column(f"{index.name}.rank")
        found = found.add_columns(rank.label("score")).order_by(rank, ids.desc())
        if after is not None:
            found = found.where(sa.or_(rank > after[0], sa.and_(rank == after[0], ids < after[1])))
    else:
        found = found.add_columns(sa.literal(0.0).label("score")).order_by(ids.desc())
        if after is not None:
            found = found.where(ids < after[1])
    rows = connection.execute(found.limit(limit + 1)).all()
    plain = [term.phrase for term in query.terms if not term.exclude]
    hits = tuple(_hit(row, plain) for row in rows[:limit])
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(hits, None if last is None else (last.score, last.id), capped)


def _found(terms: tuple[Term, ...]) -> tuple[sa.Select[Any], sa.TableClause | None]:
    """Messages with the terms, and the full-text index that drives the search (none if nothing is long enough)."""
    spaced = tuple(term for term in terms if not unspaced(term.phrase))
    other = tuple(term for term in terms if unspaced(term.phrase))
    long = tuple(term for term in other if len(term.phrase) >= TRIGRAM)
    index, matched = (_words, spaced) if _wanted(spaced) else (_trigrams, long) if _wanted(long) else (None, ())
    snippet: sa.ColumnElement[Any] = sa.null()
    if index is _words:
        snippet = sa.func.snippet(sa.literal_column("message_words"), 0, _OPEN, _CLOSE, "…", 16)
    source: Any = message if index is None else index.join(message, message.c.id == index.c.rowid)
    source = source.outerjoin(turn, turn.c.id == message.c.turn_id).outerjoin(model, model.c.id == turn.c.model_id)
    found: sa.Select[Any] = sa.select(
        message.c.id, message.c.turn_id, message.c.session_id, message.c.role, message.c.author, message.c.text,
        message.c.created_us, turn.c.status, turn.c.perplexity, turn.c.n_out, model.c.name,
        snippet.label("snippet"),
    ).select_from(source)  # fmt: skip
    if index is None:
        found = found.where(message.c.unspaced)
    else:
        found = found.where(sa.literal_column(index.name).op("MATCH")(match_expression(matched)))
    for term in terms:
        if term not in matched:
            found = found.where(_contains(term))
    return found, index


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


def turn_conditions(query: Query) -> list[sa.ColumnElement[bool]]:
    """The filters of a query as conditions on a turn."""
    out: list[sa.ColumnElement[bool]] = []
    if query.users:
        out.append(turn.c.requester_id.in_(sa.select(person.c.id).where(sa.or_(*map(_is_user, query.users)))))
    if query.channels:
        out.append(turn.c.session_id.in_(sa.select(session.c.id).where(session.c.channel_id.in_(query.channels))))
    if query.servers:
        out.append(turn.c.session_id.in_(sa.select(session.c.id).where(session.c.guild_id.in_(query.servers))))
    if query.models:
        names = [sa.func.instr(sa.func.lower(model.c.name), name.lower()) > 0 for name in query.models]
        out.append(turn.c.model_id.in_(sa.select(model.c.id).where(sa.or_(*names))))
    if query.sessions:
        out.append(turn.c.session_id.in_(query.sessions))
    if query.statuses:
        out.append(turn.c.status.in_(query.statuses))
    if query.tags:
        out.append(turn.c.id.in_(sa.select(tag.c.turn_id).where(tag.c.name.in_(query.tags))))
    rated = [sa.and_(feedback.c.source == "discord", feedback.c.value.in_(query.thumbs))] if query.thumbs else []
    rated += [sa.and_(feedback.c.source == STARS, _between(feedback.c.value, b)) for b in query.ratings]
    if rated:
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


def _is_user(value: str) -> sa.ColumnElement[bool]:
    if value.isdecimal() and int(value) < 2**63:
        return person.c.discord_id == int(value)
    return sa.func.lower(person.c.name) == value.lower()


def _between(column: Any, bounds: Bounds) -> sa.ColumnElement[bool]:
    parts: list[sa.ColumnElement[bool]] = []
    if bounds.low is not None:
        parts.append(column > bounds.low if bounds.above else column >= bounds.low)
    if bounds.high is not None:
        parts.append(column < bounds.high if bounds.below else column <= bounds.high)
    return sa.and_(*parts)


def _few_turns(connection: sa.Connection, conditions: list[sa.ColumnElement[bool]]) -> list[int] | None:
    """The turns a filter leaves, None if they are more than a few."""
    ids = connection.execute(sa.select(turn.c.id).where(*conditions).limit(FEW + 1)).scalars().all()
    return None if len(ids) > FEW else list(ids)


def _messages_of(connection: sa.Connection, turns: list[int]) -> Any:
    """The messages of some turns, as a subquery over one JSON parameter."""
    ids = connection.execute(sa.select(message.c.id).where(message.c.turn_id.in_(turns))).scalars().all()
    return sa.select(sa.literal_column("value")).select_from(sa.func.json_each(json.dumps(list(ids))))


def _by_filter(
    connection: sa.Connection,
    conditions: list[sa.ColumnElement[bool]],
    few: list[int] | None,
    limit: int,
    after: tuple[float, int] | None,
) -> Page:
    """Without words: the newest turns that the filters leave, each by its reply (or what it was to answer)."""
    ids = sa.select(turn.c.id).order_by(turn.c.id.desc()).limit(limit + 1)
    # Few: they are known. Many: walk from the newest, which meets enough of them soon.
    ids = ids.where(turn.c.id.in_(few)) if few is not None else ids.where(*conditions)
    if few is None:
        ids = ids.with_hint(turn, "NOT INDEXED", "sqlite")
    if after is not None:
        ids = ids.where(turn.c.id < after[1])
    newest = connection.execute(ids).scalars().all()
    said: sa.Select[Any] = (
        sa.select(
            message.c.id, turn.c.id.label("turn_id"), turn.c.session_id, message.c.role, message.c.author,
            sa.func.substr(message.c.text, 1, 160).label("text"), turn.c.created_us, turn.c.status,
            turn.c.perplexity, turn.c.n_out, model.c.name, sa.null().label("snippet"),
            sa.literal(0.0).label("score"),
        )
        .select_from(turn)
        .join(model, model.c.id == turn.c.model_id)
        .join(message, message.c.id == sa.func.coalesce(turn.c.reply_message_id, turn.c.prompt_message_id))
        .where(turn.c.id.in_(newest[:limit]))
        .order_by(turn.c.id.desc())
    )  # fmt: skip
    hits = tuple(_hit(row, []) for row in connection.execute(said))
    return Page(hits, (0.0, newest[limit - 1]) if len(newest) > limit else None)


def _hit(row: sa.Row[Any], phrases: list[str]) -> Hit:
    return Hit(
        message=row.id,
        turn=row.turn_id,
        session=row.session_id,
        role=row.role,
        author=row.author,
        snippet=_marked(row.snippet) if row.snippet is not None else around(row.text, phrases),
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
