"""Finding turns and messages: filters over turns, words over the full-text indexes, pages by key.

First the ids of a page are found, then what is shown.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from .among import given_ids
from .filters import newest_turns
from .rows import readable
from .search_syntax import Query, Term
from .small_index import snippets
from .storable import beginning
from .tables import message, model, turn
from .words import WORDS, index_of, match_expression, messages_found

Order = Literal["newest", "best"]

_OPEN, _CLOSE = "\x02", "\x03"
WIDTH = 120
"""Characters shown of a text, around what was found in it."""


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
    found = messages_found(connection, query, best=order == "best", limit=limit + 1, after=after)
    keys = found.keys
    hits = _shown(connection, [id_ for id_, _ in keys[:limit]], query.terms)
    last = keys[limit - 1] if len(keys) > limit else None
    return Page(hits, None if last is None else (last[1], last[0]), found.capped)


def _shown(connection: sa.Connection, ids: list[int], terms: tuple[Term, ...]) -> tuple[Hit, ...]:
    """What is shown of some messages, in the order of ``ids``."""
    found = readable(connection, _SHOWN, message.c.id, lambda: ids, {"messages": json.dumps(ids)})
    rows = {row.id: row for row in found}
    marked: dict[int, str] = {}
    index, matched = index_of(terms)
    if index is WORDS:
        texts = [(row.id, row.text) for row in rows.values()]
        each = [match_expression((term,)) for term in matched if not term.exclude]
        marked = snippets(index.name, [match_expression(matched), *each], texts, _OPEN, _CLOSE)
    plain = [term.phrase for term in terms if not term.exclude]
    return tuple(_hit(rows[id_], plain, marked.get(id_)) for id_ in ids if id_ in rows)


_SAID = (
    # Turns by what was replied in them, or what they were to answer.
    sa.select(
        message.c.id, turn.c.id.label("turn_id"), turn.c.session_id, message.c.role, message.c.author,
        beginning(message.c.text, 160).label("text"), turn.c.created_us, turn.c.status,
        turn.c.perplexity, turn.c.n_out, model.c.name,
    )
    .select_from(turn)
    .join(model, model.c.id == turn.c.model_id)
    .join(message, message.c.id == sa.func.coalesce(turn.c.reply_message_id, turn.c.prompt_message_id))
    .where(turn.c.id.in_(given_ids("turns")))
    .order_by(turn.c.id.desc())
)  # fmt: skip
_SHOWN = (
    sa.select(
        message.c.id, turn.c.id.label("turn_id"), message.c.session_id, message.c.role, message.c.author,
        message.c.text, message.c.created_us, turn.c.status, turn.c.perplexity, turn.c.n_out, model.c.name,
    )
    .select_from(message)
    .outerjoin(turn, turn.c.id == message.c.turn_id)
    .outerjoin(model, model.c.id == turn.c.model_id)
    .where(message.c.id.in_(given_ids("messages")))
)  # fmt: skip


def _by_filter(connection: sa.Connection, query: Query, limit: int, after: tuple[float, int] | None) -> Page:
    """Without words: the newest turns that the filters leave, each by its reply (or what it was to answer)."""
    newest = newest_turns(connection, query, limit + 1, None if after is None else int(after[1]))
    shown = newest[:limit]
    rows = readable(connection, _SAID, turn.c.id, lambda: shown, {"turns": json.dumps(shown)})
    hits = tuple(_hit(row, [], None) for row in rows)
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


def around(text: str, phrases: list[str]) -> tuple[str, ...]:
    """A piece of text around the first phrase found: before, match, after."""
    for phrase in phrases:
        at = text.casefold().find(phrase.casefold())
        if at >= 0 and text[at : at + len(phrase)].casefold() == phrase.casefold():
            start = max(at - WIDTH // 3, 0)
            end = at + len(phrase)
            head, tail = text[start:at], text[end : start + WIDTH]
            return (
                ("…" if start else "") + head,
                text[at:end],
                tail + ("…" if start + WIDTH < len(text) else ""),
            )
    return (text[:WIDTH] + ("…" if len(text) > WIDTH else ""),)
