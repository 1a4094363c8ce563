"""Rollups by day and by 32 days: what the statistics read instead of a million turns."""

import datetime
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from .clock import DAY_US
from .prepared import run
from .rows import light
from .tables import daily, model, monthly, person

_KEYS = {"model": "model_id", "server": "coalesce(guild_id, 0)", "user": "coalesce(requester_id, 0)"}
"""Each turn is counted three times, so that no sum has to be put together from a year of all combinations."""
_AMOUNTS = {
    "turns": "1",
    "stopped": "status = 'stopped'",
    "errors": "status = 'error'",
    "interrupted": "status = 'interrupted'",
    "prompt_tokens": "n_prompt",
    "cached_tokens": "n_cached",
    "tokens": "n_out",
    "timed": "ttft_us IS NOT NULL",
    "ttft_us": "coalesce(ttft_us, 0)",
    "gen_us": "coalesce(gen_us, 0)",
    "gen_tokens": "CASE WHEN ttft_us IS NULL THEN 0 ELSE max(n_out - 1, 0) END",
    "surprisal": ":surprisal",
}


def _counting() -> sa.TextClause:
    names, values = ", ".join(_AMOUNTS), ", ".join(_AMOUNTS.values())
    rows = " UNION ALL ".join(
        f"SELECT '{by}', turn.created_us / {DAY_US}, {key}, {values} FROM turn WHERE turn.id = :turn"  # noqa: S608  constants
        for by, key in _KEYS.items()
    )
    sums = ", ".join(f"{name} = daily.{name} + excluded.{name}" for name in _AMOUNTS)
    return sa.text(
        f"INSERT INTO daily (by, day, key, {names}) {rows} ON CONFLICT (by, day, key) DO UPDATE SET {sums}"
    )


_COUNT = _counting()


def count_turn(connection: sa.Connection, turn_id: int, surprisal: float) -> None:
    """Add a finished turn to its day. ``surprisal`` in nats, over its tokens."""
    values = {"turn": turn_id, "surprisal": surprisal if math.isfinite(surprisal) else 0.0}
    run(connection, _COUNT, values)


def add(connection: sa.Connection, turn_id: int, **amounts: int) -> None:
    """Add amounts to the day of a turn that is counted already."""
    values = ", ".join(f"{name} = {name} + :{name}" for name in amounts)
    for by, key in _KEYS.items():
        connection.execute(
            sa.text(
                f"UPDATE daily SET {values} WHERE by = '{by}' AND (day, key) = "  # noqa: S608  constants
                f"(SELECT turn.created_us / {DAY_US}, {key} FROM turn WHERE turn.id = :turn)"
            ),
            {"turn": turn_id, **amounts},
        )


By = Literal["day", "model", "server", "user"]


class Sums(NamedTuple):
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


MONTH = 32
"""Days that `monthly` adds up in one row; its triggers in the migrations have the same number."""
_NAMES = [column.name for column in daily.c if not column.primary_key]


def statistics(
    connection: sa.Connection, by: By, *, since: int, until: int, limit: int | None = None
) -> list[Sums]:
    """Sums over days (since 1970, both ends included). Days come in order, all else with most turns first, at
    most ``limit``."""
    if by == "day":
        days = sa.select(daily.c.day.label("key"), *(sa.func.sum(daily.c[name]).label(name) for name in _NAMES))
        days = days.where(daily.c.by == "model", daily.c.day.between(since, until)).group_by(daily.c.day)
        return [_sums(row, by) for row in light(connection.execute(days.order_by(daily.c.day)))]
    keys = None
    if limit is not None and by != "model":  # first who has most, from one number; then all the numbers of those
        turns = _parts(by, since, until, ["turns"])
        most = (
            sa.select(turns.c.key).group_by(turns.c.key).order_by(sa.desc(sa.func.sum(turns.c.turns)), turns.c.key)
        )
        keys = connection.execute(most.limit(limit)).scalars().all()
    parts = _parts(by, since, until, _NAMES, keys)
    place: Any = parts.c.key
    shown: Any = place
    source: sa.FromClause = parts
    if by == "model":  # builds of one model apart in the log, together here
        source = parts.join(model, model.c.id == parts.c.key)
        place = shown = model.c.name
    elif by == "user":
        name = sa.func.coalesce(person.c.name, sa.cast(person.c.discord_id, sa.Text))
        shown = sa.select(name).where(person.c.id == place).scalar_subquery()
    sums = sa.select(
        place.label("place"), shown.label("key"), *(sa.func.sum(parts.c[each]).label(each) for each in _NAMES)
    )
    rows = light(connection.execute(sums.select_from(source).group_by(place)))
    rows.sort(key=lambda row: (-row.turns, row.place))  # SQLite would carry whole rows through a second sort
    return [_sums(row, by) for row in rows[:limit]]


def _parts(by: By, since: int, until: int, names: list[str], keys: Sequence[int] | None = None) -> sa.Subquery:
    """The rows to add up: whole months, and the days before and after them."""
    first, last = -(-since // MONTH), (until + 1) // MONTH
    months = sa.select(monthly.c.key, *(monthly.c[name] for name in names)).where(
        monthly.c.by == by, monthly.c.month.between(first, last - 1)
    )
    days = sa.select(daily.c.key, *(daily.c[name] for name in names)).where(daily.c.by == by)
    if first < last:
        parts = [
            months,
            days.where(daily.c.day.between(since, first * MONTH - 1)),
            days.where(daily.c.day.between(last * MONTH, until)),
        ]
    else:
        parts = [days.where(daily.c.day.between(since, until))]
    if keys is not None:
        parts = [part.where(part.selected_columns.key.in_(keys)) for part in parts]
    return sa.union_all(*parts).subquery()


def _sums(row: Any, by: By) -> Sums:
    surprisal = _mean(row.surprisal, row.tokens)
    return Sums(
        key=_key(row.key, by),
        turns=row.turns,
        tokens=row.tokens,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        stopped=row.stopped,
        errors=row.errors,
        interrupted=row.interrupted,
        ttft_ms=_mean(row.ttft_us / 1000, row.timed),
        tokens_per_second=_mean(row.gen_tokens * 1e6, row.gen_us),
        perplexity=None if surprisal is None or surprisal > 700 else math.exp(surprisal),
        stars=_mean(row.rating_sum, row.ratings),
        thumbs_up=row.thumbs_up,
        thumbs_down=row.thumbs_down,
    )


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None


def _key(value: Any, by: By) -> str:
    if by == "day":
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=value)).isoformat()
    return str(value) if value else "(none)"
