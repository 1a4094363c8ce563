"""The statistics page: the log's daily sums as plots and tables."""

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..store.statistics import Sums

SPANS = {7: "a week", 30: "a month", 365: "a year", 3650: "ten years"}
MANY = 50
DAYS = 366
"""Of the days, the newest in the table."""
_EPOCH = datetime.date(1970, 1, 1)
_WIDTH, _HEIGHT = 600, 145
_MOST_BARS = 400
_POINTED_AT = 100


@dataclass(frozen=True, slots=True)
class Plot:
    """One number by day, in a drawing 600 by 150. ``points`` are (x, y, label); y grows downwards."""

    title: str
    unit: str
    line: bool
    points: tuple[tuple[float, float, str], ...]
    top: float
    width: float
    first: str
    """The day at its left."""

    @property
    def path(self) -> str:
        return " ".join(f"{x + self.width / 2:.1f},{y:.1f}" for x, y, _ in self.points)

    @property
    def bars(self) -> str:
        """All of them as one path."""
        gap, bar = self.width * 0.12, self.width * 0.76
        return "".join(f"M{x + gap:.1f} 150V{y:.1f}h{bar:.2f}V150z" for x, y, _ in self.points)

    @property
    def close(self) -> bool:
        """Whether the points are too close to be pointed at: then none says its number, and the page is quick."""
        return len(self.points) > _POINTED_AT


@dataclass(frozen=True, slots=True)
class Whole:
    """All days together. Means weigh each day by what it counted."""

    turns: int
    tokens: int
    stopped: int
    failed: int
    tokens_per_second: float | None
    perplexity: float | None
    thumbs_up: int
    thumbs_down: int


Series = tuple[str, str, bool, Callable[[Sums], float | None]]
"""Title, unit, whether it is drawn as a line, and the number."""

_SERIES: tuple[Series, ...] = (
    ("Turns", "", False, lambda s: s.turns),
    ("Tokens written", "", False, lambda s: s.tokens),
    ("Tokens a second", "", True, lambda s: s.tokens_per_second),
    ("First token after", "ms", True, lambda s: s.ttft_ms),
    ("Perplexity", "", True, lambda s: s.perplexity),
    ("Errors and interruptions", "", False, lambda s: s.errors + s.interrupted),
    ("Reviewers' ratings", "of 5", True, lambda s: s.stars),
)


def day_number(day: datetime.date) -> int:
    return (day - _EPOCH).days


def date(day: int) -> str:
    return (_EPOCH + datetime.timedelta(days=day)).isoformat()


def whole(days: list[Sums]) -> Whole:
    tokens = sum(day.tokens for day in days)
    timed = [(day.tokens, day.tokens / day.tokens_per_second) for day in days if day.tokens_per_second]
    nats = sum(day.tokens * math.log(day.perplexity) for day in days if day.perplexity)
    seconds = sum(spent for _, spent in timed)
    return Whole(
        turns=sum(day.turns for day in days),
        tokens=tokens,
        stopped=sum(day.stopped for day in days),
        failed=sum(day.errors + day.interrupted for day in days),
        tokens_per_second=sum(count for count, _ in timed) / seconds if seconds else None,
        perplexity=math.exp(nats / tokens) if tokens else None,
        thumbs_up=sum(day.thumbs_up for day in days),
        thumbs_down=sum(day.thumbs_down for day in days),
    )


def plots(days: list[Sums], span: range) -> list[Plot]:
    """``span`` are the days shown, since 1970; a long one starts where something was logged."""
    by_day = {day_number(datetime.date.fromisoformat(day.key)): day for day in days}
    if len(span) > _MOST_BARS:
        span = range(max(span.start, min(by_day, default=span.start)), span.stop)
    return [_plot(series, by_day, span) for series in _SERIES]


def _plot(series: Series, by_day: Mapping[int, Sums], span: range) -> Plot:
    title, unit, line, value = series
    known = [(day, value(by_day[day])) for day in span if day in by_day]
    values = [(day, number) for day, number in known if number is not None]
    top = max((number for _, number in values), default=0.0)
    width = _WIDTH / max(len(span), 1)
    points = []
    for day, number in values:
        y = 150 - number / top * _HEIGHT if top else 150.0
        points.append(((day - span.start) * width, y, f"{date(day)}: {number:,.4g} {unit}"))
    return Plot(title, unit, line, tuple(points), top, width, date(span.start))
