"""The lines of a `jsonl` export: everything, session by session."""

import contextlib
from collections.abc import Collection, Sequence
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
from .models import vocabulary_blob
from .step_values import step_values
from .tables import message, model, turn
from .written import Written


def vocabularies(connection: sa.Connection, numbers: Collection[int], known: set[str]) -> str:
    """The lines of those that some models need and no line has given yet; ``known`` are model files."""
    lines = []
    columns = (column.label("model_" + column.name) for column in model.c if column.name != "vocabulary_id")
    query: sa.Select[Any] = sa.select(*columns, model.c.vocabulary_id).where(model.c.id.in_(numbers))
    for row in connection.execute(query):
        identity = models.identity(row)
        if identity.sha256 not in known:
            known.add(identity.sha256)
            if row.vocabulary_id is not None:
                lines.append(transfer.vocabulary_line(identity, vocabulary_blob(connection, row.vocabulary_id)))
    return "".join(f"{line_text(line)}\n" for line in lines)


def written(connection: sa.Connection, page: Sequence[int], traces: bool) -> Written:
    """Some turns, each by its id, and the heads of sessions, each by its id below zero, a line each."""
    begun = {head.row.id: head for head in heads(connection, [-id_ for id_ in page if id_ < 0])}
    raw = bulk(connection, [id_ for id_ in page if id_ > 0], traces=traces)
    copied = _copied(connection, begun)
    lines: list[str] = []
    begins: int | None = None
    for id_ in page:  # what was deleted in between is left out
        if -id_ in begun:
            head = begun[-id_]
            begins = len(lines) if begins is None else begins
            lines += map(line_text, transfer.session_lines(head.public_id, head.row, head.messages, copied))
        elif id_ in raw.rows:
            lines.append(turn_text(raw, raw.rows[id_], traces))
    at = len(lines) if begins is None else begins
    old, new = ("".join(f"{line}\n" for line in some) for some in (lines[:at], lines[at:]))
    return Written(old + new, len(raw.rows), frozenset(raw.models) | _models(connection, begun), len(old))


def _models(connection: sa.Connection, sessions: Collection[int]) -> frozenset[int]:
    """Those of all turns of some sessions."""
    if not sessions:
        return frozenset()
    query = sa.select(turn.c.model_id).where(turn.c.session_id.in_(among(sessions))).distinct()
    return frozenset(connection.execute(query).scalars())


def _copied(connection: sa.Connection, sessions: Collection[int]) -> dict[int, list[int]]:
    """The token ids of replies that were made in another session than they stand in: no turn there has them."""
    if not sessions:
        return {}
    made = sa.exists().where(turn.c.reply_message_id == message.c.id)
    query = sa.select(message.c.id, message.c.ids).where(message.c.ids.is_not(None), ~made)
    out = {}
    for id_, ids in connection.execute(query.where(message.c.session_id.in_(among(sessions)))):
        with contextlib.suppress(Damaged, ValueError):
            out[id_] = list(unpack_ids(ids))
    return out


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
