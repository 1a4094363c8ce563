"""The statistics page's numbers, from the daily sums: never from the turns themselves."""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..store.tables import daily, model, person

SPANS = {"7": "a week", "30": "a month", "365": "a year", "3650": "ten years"}
MANY = 50
_SUMS = [column for column in daily.columns if not column.primary_key]


@dataclass(frozen=True, slots=True)
class Sums:
    """What was added up for a day, a model, a server or a user. Quotients are None where nothing was counted."""

    name: str
    values: Mapping[str, float]

    @property
    def turns(self) -> int:
        return int(self.values["turns"])

    @property
    def tokens(self) -> int:
        return int(self.values["tokens"])

    @property
    def failed(self) -> int:
        return int(self.values["errors"] + self.values["interrupted"])

    @property
    def ttft_ms(self) -> float | None:
        return self._ratio("ttft_us", "timed", 1e-3)

    @property
    def tokens_a_second(self) -> float | None:
        return self._ratio("gen_tokens", "gen_us", 1e6)

    @property
    def rating(self) -> float | None:
        return self._ratio("rating_sum", "ratings")

    @property
    def perplexity(self) -> float | None:
        mean = self._ratio("surprisal", "tokens")
        return None if mean is None else math.exp(min(mean, 700.0))

    def _ratio(self, above: str, below: str, scale: float = 1.0) -> float | None:
        return self.values[above] / self.values[below] * scale if self.values[below] else None


@dataclass(frozen=True, slots=True)
class Plot:
    """One number by day. ``points`` are (x, y, label) in a drawing 600 by 150; y grows downwards."""

    title: str
    unit: str
    line: bool
    points: tuple[tuple[float, float, str], ...]
    top: float
    width: float

    @property
    def path(self) -> str:
        return " ".join(f"{x + self.width / 2:.1f},{y:.1f}" for x, y, _ in self.points)


Series = tuple[str, str, bool, Callable[[Sums], float | None]]
"""Title, unit, whether it is drawn as a line, and the number."""

_SERIES: tuple[Series, ...] = (
    ("Turns", "", False, lambda s: s.turns),
    ("Tokens written", "", False, lambda s: s.tokens),
    ("Tokens a second", "", True, lambda s: s.tokens_a_second),
    ("First token after", "ms", True, lambda s: s.ttft_ms),
    ("Perplexity", "", True, lambda s: s.perplexity),
    ("Errors and interruptions", "", False, lambda s: s.failed),
)


@dataclass(frozen=True, slots=True)
class Figures:
    whole: Sums
    plots: tuple[Plot, ...]
    tables: tuple[tuple[str, tuple[Sums, ...]], ...]
    first: str
    last: str


def read_figures(connection: sa.Connection, days: int, today: datetime.date | None = None) -> Figures:
    """The last ``days`` days, today included (UTC)."""
    today = today or datetime.datetime.now(datetime.UTC).date()
    first = (today - datetime.date(1970, 1, 1)).days - days + 1
    by_day = {int(sums.name): sums for sums in _sums(connection, daily.c.day, first)}
    models = {row.id: row.name for row in connection.execute(sa.select(model.c.id, model.c.name))}
    people = {row.id: row.name or row.discord_id for row in connection.execute(sa.select(person))}
    tables = (
        ("Model", _named(_sums(connection, daily.c.model_id, first), models, "?")),
        ("Server", _named(_sums(connection, daily.c.guild_id, first), {0: "none: terminal and DMs"}, "")),
        ("User", _named(_sums(connection, daily.c.person_id, first), {0: "terminal"} | people, "?")),
    )
    total = {column.name: sum(sums.values[column.name] for sums in by_day.values()) for column in _SUMS}
    plots = tuple(_plot(series, by_day, range(first, first + days)) for series in _SERIES)
    return Figures(Sums("all", total), plots, tables, _date(first), _date(first + days - 1))


def _sums(connection: sa.Connection, by: sa.ColumnElement[Any], first: int) -> list[Sums]:
    names = [column.name for column in _SUMS]
    query = sa.select(by.label("by"), *(sa.func.sum(daily.c[name]).label(name) for name in names))
    rows = connection.execute(query.where(daily.c.day >= first).group_by(by)).mappings()
    return [Sums(str(row["by"]), {name: row[name] for name in names}) for row in rows]


def _named(rows: Sequence[Sums], names: Mapping[int, Any], unknown: str) -> tuple[Sums, ...]:
    """Readable names, the busiest first."""
    named = [Sums(str(names.get(int(row.name), unknown or row.name)), row.values) for row in rows]
    return tuple(sorted(named, key=lambda row: -row.turns)[:MANY])


def _plot(series: Series, by_day: Mapping[int, Sums], days: range) -> Plot:
    title, unit, line, value = series
    known = [(day, value(by_day[day])) for day in days if day in by_day]
    values = [(day, number) for day, number in known if number is not None]
    top = max((number for _, number in values), default=0.0)
    width = 600 / len(days)
    points = []
    for day, number in values:
        y = 150 - number / top * 145 if top else 150.0
        points.append(((day - days.start) * width, y, f"{_date(day)}: {number:,.4g} {unit}"))
    return Plot(title, unit, line, tuple(points), top, width)


def _date(day: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
