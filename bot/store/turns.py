"""Turns: opened before a reply is made, finished in one transaction with the reply and its trace."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .. import __version__
from ..errors import UserError
from ..explain.turn import Status, Trace, Turn
from ..predict.engine import Finish, ModelIdentity, Timings
from ..predict.prompt import Prompt
from ..predict.sampling import Sampling
from ..predict.schedule import Schedule
from ..predict.step import Step
from .blocks import PackedPrompt, chain, pack_ids, save_blocks, unpack_ids
from .clock import now_us
from .codec import decode, encode
from .columns import Damaged
from .models import identity, model_id, sampling_from, sampling_id
from .order import EVERY, keep_order
from .prepared import inserted, run
from .records import TurnRow
from .rows import light
from .sessions import INSERT_MESSAGE, person_id, session_of, unspaced
from .spans import unpack_spans
from .statistics import count_turn
from .tables import discord_part, message, model, person, sampling, session, turn
from .traces import draft, save_draft, save_trace, trace_blob
from .unopened import ListedPieces


@dataclass(frozen=True, slots=True)
class Opening:
    """Everything known before the first token; ``packed`` and ``spans`` are ``prompt`` made ready for storage."""

    session: int
    prompt_message: int
    prompt: Prompt
    packed: PackedPrompt
    spans: bytes
    model: ModelIdentity
    sampling: Sampling
    seed: int
    first_step: int
    requester: int | None
    parent_turn: int | None
    k: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a turn, made ready for storage."""

    trace: bytes
    ids: bytes
    n_out: int
    surprisal: float
    reply: str
    reasoning: str
    status: Status
    finish: Finish | None
    error: str | None
    n_cached: int
    timings: Timings | None


def outcome(
    ids: tuple[int, ...],
    steps: tuple[Step, ...],
    schedule: Schedule,
    *,
    reply: str,
    reasoning: str,
    status: Status,
    finish: Finish | None = None,
    error: str | None = None,
    n_cached: int = 0,
    timings: Timings | None = None,
) -> Outcome:
    """``ids`` are the reply's from its first token on, ``steps`` those that this turn made of them."""
    return Outcome(
        trace=encode(steps, schedule, max((len(step.top) for step in steps), default=0)),
        ids=pack_ids(ids),
        n_out=len(steps),
        surprisal=-sum(step.logprob for step in steps),
        reply=reply,
        reasoning=reasoning,
        status=status,
        finish=finish,
        error=error,
        n_cached=n_cached,
        timings=timings,
    )


# Built once, as in sessions.
_INSERT = turn.insert()
_UPDATE = turn.update().where(turn.c.id == sa.bindparam("turn"))
_MESSAGE = message.update().where(message.c.id == sa.bindparam("message"))
_COUNT = session.update().where(session.c.id == sa.bindparam("session")).values(n_turns=session.c.n_turns + 1)
_PLACE = sa.select(session.c.channel_id, session.c.guild_id).where(session.c.id == sa.bindparam("session"))
_OPEN = sa.select(
    turn.c.status, turn.c.reply_message_id, turn.c.session_id, turn.c.prompt_message_id, turn.c.k
).where(turn.c.id == sa.bindparam("turn"))


def open_turn(connection: sa.Connection, opening: Opening) -> int:
    """A durable `pending` row with the exact prompt."""
    if session_of(connection, opening.prompt_message) != opening.session:
        raise UserError(f"message {opening.prompt_message} does not belong to session {opening.session}")
    values = {
        "session_id": opening.session,
        "prompt_message_id": opening.prompt_message,
        "parent_turn_id": opening.parent_turn,
        "first_step": opening.first_step,
        "requester_id": person_id(connection, opening.requester),
        "model_id": model_id(connection, opening.model),
        "sampling_id": sampling_id(connection, opening.sampling),
        "seed": opening.seed,
        "k": opening.k,
        "status": "pending",
        "block_id": save_blocks(connection, opening.session, opening.packed),
        "tail": opening.packed.tail,
        "spans": opening.spans,
        "n_prompt": len(opening.prompt.ids),
        "dropped_turns": opening.prompt.dropped_turns,
        "dropped_tokens": opening.prompt.dropped_tokens,
        "budget": opening.prompt.budget,
        "app_version": __version__,
        "created_us": now_us(),
    }
    values["channel_id"], values["guild_id"] = run(connection, _PLACE, {"session": opening.session}).fetchone()
    new = inserted(connection, _INSERT, values)
    if new % EVERY == 0:
        keep_order(connection)
    run(connection, _MESSAGE, {"message": opening.prompt_message, "turn_id": new})
    run(connection, _COUNT, {"session": opening.session, "last_turn_id": new})
    return new


def save_outcome(connection: sa.Connection, turn_id: int, made: Outcome) -> int:
    """Save the reply, its trace and how it ended; with status `pending` what is there so far. The reply's id."""
    row = run(connection, _OPEN, {"turn": turn_id}).fetchone()
    if row is None:
        raise UserError(f"there is no turn {turn_id}")
    status, reply, session_id, prompt_message, k = row
    if status != "pending":
        raise UserError(f"turn {turn_id} is already finished")
    said = {
        "text": made.reply,
        "reasoning": made.reasoning,
        "ids": made.ids,
        "unspaced": unspaced(made.reply),
    }
    if reply is None:
        place = {
            "session_id": session_id,
            "parent_id": prompt_message,
            "role": "assistant",
            "turn_id": turn_id,
            "created_us": now_us(),
        }
        reply = inserted(connection, INSERT_MESSAGE, place | said)
    else:
        run(connection, _MESSAGE, {"message": reply, **said})
    if made.status == "pending":
        save_draft(connection, turn_id, made.trace)
    else:
        save_trace(connection, turn_id, made.trace, made.n_out, k)
    timings = made.timings
    values = {
        "reply_message_id": reply,
        "status": made.status,
        "finish": made.finish,
        "error": made.error,
        "n_out": made.n_out,
        "n_cached": made.n_cached,
        "queue_us": timings and timings.queue_us,
        "ttft_us": timings and timings.ttft_us,
        "gen_us": timings and timings.gen_us,
        "perplexity": perplexity(made.surprisal, made.n_out),
    }
    run(connection, _UPDATE, {"turn": turn_id, **values})
    if made.status != "pending":
        count_turn(connection, turn_id, made.surprisal)
    return int(reply)


def perplexity(surprisal: float, tokens: int) -> float | None:
    """exp of the mean surprisal; None where there is no token or it is not a number."""
    if not tokens or not math.isfinite(surprisal) or surprisal / tokens > 700:
        return None
    return math.exp(surprisal / tokens)


def interrupt_pending(connection: sa.Connection) -> list[int]:
    """Turns a dead process left open become `interrupted`; what was saved of them stays."""
    rows = connection.execute(
        sa.select(turn.c.id, turn.c.k, turn.c.n_out, turn.c.perplexity).where(turn.c.status == "pending")
    )
    left = rows.all()
    for row in left:
        if (begun := draft(connection, row.id)) is not None:
            save_trace(connection, row.id, begun, row.n_out, row.k)
        connection.execute(turn.update().where(turn.c.id == row.id).values(status="interrupted"))
        count_turn(connection, row.id, math.log(row.perplexity) * row.n_out if row.perplexity else 0.0)
    return [row.id for row in left]


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


_asked, _said = message.alias("asked"), message.alias("said")
_ROWS = (
    sa.select(turn, person.c.discord_id, model.c.name, _asked.c.text.label("asked"), _said.c.text.label("said"))
    .join(model, model.c.id == turn.c.model_id)
    .outerjoin(person, person.c.id == turn.c.requester_id)
    .outerjoin(_asked, _asked.c.id == turn.c.prompt_message_id)
    .outerjoin(_said, _said.c.id == turn.c.reply_message_id)
    .order_by(turn.c.id.desc())
)


def turn_rows(
    connection: sa.Connection, *conditions: sa.ColumnElement[bool], limit: int | None = None
) -> list[TurnRow]:
    """Turns without prompt and trace, oldest first; the newest ``limit`` of them if given."""
    query = _ROWS.where(*conditions).limit(limit)
    return [_turn_row(row) for row in reversed(light(connection.execute(query)))]


def _turn_row(row: Any) -> TurnRow:
    return TurnRow(
        id=row.id,
        session=row.session_id,
        prompt_message=row.prompt_message_id,
        reply_message=row.reply_message_id,
        parent_turn=row.parent_turn_id,
        first_step=row.first_step,
        requester=row.discord_id,
        model=row.name,
        seed=row.seed,
        status=row.status,
        finish=row.finish,
        error=row.error,
        n_prompt=row.n_prompt,
        n_cached=row.n_cached,
        n_out=row.n_out,
        dropped_turns=row.dropped_turns,
        dropped_tokens=row.dropped_tokens,
        queue_us=row.queue_us,
        ttft_us=row.ttft_us,
        gen_us=row.gen_us,
        perplexity=row.perplexity,
        verifiable=row.verifiable,
        app_version=row.app_version,
        created_us=row.created_us,
        prompt=row.asked or "",
        reply=row.said or "",
    )


def latest_turn(
    connection: sa.Connection, *, session_id: int | None = None, channel_id: int | None = None
) -> int | None:
    """The newest turn with a reply: of a session, of a channel, or of all."""
    query = sa.select(turn.c.id).where(turn.c.reply_message_id.is_not(None)).order_by(turn.c.id.desc()).limit(1)
    if session_id is not None:
        query = query.where(turn.c.session_id == session_id)
    if channel_id is not None:
        query = query.join(session, session.c.id == turn.c.session_id).where(session.c.channel_id == channel_id)
    return connection.execute(query).scalar()


def link_discord(connection: sa.Connection, turn_id: int, discord_ids: Sequence[int]) -> None:
    """Say which Discord messages show a reply, in order; replaces what was said before."""
    connection.execute(discord_part.delete().where(discord_part.c.turn_id == turn_id))
    connection.execute(discord_part.delete().where(discord_part.c.discord_message_id.in_(discord_ids)))
    rows = [{"discord_message_id": id_, "turn_id": turn_id, "place": i} for i, id_ in enumerate(discord_ids)]
    if rows:
        connection.execute(discord_part.insert(), rows)


def turn_of_discord_message(connection: sa.Connection, discord_message_id: int) -> int | None:
    query = sa.select(discord_part.c.turn_id).where(discord_part.c.discord_message_id == discord_message_id)
    return connection.execute(query).scalar()


def discord_messages(connection: sa.Connection, turn_id: int) -> list[int]:
    """The Discord messages that show a reply, in order."""
    query = sa.select(discord_part.c.discord_message_id).where(discord_part.c.turn_id == turn_id)
    return list(connection.execute(query.order_by(discord_part.c.place)).scalars())
