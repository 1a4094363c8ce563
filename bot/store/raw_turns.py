"""Turns as they lie in the database, and decoded: prompt, trace and reply."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..errors import UserError
from ..explain.turn import Trace, Turn
from ..predict.engine import Timings
from ..predict.prompt import Prompt
from ..predict.sampling import Sampling
from ..predict.schedule import Schedule
from ..predict.step import Step
from .among import among
from .blocks import chain, unpack_ids
from .codec import decode
from .columns import Damaged
from .faults import StoreError
from .missing import Missing
from .models import identity, sampling_from
from .rows import is_damage, light, readable
from .spans import unpack_spans
from .tables import message, model, person, sampling, turn
from .traces import trace_blob
from .unopened import ListedPieces


@dataclass(frozen=True, slots=True)
class RawTurn:
    """A turn as it lies in the database, to be decoded off the event loop."""

    row: Any
    blocks: list[bytes]
    trace: bytes | None
    vocabulary: int | None
    faults: tuple[str, ...] = ()
    """What else of it is lost, of which its record has no need."""


_asked, _reply = message.alias("asked"), message.alias("reply")
_FACTS: tuple[Any, ...] = (
    turn,
    sampling.c.json,
    model.c.vocabulary_id,
    *(column.label("model_" + column.name) for column in model.c if column.name not in {"id", "vocabulary_id"}),
)
_SAID = _reply.c.text, _reply.c.reasoning, _reply.c.ids.label("reply_ids")
_ASKED = _asked.c.id.label("asked")
_ASKED_BY = person.c.discord_id.label("requester")


def _with_settings(*columns: Any) -> sa.Select[Any]:
    made: sa.Select[Any] = sa.select(*_FACTS, *columns).join(model, model.c.id == turn.c.model_id)
    return made.join(sampling, sampling.c.id == turn.c.sampling_id)


RAW = (
    # A turn as it lies in the database, with its settings, model and reply, what was asked and by whom.
    _with_settings(_ASKED, *_SAID, _ASKED_BY)
    .outerjoin(_asked, _asked.c.id == turn.c.prompt_message_id)
    .outerjoin(_reply, _reply.c.id == turn.c.reply_message_id)
    .outerjoin(person, person.c.id == turn.c.requester_id)
)
_id: sa.BindParameter[int] = sa.bindparam("id")
_ONE = RAW.where(turn.c.id == _id)
_BARE = _with_settings(*(sa.null().label(column.name) for column in (_ASKED, *_SAID, _ASKED_BY)))
_BARE = _BARE.where(turn.c.id == _id)
_QUESTION = sa.select(_ASKED).where(_asked.c.id == _id)
_REPLY = sa.select(*_SAID).where(_reply.c.id == _id)
_PERSON = sa.select(_ASKED_BY).where(person.c.id == _id)


def raw_rows(connection: sa.Connection, turns: Collection[int], missing: Missing) -> list[Any]:
    """Some turns; without question, reply or requester where those cannot be read."""

    def bare(id_: int) -> list[Any]:
        rows = light(connection.execute(_BARE, {"id": id_}))
        return [
            row._replace(
                **_part(connection, _QUESTION, row.prompt_message_id, missing.of("messages")),
                **_part(connection, _REPLY, row.reply_message_id, missing.of("messages")),
                **_part(connection, _PERSON, row.requester_id, missing.of("persons")),
            )
            for row in rows
        ]

    query = RAW.where(turn.c.id.in_(among(turns)))
    return readable(connection, query, turn.c.id, lambda: turns, spare=bare, lost=missing.of("turns"))


def _part(
    connection: sa.Connection, query: sa.Select[Any], id_: int | None, lost: Callable[[int], None]
) -> dict[str, Any]:
    """A row of another table, empty where there is none or it cannot be read."""
    if id_ is None:
        return {}
    try:
        row = connection.execute(query, {"id": id_}).first()
    except sa.exc.DatabaseError:
        lost(id_)
        return {}
    return {} if row is None else row._asdict()


def raw_turn(connection: sa.Connection, turn_id: int) -> RawTurn:
    missing = Missing()
    try:
        row: Any = connection.execute(_ONE, {"id": turn_id}).first()
    except sa.exc.DatabaseError as error:
        rows = raw_rows(connection, [turn_id], missing) if is_damage(error) else []
        if not rows:
            raise
        row = rows[0]
    if row is None:
        raise UserError(f"there is no turn {turn_id}")
    blocks = [ids for _, ids in chain(connection, row.block_id)]
    faults = (f"what belongs to turn {turn_id} cannot be read ({missing.words()})",) if missing else ()
    return RawTurn(row, blocks, trace_blob(connection, turn_id), row.vocabulary_id, faults)


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
        sampling=_sampling(row),
        seed=row.seed,
        first_step=row.first_step,
        trace=Trace(
            steps=steps,
            pieces=tuple(bytes_of(step.id for step in steps)),
            k=row.k,
            candidate_pieces=ListedPieces(pieces, steps),
            fault="; ".join((*raw.faults, *faults)) or None,
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


def _sampling(row: sa.Row[Any]) -> Sampling:
    try:
        return sampling_from(json.loads(row.json))
    except (ValueError, LookupError, TypeError, AttributeError):
        words = f"the settings of turn {row.id} are damaged: run `glasshead log check`"
        raise StoreError("damaged", words) from None


def _prompt(raw: RawTurn, faults: list[str]) -> tuple[tuple[int, ...], Any]:
    try:
        ids = tuple(token for block in (*raw.blocks, raw.row.tail) for token in unpack_ids(block))
        if len(ids) != raw.row.n_prompt:
            raise Damaged(f"{len(ids)} of {raw.row.n_prompt} tokens are there")
        return ids, unpack_spans(raw.row.spans)
    except (Damaged, ValueError) as damage:
        faults.append(f"the prompt of turn {raw.row.id} is damaged: {damage}")
        return (), ()
