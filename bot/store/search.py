"""Finding turns and messages: filters over turns, words over the full-text indexes, pages by key.

What is rarer goes first. A filter that leaves few turns is resolved, and the words are looked up in those alone;
otherwise the newest messages with the words (or, without words, the newest turns) are walked and the filter is
asked of each, in indexes that hold what filters ask for. First the ids of a page are found, then what is shown.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from .marks import STARS
from .search_syntax import Bounds, Query, Term
from .sessions import unspaced
from .tables import feedback, message, model, person, session, tag, turn

Order = Literal["newest", "best"]

FEW = 3000
"""Turns up to which a filter is resolved before the words."""
WINDOW = 50_000
"""Newest turns that are walked before a filter is resolved: most fill a page there."""
CHUNK = 200
"""Messages of few turns that are looked up at once, newest first."""
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
    conditions = turn_conditions(query)
    if not query.terms:
        return _by_filter(connection, conditions, limit, after)
    few = _few_turns(connection, conditions) if conditions else None
    if few is not None and not few:
        return Page((), None)
    index, matched = _index(query.terms)
    found = _found(index, matched, query.terms, [] if few is not None else conditions)
    ids = message.c.id if index is None else index.c.rowid
    capped = False
    if order == "best" and index is not None:
        if few is not None:
            found = found.where(ids.in_(_values(_candidates(connection, few, query.terms))))
        else:
            floor = connection.execute(found.order_by(ids.desc()).offset(BEST_OF).limit(1)).scalar()
            capped = floor is not None
            found = found.where(ids > floor) if capped else found
        rank: sa.ColumnElement[float] = sa.literal_column(f"{index.name}.rank")
        found = found.add_columns(rank.label("score")).order_by(rank, ids.desc())
        if after is not None:
            found = found.where(sa.or_(rank > after[0], sa.and_(rank == after[0], ids < after[1])))
        keys = [(row[0], row[1]) for row in connection.execute(found.limit(limit + 1))]
    else:
        found = found.order_by(ids.desc())
        if after is not None:
            found = found.where(ids < after[1])
        if few is None:
            newest = list(connection.execute(found.limit(limit + 1)).scalars())
        else:
            candidates = _candidates(connection, few, query.terms, None if after is None else int(after[1]))
            newest = _newest_of(connection, candidates, found, ids, limit + 1)
        keys = [(id_, 0.0) for id_ in newest]
    hits = _shown(connection, index, matched, [id_ for id_, _ in keys[:limit]], query.terms)
    last = keys[limit - 1] if len(keys) > limit else None
    return Page(hits, None if last is None else (last[1], last[0]), capped)


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


def _newest_of(
    connection: sa.Connection, candidates: list[int], found: sa.Select[Any], ids: Any, limit: int
) -> list[int]:
    """The first ``limit`` of the candidates, newest first, that are found."""
    newest: list[int] = []
    for at in range(0, len(candidates), CHUNK):
        some = found.where(ids.in_(_values(candidates[at : at + CHUNK]))).limit(limit - len(newest))
        newest += connection.execute(some).scalars()
        if len(newest) == limit:
            break
    return newest


def _candidates(
    connection: sa.Connection, turns: list[int], terms: tuple[Term, ...], before: int | None = None
) -> list[int]:
    """Messages of some turns that may have the words, newest first: the full-text index then says which have."""
    may = [_may_have(word) for term in terms if not term.exclude for word in _ASCII.findall(term.phrase)]
    query = sa.select(message.c.id).where(message.c.turn_id.in_(_values(turns)), *may).order_by(message.c.id.desc())
    if before is not None:
        query = query.where(message.c.id < before)
    return list(connection.execute(query).scalars())


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
    snippets: dict[int, str] = {}
    if index is _words:
        snippet = sa.func.snippet(sa.literal_column("message_words"), 0, _OPEN, _CLOSE, "…", 16)
        has = sa.literal_column("message_words").op("MATCH")(match_expression(matched))
        parts = sa.select(index.c.rowid, snippet).where(has, index.c.rowid.in_(_values(ids)))
        snippets = {row[0]: row[1] for row in connection.execute(parts)}
    query = (
        sa.select(
            message.c.id, message.c.turn_id, message.c.session_id, message.c.role, message.c.author,
            message.c.text, message.c.created_us, turn.c.status, turn.c.perplexity, turn.c.n_out, model.c.name,
        )
        .select_from(message)
        .outerjoin(turn, turn.c.id == message.c.turn_id)
        .outerjoin(model, model.c.id == turn.c.model_id)
        .where(message.c.id.in_(_values(ids)))
    )  # fmt: skip
    rows = {row.id: row for row in connection.execute(query)}
    plain = [term.phrase for term in terms if not term.exclude]
    return tuple(_hit(rows[id_], plain, snippets.get(id_)) for id_ in ids)


def _values(ids: list[int]) -> Any:
    """Ids as a subquery over one JSON parameter."""
    return sa.select(sa.literal_column("value")).select_from(sa.func.json_each(json.dumps(ids)))


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


def _by_filter(
    connection: sa.Connection,
    conditions: list[sa.ColumnElement[bool]],
    limit: int,
    after: tuple[float, int] | None,
) -> Page:
    """Without words: the newest turns that the filters leave, each by its reply (or what it was to answer)."""
    walk = sa.select(turn.c.id).where(*conditions).with_hint(turn, "INDEXED BY turn_facts", "sqlite")
    walk = walk.order_by(turn.c.id.desc()).limit(limit + 1)
    top = connection.execute(sa.select(sa.func.max(turn.c.id))).scalar() or 0
    if after is not None:
        top = min(top, int(after[1]) - 1)
    walk = walk.where(turn.c.id <= top)
    newest = connection.execute(walk.where(turn.c.id > top - WINDOW)).scalars().all()
    if len(newest) <= limit and top > WINDOW:
        few = _few_turns(connection, conditions)
        if few is None:
            newest = connection.execute(walk).scalars().all()
        else:
            newest = sorted((id_ for id_ in few if id_ <= top), reverse=True)[: limit + 1]
    said: sa.Select[Any] = (
        sa.select(
            message.c.id, turn.c.id.label("turn_id"), turn.c.session_id, message.c.role, message.c.author,
            sa.func.substr(message.c.text, 1, 160).label("text"), turn.c.created_us, turn.c.status,
            turn.c.perplexity, turn.c.n_out, model.c.name,
        )
        .select_from(turn)
        .join(model, model.c.id == turn.c.model_id)
        .join(message, message.c.id == sa.func.coalesce(turn.c.reply_message_id, turn.c.prompt_message_id))
        .where(turn.c.id.in_(_values(list(newest[:limit]))))
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
