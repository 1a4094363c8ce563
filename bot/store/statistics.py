"""Daily rollups: what the statistics read instead of a million turns."""

import datetime
import math
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from .clock import DAY_US
from .tables import daily, model, person

_COUNT = sa.text(
    f"""
    INSERT INTO daily (day, model_id, guild_id, person_id, turns, stopped, errors, interrupted, prompt_tokens,
                       cached_tokens, tokens, timed, ttft_us, gen_us, gen_tokens, surprisal)
    SELECT turn.created_us / {DAY_US}, model_id, coalesce(guild_id, 0), coalesce(requester_id, 0), 1,
           status = 'stopped', status = 'error', status = 'interrupted', n_prompt, n_cached, n_out,
           ttft_us IS NOT NULL, coalesce(ttft_us, 0), coalesce(gen_us, 0),
           CASE WHEN ttft_us IS NULL THEN 0 ELSE max(n_out - 1, 0) END, :surprisal
    FROM turn JOIN session ON session.id = turn.session_id WHERE turn.id = :turn
    ON CONFLICT (day, model_id, guild_id, person_id) DO UPDATE SET
        turns = turns + 1, stopped = stopped + excluded.stopped, errors = errors + excluded.errors,
        interrupted = interrupted + excluded.interrupted, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
        cached_tokens = cached_tokens + excluded.cached_tokens, tokens = tokens + excluded.tokens,
        timed = timed + excluded.timed, ttft_us = ttft_us + excluded.ttft_us, gen_us = gen_us + excluded.gen_us,
        gen_tokens = gen_tokens + excluded.gen_tokens, surprisal = surprisal + excluded.surprisal
    """  # noqa: S608  one constant
)


def count_turn(connection: sa.Connection, turn_id: int, surprisal: float) -> None:
    """Add a finished turn to its day. ``surprisal`` in nats, over its tokens."""
    connection.execute(_COUNT, {"turn": turn_id, "surprisal": surprisal if math.isfinite(surprisal) else 0.0})


def add(connection: sa.Connection, key: tuple[int, int, int, int], **amounts: Any) -> None:
    """Add amounts to the row (day, model, guild or 0, person or 0)."""
    values = dict(zip(("day", "model_id", "guild_id", "person_id"), key, strict=True))
    statement = insert(daily).values(values | amounts)
    sums = {name: daily.c[name] + statement.excluded[name] for name in amounts}
    connection.execute(statement.on_conflict_do_update(index_elements=list(values), set_=sums))


By = Literal["day", "model", "server", "user"]


@dataclass(frozen=True, slots=True)
class Sums:
    """Turns of one day, model, server or user (``key``; Discord ids as text). A mean of nothing is None."""

    key: str
    turns: int
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    stopped: int
    errors: int
    interrupted: int
    ttft_ms: float | None
    tokens_per_second: float | None
    perplexity: float | None
    stars: float | None
    thumbs_up: int
    thumbs_down: int


def statistics(connection: sa.Connection, by: By, *, since: int, until: int) -> list[Sums]:
    """Sums over days (since 1970, both ends included). Days come in order, all else with most turns first."""
    key: Any = {
        "day": daily.c.day,
        "model": model.c.name,
        "server": daily.c.guild_id,
        "user": sa.func.coalesce(person.c.name, sa.cast(person.c.discord_id, sa.Text)),
    }[by]
    names = [column.name for column in daily.c if not column.primary_key]
    source = daily.outerjoin(model, model.c.id == daily.c.model_id).outerjoin(
        person, person.c.id == daily.c.person_id
    )
    query = sa.select(key.label("key"), *(sa.func.sum(daily.c[name]).label(name) for name in names))
    query = query.select_from(source).where(daily.c.day.between(since, until)).group_by(key)
    query = query.order_by(key if by == "day" else sa.desc("turns"))
    return [_sums(row, by) for row in connection.execute(query)]


def _sums(row: sa.Row[Any], by: By) -> Sums:
    def mean(total: float, count: float) -> float | None:
        return total / count if count else None

    surprisal = mean(row.surprisal, row.tokens)
    return Sums(
        key=_key(row.key, by),
        turns=row.turns,
        tokens=row.tokens,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        stopped=row.stopped,
        errors=row.errors,
        interrupted=row.interrupted,
        ttft_ms=mean(row.ttft_us / 1000, row.timed),
        tokens_per_second=mean(row.gen_tokens * 1e6, row.gen_us),
        perplexity=None if surprisal is None or surprisal > 700 else math.exp(surprisal),
        stars=mean(row.rating_sum, row.ratings),
        thumbs_up=row.thumbs_up,
        thumbs_down=row.thumbs_down,
    )


def _key(value: Any, by: By) -> str:
    if by == "day":
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=value)).isoformat()
    return str(value) if value else "(none)"
