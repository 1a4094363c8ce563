"""Turns as they lie in the database, and decoded: prompt, trace and reply."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..errors import UserError
from ..explain.turn import Trace, Turn
from ..predict.engine import Timings
from ..predict.prompt import Prompt
from ..predict.schedule import Schedule
from ..predict.step import Step
from .blocks import chain, unpack_ids
from .codec import decode
from .columns import Damaged
from .models import identity, sampling_from
from .spans import unpack_spans
from .tables import message, model, sampling, turn
from .traces import trace_blob
from .unopened import ListedPieces


@dataclass(frozen=True, slots=True)
class RawTurn:
    """A turn as it lies in the database, to be decoded off the event loop."""

    row: sa.Row[Any]
    blocks: list[bytes]
    trace: bytes | None
    vocabulary: int | None


_reply = message.alias("reply")
RAW = (
    # A turn as it lies in the database, with its settings, model and reply.
    sa.select(
        turn,
        sampling.c.json,
        _reply.c.text,
        _reply.c.reasoning,
        _reply.c.ids.label("reply_ids"),
        model.c.vocabulary_id,
        *(column.label("model_" + column.name) for column in model.c if column.name not in {"id", "vocabulary_id"}),
    )
    .join(model, model.c.id == turn.c.model_id)
    .join(sampling, sampling.c.id == turn.c.sampling_id)
    .outerjoin(_reply, _reply.c.id == turn.c.reply_message_id)
)
_ONE = RAW.where(turn.c.id == sa.bindparam("turn"))


def raw_turn(connection: sa.Connection, turn_id: int) -> RawTurn:
    row = connection.execute(_ONE, {"turn": turn_id}).first()
    if row is None:
        raise UserError(f"there is no turn {turn_id}")
    blocks = [ids for _, ids in chain(connection, row.block_id)]
    return RawTurn(row, blocks, trace_blob(connection, turn_id), row.vocabulary_id)


def decode_turn(raw: RawTurn, pieces: Sequence[bytes]) -> Turn:
    """``pieces`` are the bytes of every token of the model's vocabulary; without them tokens have none."""
    row = raw.row
    faults: list[str] = []
    if raw.vocabulary is not None and not pieces:
        faults.append(f"the bytes of the tokens (vocabulary {raw.vocabulary}) are damaged")
    ids, spans = _prompt(raw, faults)
    steps: tuple[Step, ...] = ()
    schedule: Schedule = ()
    try:
        if raw.trace is not None:
            steps, schedule, _ = decode(raw.trace)
    except Damaged as damage:
        faults.append(f"the trace of turn {row.id} is damaged: {damage}")

    def bytes_of(tokens: Iterable[int]) -> list[bytes]:
        return [pieces[token] if 0 <= token < len(pieces) else b"" for token in tokens]

    return Turn(
        id=row.id,
        session=row.session_id,
        model=identity(row),
        prompt=Prompt(ids, spans, row.dropped_turns, row.dropped_tokens, row.budget),
        prompt_pieces=tuple(bytes_of(ids)),
        sampling=sampling_from(json.loads(row.json)),
        seed=row.seed,
        first_step=row.first_step,
        trace=Trace(
            steps=steps,
            pieces=tuple(bytes_of(step.id for step in steps)),
            k=row.k,
            candidate_pieces=ListedPieces(pieces, steps),
            fault="; ".join(faults) or None,
        ),
        schedule=schedule,
        status=row.status,
        finish=row.finish,
        error=row.error,
        reply=row.text or "",
        reasoning=row.reasoning or "",
        n_cached=row.n_cached,
        timings=None if row.ttft_us is None else Timings(row.queue_us, row.ttft_us, row.gen_us),
        created_us=row.created_us,
        app_version=row.app_version,
        parent_turn=row.parent_turn_id,
        verifiable=bool(row.verifiable) and not faults,
        prompt_message=row.prompt_message_id,
        reply_message=row.reply_message_id,
    )


def _prompt(raw: RawTurn, faults: list[str]) -> tuple[tuple[int, ...], Any]:
    try:
        ids = tuple(token for block in (*raw.blocks, raw.row.tail) for token in unpack_ids(block))
        if len(ids) != raw.row.n_prompt:
            raise Damaged(f"{len(ids)} of {raw.row.n_prompt} tokens are there")
        return ids, unpack_spans(raw.row.spans)
    except (Damaged, ValueError) as damage:
        faults.append(f"the prompt of turn {raw.row.id} is damaged: {damage}")
        return (), ()
