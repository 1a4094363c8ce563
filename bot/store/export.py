"""A log in other people's formats, turn by turn: nothing is held in memory but one session."""

import csv
import io
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

import sqlalchemy as sa

from .. import __version__
from ..explain.turn import Turn
from ..explain.visible import neutral
from ..predict.message import Message
from . import transfer
from .clock import now_us
from .json import Json, snowflake
from .models import vocabulary_blob
from .records import MessageRow, SessionRow, TurnRow
from .search import turn_conditions
from .search_syntax import Query
from .store import Store
from .tables import session, turn

Format = Literal["jsonl", "openai", "markdown", "csv"]
Progress = Callable[[int], None]
"""Called with how many turns are done."""

PAGE = 200


async def export(
    store: Store, format_: Format, query: Query, *, traces: bool = True, progress: Progress = lambda done: None
) -> AsyncIterator[str]:
    """Text to write, piece by piece. ``query`` chooses turns by its filters (and words, in any of their messages).

    A `jsonl` export takes whole sessions, all others the turns that were found.
    """
    writer = {"jsonl": _jsonl, "openai": _openai, "markdown": _markdown, "csv": _csv}[format_]
    async for piece in writer(store, query, traces, progress):
        yield piece


async def turns_found(store: Store, query: Query) -> AsyncIterator[tuple[int, int]]:
    """(session, turn) of every turn found, by session, oldest first."""
    conditions = turn_conditions(query)
    words = await _turns_with_words(store, query)
    last = (0, 0)
    while True:
        after = sa.tuple_(turn.c.session_id, turn.c.id) > sa.tuple_(*map(sa.literal, last))
        page = (
            sa.select(turn.c.session_id, turn.c.id)
            .where(after, *conditions)
            .order_by(turn.c.session_id, turn.c.id)
            .limit(PAGE)
            .with_hint(turn, "INDEXED BY turn_session", "sqlite")  # else each page sorts what a filter leaves
        )
        rows = [(row[0], row[1]) for row in await store.database.read(lambda c, q=page: c.execute(q).all())]  # type: ignore[misc]
        if not rows:
            return
        for row in rows:
            if words is None or row[1] in words:
                yield row
        last = rows[-1]


async def _turns_with_words(store: Store, query: Query) -> set[int] | None:
    if not query.terms:
        return None
    found: set[int] = set()
    after: tuple[float, int] | None = None
    while True:
        page = await store.search(query, limit=1000, after=after)
        found.update(hit.turn for hit in page.hits if hit.turn is not None)
        if page.next is None:
            return found
        after = page.next


async def _jsonl(store: Store, query: Query, traces: bool, progress: Progress) -> AsyncIterator[str]:
    yield _line(transfer.header(now_us(), __version__))
    done, known = 0, set[str]()
    async for session_id in _sessions_found(store, query):
        row, messages, turns, public_id = await _whole_session(store, session_id)
        marks = await store.marks(session_id)
        lines = list(transfer.session_lines(public_id, row, messages))
        for each in turns:
            made = await store.turn(each.id)
            if made.model.sha256 not in known:
                known.add(made.model.sha256)
                vocabulary = await _vocabulary(store, each.id)
                if vocabulary is not None:
                    yield _line(transfer.vocabulary_line(made.model, vocabulary))
            discord = await store.discord_messages(each.id)
            lines.append(transfer.turn_line(made, each.requester, marks.get(each.id), discord, traces=traces))
            done += 1
        yield "".join(map(_line, lines))
        progress(done)


async def _sessions_found(store: Store, query: Query) -> AsyncIterator[int]:
    """The sessions of the turns found; without a query all, those too in which nothing was answered."""
    last = 0
    if query != Query():
        async for id_, _ in turns_found(store, query):
            if id_ != last:
                last = id_
                yield id_
        return
    while True:
        page = sa.select(session.c.id).where(session.c.id > last).order_by(session.c.id).limit(PAGE)
        ids = await store.database.read(lambda c, q=page: c.execute(q).scalars().all())  # type: ignore[misc]
        for last in ids:
            yield last
        if not ids:
            return


async def _whole_session(store: Store, id_: int) -> tuple[SessionRow, list[MessageRow], list[TurnRow], str]:
    public = sa.select(session.c.public_id).where(session.c.id == id_)
    return (
        await store.session(id_),
        await store.messages(id_),
        await store.turns(id_),
        await store.database.read(lambda c: str(c.execute(public).scalar_one())),
    )


async def _vocabulary(store: Store, turn_id: int) -> bytes | None:
    number = (await store.raw_turn(turn_id)).vocabulary
    return None if number is None else await store.database.read(lambda c: vocabulary_blob(c, number))


def _line(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


async def _openai(store: Store, query: Query, traces: bool, progress: Progress) -> AsyncIterator[str]:
    done = 0
    async for _, id_ in turns_found(store, query):
        made = await store.turn(id_)
        asked = () if made.prompt_message is None else await store.conversation(made.prompt_message)
        yield _line({"messages": [_spoken(said) for said in asked], "response": completion(made, traces=traces)})
        done += 1
        progress(done)


def _spoken(said: Message) -> Json:
    out: Json = {"role": said.role, "content": said.text}
    return out | ({"name": said.author} if said.author else {})


def completion(made: Turn, *, traces: bool = True) -> Json:
    """A turn as OpenAI's chat completion object, log-probabilities of chosen and listed tokens included."""
    pieces = made.trace.candidate_pieces
    content = [
        {
            **_token(piece, step.logprob),
            "top_logprobs": [_token(pieces.get(c.id, b""), c.logprob) for c in step.top],
        }
        for step, piece in zip(made.trace.steps, made.trace.pieces, strict=True)
    ]
    finish = {"stop": "stop", "length": "length", "stopped": "stop"}.get(made.finish or "")
    tokens = len(made.trace.steps)
    return {
        "id": f"turn-{made.id}",
        "object": "chat.completion",
        "created": made.created_us // 1_000_000,
        "model": made.model.name,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": made.reply},
                "finish_reason": finish,
                "logprobs": {"content": content} if traces else None,
            }
        ],
        "usage": {
            "prompt_tokens": len(made.prompt.ids),
            "completion_tokens": tokens,
            "total_tokens": len(made.prompt.ids) + tokens,
        },
    }


def _token(piece: bytes, logprob: float) -> Json:
    # OpenAI writes -9999.0 where a log-probability is minus infinity.
    return {
        "token": piece.decode("utf-8", "replace"),
        "logprob": logprob if math.isfinite(logprob) else -9999.0,
        "bytes": list(piece),
    }


async def _markdown(store: Store, query: Query, traces: bool, progress: Progress) -> AsyncIterator[str]:
    done = 0
    async for session_id in _sessions_found(store, query):
        row, messages, turns, _ = await _whole_session(store, session_id)
        yield markdown(row, messages, turns)
        done += len(turns)
        progress(done)


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
    return [run for run in "".join(char if char == "`" else " " for char in text).split() if run]


def _inline(text: str) -> str:
    return "".join(
        "\\" + char if char in "\\`*_{}[]()<>#+-.!|&~" else char for char in neutral(" ".join(text.split()))
    )


_CSV = tuple(field.name for field in fields(TurnRow))


async def _csv(store: Store, query: Query, traces: bool, progress: Progress) -> AsyncIterator[str]:
    yield _row(_CSV)
    done = 0
    async for rows in turn_rows_found(store, query):
        for each in rows:
            values: dict[str, Any] = asdict(each) | {"requester": snowflake(each.requester)}
            yield _row([_cell(values[name]) for name in _CSV])
        done += len(rows)
        progress(done)


async def turn_rows_found(store: Store, query: Query) -> AsyncIterator[list[TurnRow]]:
    """Every turn found, without prompt and trace, some hundred at a time."""
    ids: list[int] = []
    async for _, id_ in turns_found(store, query):
        ids.append(id_)
        if len(ids) == PAGE:
            yield await store.turn_rows(ids)
            ids = []
    if ids:
        yield await store.turn_rows(ids)


def _cell(value: Any) -> Any:
    # A spreadsheet takes what begins so for a formula.
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _row(values: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()
