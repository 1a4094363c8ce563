"""The lines of a `jsonl` export: everything, session by session."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from ..predict.schedule import Schedule, plain
from . import models, transfer
from .among import among
from .blocks import unpack_ids
from .bulk import Bulk, bulk, heads, surprisal
from .codec import Columns
from .columns import Damaged
from .json import Json, line_text, marks_json, snowflake
from .missing import Missing
from .models import vocabulary_blob
from .rows import readable
from .step_values import step_values
from .tables import message, model, turn
from .written import Needed, PageEnd, Piece


def vocabularies(
    connection: sa.Connection, numbers: Collection[int], known: set[str], missing: Missing
) -> list[str]:
    """The lines of those that some models need and no line has given yet; ``known`` are model files."""
    lines = []
    columns = (column.label("model_" + column.name) for column in model.c if column.name != "vocabulary_id")
    query: sa.Select[Any] = sa.select(*columns, model.c.vocabulary_id).where(model.c.id.in_(numbers))
    for row in connection.execute(query):
        identity = models.identity(row)
        if identity.sha256 not in known:
            known.add(identity.sha256)
            if row.vocabulary_id is None:
                continue
            try:
                blob = vocabulary_blob(connection, row.vocabulary_id)
            except Damaged:
                missing.add("vocabularies", row.vocabulary_id)
                continue
            lines.append(line_text(transfer.vocabulary_line(identity, blob)) + "\n")
    return lines


def written(connection: sa.Connection, page: Sequence[int], traces: bool) -> Iterator[Piece]:
    """Some turns, each by its id, and the heads of sessions, each by its id below zero, a line each."""
    missing = Missing()
    begun = {head.row.id: head for head in heads(connection, [-id_ for id_ in page if id_ < 0], missing)}
    raw = bulk(connection, [id_ for id_ in page if id_ > 0], missing, traces=traces)
    copied = _copied(connection, begun)
    if begun:
        yield Needed(frozenset(raw.models) | _models(connection, begun))
    for id_ in page:  # what was deleted in between is left out
        if -id_ in begun:
            head = begun[-id_]
            for line in transfer.session_lines(head.public_id, head.row, head.messages, copied):
                yield line_text(line) + "\n"
        elif id_ in raw.rows:
            yield turn_text(raw, raw.rows[id_], traces) + "\n"
    yield PageEnd(len(raw.rows), missing)


def _models(connection: sa.Connection, sessions: Collection[int]) -> frozenset[int]:
    """Those of all turns of some sessions."""
    inside = turn.c.session_id.in_(among(sessions))
    ids = sa.select(turn.c.id).where(inside)
    query = sa.select(turn.c.model_id).where(inside)
    rows = readable(connection, query, turn.c.id, lambda: connection.execute(ids).scalars().all(), lost=_left_out)
    return frozenset(row.model_id for row in rows)


def _copied(connection: sa.Connection, sessions: Collection[int]) -> dict[int, list[int]]:
    """The token ids of replies that were made in another session than they stand in: no turn there has them."""
    if not sessions:
        return {}
    made = sa.exists().where(turn.c.reply_message_id == message.c.id)
    inside = message.c.session_id.in_(among(sessions))
    ids = sa.select(message.c.id).where(inside)
    query = sa.select(message.c.id, message.c.ids).where(inside, message.c.ids.is_not(None), ~made)
    out = {}
    rows = readable(
        connection, query, message.c.id, lambda: connection.execute(ids).scalars().all(), lost=_left_out
    )
    for row in rows:
        with contextlib.suppress(Damaged, ValueError):
            out[row.id] = list(unpack_ids(row.ids))
    return out


def _left_out(_: int) -> None:
    """Turns and messages that cannot be read are named where they would stand."""


def turn_text(raw: Bulk, row: Any, traces: bool) -> str:
    """One turn, whole; without ``traces`` its steps are left out, and a copy of it cannot be verified."""
    prompt = raw.prompt(row)
    columns: Columns | None = None
    schedule: Schedule = ()
    damaged = False
    if traces:
        try:
            columns, schedule = raw.steps(row)
        except Damaged:
            damaged = True
    values = {
        "type": "turn",
        "turn": row.id,
        "session": row.session_id,
        "parent_turn": row.parent_turn_id,
        "first_step": row.first_step,
        "prompt_message": row.asked,
        "reply_message": row.reply_message_id,
        "requester": snowflake(row.requester),
        "model": raw.models[row.model_id],
        "sampling": orjson.Fragment(row.json),
        "seed": row.seed,
        "k": row.k,
        "status": row.status,
        "finish": row.finish,
        "error": row.error,
        "prompt_ids": prompt[0] if prompt else [],
        "spans": prompt[1] if prompt else [],
        "dropped_turns": row.dropped_turns,
        "dropped_tokens": row.dropped_tokens,
        "budget": row.budget,
        "reply_ids": raw.reply_ids(row) if damaged or not traces else columns.id if columns else [],
        "schedule": plain(schedule) if traces else None,
        "n_cached": row.n_cached,
        "timings": _timings(row),
        "surprisal": surprisal(row, columns),
        "verifiable": bool(row.verifiable) and prompt is not None and not damaged,
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
