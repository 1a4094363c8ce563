"""The lines of a `jsonl` export: everything, session by session, a hundred turns at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from .. import __version__
from ..predict.schedule import Schedule, plain
from . import models, transfer
from .among import among
from .bulk import Bulk, Head, Item, bulk, heads, pages, surprisal
from .clock import now_us
from .codec import Columns
from .columns import Damaged
from .json import Json, line_text, marks_json, snowflake
from .models import vocabulary_blob
from .rows import light
from .step_values import step_values
from .store import Store
from .tables import model, turn

TOGETHER = 64
"""Sessions whose messages are read at once."""


async def jsonl(
    store: Store, sessions: AsyncIterator[int], traces: bool, progress: Callable[[int], None]
) -> AsyncIterator[str]:
    """Text, piece by piece, of these sessions."""
    yield line_text(transfer.header(now_us(), __version__)) + "\n"
    done = 0
    known: set[str] = set()
    async for ids in grouped(sessions, TOGETHER):
        for line in await store.database.read(lambda c, ids=ids: _vocabularies(c, ids, known)):  # type: ignore[misc]
            yield line_text(line) + "\n"
        made = await store.database.read(lambda c, ids=ids: heads(c, ids))  # type: ignore[misc]
        for page in pages(made):
            turns = [item for item in page if isinstance(item, int)]
            raw = await store.database.read(lambda c, turns=turns: bulk(c, turns, traces=traces))  # type: ignore[misc]
            yield await asyncio.to_thread(_page, page, raw, traces)
            done += len(turns)
            progress(done)


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


def _vocabularies(connection: sa.Connection, sessions: list[int], known: set[str]) -> list[Json]:
    """Those that the turns of some sessions need and no line has given yet; ``known`` are model files."""
    used = sa.select(turn.c.model_id).where(turn.c.session_id.in_(among(sessions))).distinct()
    lines = []
    columns = (column.label("model_" + column.name) for column in model.c if column.name != "vocabulary_id")
    query: sa.Select[Any] = sa.select(*columns, model.c.vocabulary_id).where(model.c.id.in_(used))
    for row in light(connection.execute(query)):
        identity = models.identity(row)
        if identity.sha256 not in known:
            known.add(identity.sha256)
            if row.vocabulary_id is not None:
                lines.append(transfer.vocabulary_line(identity, vocabulary_blob(connection, row.vocabulary_id)))
    return lines


def _page(page: Sequence[Item], raw: Bulk, traces: bool) -> str:
    out: list[str] = []
    for item in page:
        if isinstance(item, Head):
            out += map(line_text, transfer.session_lines(item.public_id, item.row, item.messages))
        elif item in raw.rows:  # not deleted in between
            out.append(turn_text(raw, raw.rows[item], traces))
    return "\n".join(out) + "\n" if out else ""


def turn_text(raw: Bulk, row: Any, traces: bool) -> str:
    """One turn, whole; without ``traces`` its steps are left out, and a copy of it cannot be verified."""
    verifiable = bool(row.verifiable)
    try:
        prompt, spans = raw.prompt(row)
    except Damaged:
        (prompt, spans), verifiable = ((), []), False
    columns: Columns | None = None
    schedule: Schedule = ()
    damaged = False
    if traces:
        try:
            columns, schedule = raw.steps(row)
        except Damaged:
            damaged, verifiable = True, False
    values = {
        "type": "turn",
        "turn": row.id,
        "session": row.session_id,
        "parent_turn": row.parent_turn_id,
        "first_step": row.first_step,
        "prompt_message": row.prompt_message_id,
        "reply_message": row.reply_message_id,
        "requester": snowflake(row.requester),
        "model": raw.models[row.model_id],
        "sampling": orjson.Fragment(row.json),
        "seed": row.seed,
        "k": row.k,
        "status": row.status,
        "finish": row.finish,
        "error": row.error,
        "prompt_ids": prompt,
        "spans": spans,
        "dropped_turns": row.dropped_turns,
        "dropped_tokens": row.dropped_tokens,
        "budget": row.budget,
        "reply_ids": raw.reply_ids(row) if damaged or not traces else columns.id if columns else [],
        "schedule": plain(schedule) if traces else None,
        "n_cached": row.n_cached,
        "timings": _timings(row),
        "surprisal": surprisal(row, columns),
        "verifiable": verifiable,
        "app_version": row.app_version,
        "created_us": row.created_us,
        "discord_messages": [str(id_) for id_ in raw.discord.get(row.id, ())],
        "marks": marks_json(raw.marks.get(row.id)),
        "steps": step_values(columns) if traces else None,
    }
    return line_text(values)


def _timings(row: Any) -> Json | None:
    if row.ttft_us is None:
        return None
    return {"queue_us": row.queue_us, "ttft_us": row.ttft_us, "gen_us": row.gen_us}
