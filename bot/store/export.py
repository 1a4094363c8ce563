"""A log in other people's formats, as a stream: a hundred turns and some sessions' messages are held in memory."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import fields
from typing import Any, Literal

import sqlalchemy as sa

from .. import __version__
from ..explain.visible import neutral
from .among import among
from .bulk import Head, heads
from .clock import now_us
from .export_process import written
from .filters import FEW, Condition, newest_turns, turn_conditions
from .json import line_text, snowflake
from .jsonl import vocabularies
from .missing import Missing
from .records import MessageRow, SessionRow, TurnRow
from .rows import numbers, past_damage
from .search_syntax import Query
from .store import Store
from .tables import message, session, turn
from .transfer import header
from .turns import turn_rows_of
from .words import sessions_between, turns_with
from .written import Needed, PageEnd

Format = Literal["jsonl", "openai", "markdown", "csv"]
Progress = Callable[[int], None]
"""Called with how many turns are done."""

FOUND = 500
"""Turns looked for at once."""
PAGE, LIGHT_PAGE = 25, 500
"""Turns read and written at once, with their traces and without."""
TOGETHER = 64
"""Sessions whose messages are read at once."""
WORDS = 5000
"""Messages with the words that are looked up at once."""


async def export(
    store: Store,
    format_: Format,
    query: Query,
    *,
    traces: bool = True,
    progress: Progress = lambda done: None,
    missing: Missing | None = None,
) -> AsyncGenerator[str]:
    """Text to write, piece by piece. ``query`` chooses turns by its filters (and words, in any of their messages).

    A `jsonl` export takes whole sessions, all others the turns that were found. What of them cannot be read is left
    out and is in ``missing`` when the export ends.
    """
    writer = {"jsonl": _jsonl, "openai": _openai, "markdown": _markdown, "csv": _csv}[format_]
    lost = Missing() if missing is None else missing
    async with aclosing(writer(store, query, traces, progress, lost)) as pieces:
        async for piece in pieces:
            yield piece


async def turns_found(store: Store, query: Query) -> AsyncIterator[tuple[int, int]]:
    """(session, turn) of every turn found, by session, oldest first."""
    words = await _turns_with_words(store, query)
    conditions, few = await store.database.read(lambda c: _chosen(c, query))
    if few is not None:
        for row in few:
            if words is None or _bit(words, row[1]):
                yield row
        return
    last = (0, 0)
    while True:
        after = sa.tuple_(turn.c.session_id, turn.c.id) > sa.tuple_(*map(sa.literal, last))
        page = (
            sa.select(turn.c.session_id, turn.c.id)
            .where(after, *conditions)
            .order_by(turn.c.session_id, turn.c.id)
            .limit(FOUND)
            .with_hint(turn, "INDEXED BY turn_session", "sqlite")  # else each page sorts what a filter leaves
        )
        rows = [(row[0], row[1]) for row in await store.database.read(lambda c, q=page: c.execute(q).all())]  # type: ignore[misc]
        if not rows:
            return
        for row in rows:
            if words is None or _bit(words, row[1]):
                yield row
        last = rows[-1]


def _chosen(connection: sa.Connection, query: Query) -> tuple[list[Condition], list[tuple[int, int]] | None]:
    """The filters' conditions, and the turns (with their sessions before them) if they leave few."""
    conditions = turn_conditions(connection, query)
    ids = newest_turns(connection, query, FEW + 1) if conditions else []
    if not conditions or len(ids) > FEW:
        return conditions, None
    rows = sa.select(turn.c.session_id, turn.c.id).where(turn.c.id.in_(among(ids)))
    rows = rows.with_hint(turn, "INDEXED BY turn_facts", "sqlite")
    return conditions, sorted((row[0], row[1]) for row in connection.execute(rows).all())


def _bit(bits: bytearray, place: int) -> bool:
    return place // 8 < len(bits) and bool(bits[place // 8] >> place % 8 & 1)


async def _turns_with_words(store: Store, query: Query) -> bytearray | None:
    """A bit for each turn that has the words in a message; None where there are none to have."""
    if not query.terms:
        return None
    return await _bits(store, turn, lambda c, below: turns_with(c, query.terms, below=below, limit=WORDS))


async def _sessions_between(store: Store, query: Query) -> bytearray:
    """A bit for each session that has the words in a message that no turn answers."""
    if not query.terms:
        return bytearray()
    return await _bits(store, session, lambda c, below: sessions_between(c, query, below=below, limit=WORDS))


async def _bits(
    store: Store, table: sa.Table, page: Callable[[sa.Connection, int | None], tuple[list[int], int | None]]
) -> bytearray:
    """A bit for each row of ``table`` that is on one of the pages; each goes on below a message."""
    last = await store.database.read(lambda c: c.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0)
    found = bytearray(last // 8 + 1)
    below: int | None = None
    while True:
        ids, below = await store.database.read(lambda c, below=below: page(c, below))  # type: ignore[misc]
        for id_ in ids:
            if id_ <= last:
                found[id_ // 8] |= 1 << id_ % 8
        if below is None:
            return found


async def _jsonl(
    store: Store, query: Query, traces: bool, progress: Progress, missing: Missing
) -> AsyncGenerator[str]:
    yield line_text(header(now_us(), __version__)) + "\n"
    done = 0
    known: set[str] = set()
    wanted = grouped(_heads_and_turns(store, query), PAGE if traces else LIGHT_PAGE)
    async with aclosing(written(store, "jsonl", wanted, traces)) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                yield piece
            elif isinstance(piece, Needed):
                models = piece.models
                for line in await store.database.read(lambda c, m=models: vocabularies(c, m, known, missing)):  # type: ignore[misc]
                    yield line
            else:
                missing.update(piece.missing)
                done += piece.turns
                progress(done)


async def _heads_and_turns(store: Store, query: Query) -> AsyncIterator[int]:
    """Each session's head (its id below zero) and then its turns."""
    async for ids in grouped(sessions_found(store, query), TOGETHER):
        made = await store.database.read(lambda c, ids=ids: _turn_ids(c, ids))  # type: ignore[misc]
        for head in ids:
            for id_ in (-head, *made.get(head, ())):
                yield id_


def _turn_ids(connection: sa.Connection, sessions: Collection[int]) -> dict[int, list[int]]:
    made: dict[int, list[int]] = {}
    query = sa.select(turn.c.session_id, turn.c.id).where(turn.c.session_id.in_(among(sessions)))
    for session_id, id_ in connection.execute(query.order_by(turn.c.session_id, turn.c.id)).all():
        made.setdefault(session_id, []).append(id_)
    return made


async def _openai(
    store: Store, query: Query, traces: bool, progress: Progress, missing: Missing
) -> AsyncGenerator[str]:
    done = 0
    wanted = grouped(_turns_of_query(store, query), PAGE if traces else LIGHT_PAGE)
    async with aclosing(written(store, "openai", wanted, traces)) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                yield piece
            elif isinstance(piece, PageEnd):
                missing.update(piece.missing)
                done += piece.turns
                progress(done)


async def _turns_of_query(store: Store, query: Query) -> AsyncIterator[int]:
    async for _, id_ in turns_found(store, query):
        yield id_


async def grouped(ids: AsyncIterator[int], size: int) -> AsyncIterator[list[int]]:
    """The ids some at a time."""
    some: list[int] = []
    async for id_ in ids:
        some.append(id_)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


async def sessions_found(store: Store, query: Query) -> AsyncIterator[int]:
    """The sessions of the turns found, and of the messages that no turn answers; without a query all."""
    last = 0
    if query != Query():
        others = await _sessions_between(store, query)
        async for id_, _ in turns_found(store, query):
            if id_ != last:
                for other in range(last + 1, id_):
                    if _bit(others, other):
                        yield other
                last = id_
                yield id_
        for other in range(last + 1, len(others) * 8):
            if _bit(others, other):
                yield other
        return
    while True:
        ids = await store.database.read(lambda c, last=last: _sessions_after(c, last))  # type: ignore[misc]
        for last in ids:
            yield last
        if not ids:
            return


def _sessions_after(connection: sa.Connection, last: int) -> list[int]:
    """The next ones by id; of a damaged log, those in which something was said."""
    page = sa.select(session.c.id).where(session.c.id > last).order_by(session.c.id).limit(FOUND)
    with past_damage():
        return numbers(connection.execute(page))
    said = message.c.session_id
    inside = sa.select(said).where(said > last).distinct().order_by(said).limit(FOUND)
    return numbers(connection.execute(inside.with_hint(message, "INDEXED BY message_session", "sqlite")))


async def _markdown(
    store: Store, query: Query, traces: bool, progress: Progress, missing: Missing
) -> AsyncGenerator[str]:
    done = 0
    async for ids in grouped(sessions_found(store, query), TOGETHER):
        some = await store.database.read(lambda c, ids=ids: heads(c, ids, missing))  # type: ignore[misc]
        rows = await store.database.read(lambda c, some=some: turn_rows_of(c, _all_turns(some), missing))  # type: ignore[misc]
        made: dict[int, list[TurnRow]] = {}
        for row in rows:
            made.setdefault(row.session, []).append(row)
        for head in some:
            turns = made.get(head.row.id, [])
            yield await asyncio.to_thread(markdown, head.row, head.messages, turns)
            done += len(turns)
        progress(done)


def _all_turns(heads_: Sequence[Head]) -> list[int]:
    return [id_ for head in heads_ for id_ in head.turns]


def markdown(row: SessionRow, messages: Sequence[MessageRow], turns: Sequence[TurnRow]) -> str:
    """A session to read. What was said stands in fences, so that it cannot act as markup."""
    made = {each.reply_message: each for each in turns}
    out = [f"# Session {row.id}: {_inline(row.title or row.preview)}\n"]
    for said in messages:
        each = made.get(said.id)
        facts = f" · turn {each.id}, {each.n_out} tokens, {each.status}" if each else ""
        text = "[erased]" if said.erased else neutral(said.text)
        longest = max((len(run) for run in _fences(text)), default=0)
        fence = "`" * max(3, longest + 1)
        out.append(f"## {_inline(said.author or said.role)}{facts}\n\n{fence}text\n{text}\n{fence}\n")
    return "\n".join(out) + "\n"


def _fences(text: str) -> list[str]:
    return re.findall("`+", text)


def _inline(text: str) -> str:
    return "".join(
        "\\" + char if char in "\\`*_{}[]()<>#+-.!|&~" else char for char in neutral(" ".join(text.split()))
    )


_CSV = tuple(field.name for field in fields(TurnRow))


async def _csv(
    store: Store, query: Query, traces: bool, progress: Progress, missing: Missing
) -> AsyncGenerator[str]:
    yield _row(_CSV)
    done = 0
    async for rows in turn_rows_found(store, query, missing):
        yield await asyncio.to_thread(_rows, rows)
        done += len(rows)
        progress(done)


def _rows(rows: Sequence[TurnRow]) -> str:
    return "".join(
        _row([_cell(snowflake(each.requester) if name == "requester" else getattr(each, name)) for name in _CSV])
        for each in rows
    )


async def turn_rows_found(store: Store, query: Query, missing: Missing) -> AsyncIterator[list[TurnRow]]:
    """Every turn found, without prompt and trace, some at a time."""
    async for ids in grouped(_turns_of_query(store, query), PAGE):
        yield await store.database.read(lambda c, ids=ids: turn_rows_of(c, ids, missing))  # type: ignore[misc]


def _cell(value: Any) -> Any:
    # A spreadsheet takes what begins so for a formula.
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _row(values: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)  # quotes these two alone: "\r" begins a row, too
    return out.getvalue().removesuffix("\r\n") + "\n"
