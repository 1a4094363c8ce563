"""Turns: opened before a reply is made, finished in one transaction with the reply and its trace."""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .. import __version__
from ..errors import UserError
from ..explain.ending import stated
from ..explain.turn import Status
from ..predict.engine import Finish, ModelIdentity, Timings
from ..predict.prompt import Prompt
from ..predict.sampling import Sampling
from ..predict.schedule import Schedule
from ..predict.step import Step
from .among import among, given_ids
from .blocks import PackedPrompt, pack_ids, save_blocks
from .clock import now_us
from .codec import encode
from .missing import Missing
from .models import model_id, sampling_id
from .order import EVERY, keep_order
from .prepared import inserted, run
from .records import TurnRow
from .rows import light, numbers, readable
from .sessions import INSERT_MESSAGE, person_id, require_session, session_of, unspaced
from .statistics import count_turn
from .tables import discord_part, message, model, person, session, turn
from .traces import delete_trace, draft, save_draft, save_trace


@dataclass(frozen=True, slots=True)
class Opening:
    """Everything known before the first token; ``packed`` and ``spans`` are ``prompt`` made ready for storage.

    ``prompt_message``: None only in an export of a log that has lost it.
    """

    session: int
    prompt_message: int | None
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
    kept: tuple[int, ...],
    steps: tuple[Step, ...],
    schedule: Schedule,
    seed: int,
    *,
    reply: str,
    reasoning: str,
    status: Status,
    finish: Finish | None = None,
    error: str | None = None,
    n_cached: int = 0,
    timings: Timings | None = None,
) -> Outcome:
    """``kept`` are the reply's tokens that a branch took over, ``steps`` those that this turn made after them."""
    k = max((len(step.top) for step in steps), default=0)
    return Outcome(
        trace=encode(steps, schedule, k, seed=seed, first_step=len(kept)),
        ids=pack_ids(kept + tuple(step.id for step in steps)),
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
_question, _answer = message.alias("question"), message.alias("answer")
_GONE = sa.or_(sa.func.coalesce(_question.c.erased, False), sa.func.coalesce(_answer.c.erased, False)).label("gone")
"""Whether what a turn answers was erased, or what it had answered: nothing more of it is stored."""
_UNFINISHED = (
    sa.select(
        turn.c.id, turn.c.status, turn.c.reply_message_id, turn.c.session_id, turn.c.prompt_message_id, turn.c.k,
        turn.c.n_out, turn.c.perplexity, _GONE,
    )
    .outerjoin(_question, _question.c.id == turn.c.prompt_message_id)
    .outerjoin(_answer, _answer.c.id == turn.c.reply_message_id)
)  # fmt: skip
_OPEN = _UNFINISHED.where(turn.c.id == sa.bindparam("turn"))
_ODD: sa.ColumnElement[bool] = sa.literal_column("turn.status <> 'ok'")  # in these words, for the partial index
_ERASED = sa.select(message.c.id).where(message.c.id.in_(given_ids("messages")), message.c.erased).limit(1)
_NOTHING: Mapping[str, Any] = {"text": "", "reasoning": "", "ids": None, "unspaced": False, "erased": True}


def open_new_turn(connection: sa.Connection, opening: Opening) -> int:
    """The same for a turn that is about to be made: its prompt must hold nothing that was erased meanwhile."""
    read = {opening.prompt_message, *(span.message for span in opening.prompt.spans if span.message is not None)}
    if run(connection, _ERASED, {"messages": json.dumps(list(read))}).fetchone() is not None:
        raise UserError("something that was to be read for this reply has just been erased: ask again")
    return open_turn(connection, opening)


def open_turn(connection: sa.Connection, opening: Opening) -> int:
    """A durable `pending` row with the exact prompt."""
    asked = opening.prompt_message
    if asked is not None and session_of(connection, asked) != opening.session:
        raise UserError(f"message {asked} does not belong to session {opening.session}")
    values = {
        "session_id": opening.session,
        "prompt_message_id": asked,
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
    run(connection, _MESSAGE, {"message": asked, "turn_id": new})
    run(connection, _COUNT, {"session": opening.session, "last_turn_id": new})
    return new


def save_outcome(connection: sa.Connection, turn_id: int, made: Outcome, *, erased: bool = False) -> int:
    """Save the reply, its trace and how it ended; with status `pending` what is there so far. The reply's id.

    Of one that is ``erased``, or answers what is, only how it ended.
    """
    row = run(connection, _OPEN, {"turn": turn_id}).fetchone()
    if row is None:
        raise UserError(f"there is no turn {turn_id}")
    _, status, reply, session_id, prompt_message, k, _, _, gone = row
    if status != "pending":
        raise UserError(f"turn {turn_id} is already finished")
    gone = gone or erased
    said = (
        _NOTHING
        if gone
        else {
            "text": made.reply,
            "reasoning": made.reasoning,
            "ids": made.ids,
            "unspaced": unspaced(made.reply),
        }
    )
    if reply is None:
        reply = _insert_reply(connection, turn_id, session_id, prompt_message, said)
    else:
        run(connection, _MESSAGE, {"message": reply, **said})
    if gone:
        delete_trace(connection, turn_id)
    elif made.status == "pending":
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


def _insert_reply(
    connection: sa.Connection, turn_id: int, session_id: int, parent: int | None, said: Mapping[str, Any]
) -> int:
    place = {
        "session_id": session_id,
        "parent_id": parent,
        "role": "assistant",
        "turn_id": turn_id,
        "created_us": now_us(),
    }
    return inserted(connection, INSERT_MESSAGE, place | dict(said))


def save_nothing(connection: sa.Connection, turn_id: int) -> None:
    """Let no reply be stored for a turn that has none yet: an erased one stands in its place."""
    row = run(connection, _OPEN, {"turn": turn_id}).fetchone()
    if row is not None and row[1] == "pending" and row[2] is None:
        reply = _insert_reply(connection, turn_id, row[3], row[4], _NOTHING)
        run(connection, _UPDATE, {"turn": turn_id, "reply_message_id": reply})


def perplexity(surprisal: float, tokens: int) -> float | None:
    """exp of the mean surprisal; None where there is no token or it is not a number."""
    if not tokens or not math.isfinite(surprisal) or surprisal / tokens > 700:
        return None
    return math.exp(surprisal / tokens)


def interrupt_pending(connection: sa.Connection) -> list[int]:
    """Turns a dead process left open become `interrupted`; what was saved of them stays."""
    left = connection.execute(_UNFINISHED.where(_ODD, turn.c.status == "pending")).all()
    for row in left:
        if row.gone:
            delete_trace(connection, row.id)
        elif (begun := draft(connection, row.id)) is not None:
            save_trace(connection, row.id, begun, row.n_out, row.k)
        connection.execute(turn.update().where(turn.c.id == row.id).values(status="interrupted"))
        count_turn(connection, row.id, math.log(row.perplexity) * row.n_out if row.perplexity else 0.0)
    return [row.id for row in left]


_asked, _said = message.alias("asked"), message.alias("said")
_ROWS = (
    sa.select(turn, person.c.discord_id, model.c.name, _asked.c.text.label("asked"), _said.c.text.label("said"))
    .join(model, model.c.id == turn.c.model_id)
    .outerjoin(person, person.c.id == turn.c.requester_id)
    .outerjoin(_asked, _asked.c.id == turn.c.prompt_message_id)
    .outerjoin(_said, _said.c.id == turn.c.reply_message_id)
    .order_by(turn.c.id.desc())
)
_BARE = (
    sa.select(turn, person.c.discord_id, model.c.name, sa.null().label("asked"), sa.null().label("said"))
    .join(model, model.c.id == turn.c.model_id)
    .outerjoin(person, person.c.id == turn.c.requester_id)
    .where(turn.c.id == sa.bindparam("id"))
)
_TEXT = sa.select(message.c.text).where(message.c.id == sa.bindparam("id"))


def turn_rows(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[TurnRow]:
    """Turns without prompt and trace, oldest first."""
    chosen = sa.select(turn.c.id).where(condition).order_by(turn.c.id.desc())
    return _turn_rows(
        connection,
        _ROWS.where(condition),
        lambda: connection.execute(chosen).scalars().all(),
        Missing(),
        None,
    )


def turns_at(connection: sa.Connection, messages: Collection[int]) -> list[TurnRow]:
    """The turns that made some messages, and those that were to answer them and have no reply; oldest first."""
    made = sa.select(turn.c.id).where(turn.c.reply_message_id.in_(among(messages)))
    asked = turn.c.prompt_message_id.in_(among(messages))
    unanswered = sa.select(turn.c.id).where(asked, turn.c.reply_message_id.is_(None))
    return turn_rows_of(connection, numbers(connection.execute(made.union(unanswered))), Missing())


def turns_of_session(connection: sa.Connection, session_id: int) -> list[TurnRow]:
    require_session(connection, session_id)
    return turn_rows(connection, turn.c.session_id == session_id)


def turn_rows_of(connection: sa.Connection, ids: Collection[int], missing: Missing) -> list[TurnRow]:
    """The same of some turns; without the texts, where it is those that cannot be read."""
    query = _ROWS.where(turn.c.id.in_(among(ids)))
    return _turn_rows(connection, query, lambda: sorted(ids, reverse=True), missing, missing.of("turns"))


def _turn_rows(
    connection: sa.Connection,
    query: sa.Select[Any],
    ids: Callable[[], Collection[int]],
    missing: Missing,
    lost: Callable[[int], None] | None,
) -> list[TurnRow]:
    def text(message_id: int | None) -> str | None:
        if message_id is None:
            return None
        try:
            return connection.execute(_TEXT, {"id": message_id}).scalar()
        except sa.exc.DatabaseError:
            missing.add("messages", message_id)
            return None

    def bare(id_: int) -> list[Any]:
        return [
            row._replace(asked=text(row.prompt_message_id), said=text(row.reply_message_id))
            for row in light(connection.execute(_BARE, {"id": id_}))
        ]

    rows = readable(connection, query, turn.c.id, ids, spare=bare, lost=lost)
    return [_turn_row(row) for row in reversed(rows)]


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
        finish=stated(row.finish),
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


def latest_turn(connection: sa.Connection, channel_id: int | None) -> int | None:
    """The newest turn with a reply: of all, or of a channel, where what-ifs were for one person."""
    query = sa.select(turn.c.id).where(turn.c.reply_message_id.is_not(None)).order_by(turn.c.id.desc()).limit(1)
    if channel_id is not None:
        query = query.join(session, session.c.id == turn.c.session_id).where(session.c.channel_id == channel_id)
        query = query.where(turn.c.parent_turn_id.is_(None))
    return connection.execute(query).scalar()


def count_turns(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(turn)).scalar_one())


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
