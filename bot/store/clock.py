"""Wall time, for telling people when. Nothing is ordered by it."""

import datetime
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

DAY_US = 86_400_000_000
_moment: ContextVar[int | None] = ContextVar("moment", default=None)


def now_us() -> int:
    """Microseconds since 1970, UTC."""
    moment = _moment.get()
    return time.time_ns() // 1000 if moment is None else moment


def when(us: int) -> str:
    """A moment in the reader's own time zone, to the minute; "?" where there is no such moment."""
    try:
        return datetime.datetime.fromtimestamp(us / 1e6).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, TypeError, ValueError):
        return "?"


def at_moment(moment: int, work: Callable[P, R]) -> Callable[P, R]:
    """``work``, for which it is ``moment`` whenever it is done, also when it is done again."""

    def done(*args: P.args, **options: P.kwargs) -> R:
        token = _moment.set(moment)
        try:
            return work(*args, **options)
        finally:
            _moment.reset(token)

    return done
