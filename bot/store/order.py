"""How far the order of the turns' ids and that of their times disagree: so a span of time is a span of ids.

A clock set back, and every imported log, makes turns of a higher id and an earlier time. By how much at most is
kept as a setting of the log, with the id up to which it was looked at; what came since is looked at when it is
asked for.
"""

import json
from dataclasses import asdict, dataclass
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from .settings import set_setting
from .tables import setting, turn

UNSEEN = 20_000
"""Turns that are looked at anew for each search. Where nothing is kept of more than these (in a log that no bot has
opened, say), what was found is remembered."""
EVERY = 1000
"""Turns after which what was found is kept anew."""

_PLACE = ("log", 0, "time_order")
_found: "WeakKeyDictionary[sa.Engine, TimeOrder]" = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class TimeOrder:
    """Of the turns up to the id ``seen``: the ``latest`` time, and the most a turn lies before an earlier one
    (``back``); microseconds."""

    seen: int = 0
    latest: int = 0
    back: int = 0


def keep_order(connection: sa.Connection) -> None:
    """Look at the turns that are new since, and keep what was found."""
    kept = _kept(connection)
    found = _with_rest(connection, kept)
    if found != kept:
        set_setting(connection, *_PLACE, asdict(found))


def id_span(connection: sa.Connection, after_us: int | None, before_us: int | None) -> tuple[int, int]:
    """A lowest and a highest id: no turn of a span of time lies outside. (1, 0) if there are none."""
    low, high = 1, connection.execute(_LAST).scalar() or 0
    if after_us is None and before_us is None:
        return low, high
    # Of all turns before a time, the highest id is at most `back` older than the newest of them; likewise after.
    back = _known(connection, high).back
    if before_us is not None:
        newest = connection.execute(_NEWEST_BEFORE, {"time": before_us}).scalar()
        if newest is None:
            return 1, 0
        found = connection.execute(_ENDS, {"start": newest - back, "end": newest, "most": UNSEEN + 1}).one()
        high = found.high if found.n <= UNSEEN else high
    if after_us is not None:
        oldest = connection.execute(_OLDEST_AFTER, {"time": after_us}).scalar()
        if oldest is None:
            return 1, 0
        found = connection.execute(_ENDS, {"start": oldest, "end": oldest + back, "most": UNSEEN + 1}).one()
        low = found.low if found.n <= UNSEEN else low
    return low, high


def _known(connection: sa.Connection, last: int) -> TimeOrder:
    """Of all turns, up to the ``last``."""
    kept = max(_kept(connection), _found.get(connection.engine, TimeOrder()), key=lambda order: order.seen)
    found = _with_rest(connection, kept)
    if last - kept.seen > UNSEEN:
        _found[connection.engine] = found
    return found


def _kept(connection: sa.Connection) -> TimeOrder:
    value = connection.execute(_SETTING).scalar()
    try:
        return TimeOrder(**json.loads(value)) if value else TimeOrder()
    except (ValueError, TypeError):  # damaged: it can be found anew
        return TimeOrder()


def _with_rest(connection: sa.Connection, kept: TimeOrder) -> TimeOrder:
    last, latest, earliest, back = connection.execute(_REST, {"seen": kept.seen}).one()
    if last is None:
        return kept
    return TimeOrder(last, max(kept.latest, latest), max(kept.back, back, kept.latest - earliest))


_time, _id = turn.c.created_us, turn.c.id
_start: sa.BindParameter[int] = sa.bindparam("start")
_end: sa.BindParameter[int] = sa.bindparam("end")
_LAST = sa.select(sa.func.max(_id))
_SETTING = sa.select(setting.c.value).where(
    setting.c.scope == _PLACE[0], setting.c.scope_id == _PLACE[1], setting.c.name == _PLACE[2]
)
_NEWEST_BEFORE = sa.select(sa.func.max(_time)).where(_time < sa.bindparam("time"))
_OLDEST_AFTER = sa.select(sa.func.min(_time)).where(_time >= sa.bindparam("time"))
_between = sa.select(_id).where(_time >= _start, _time <= _end).with_hint(turn, "INDEXED BY turn_created", "sqlite")
_few = _between.limit(sa.bindparam("most")).subquery()
_ENDS = sa.select(
    sa.func.count().label("n"), sa.func.min(_few.c.id).label("low"), sa.func.max(_few.c.id).label("high")
)
_new = (
    sa.select(_id, _time, sa.func.max(_time).over(order_by=_id, rows=(None, 0)).label("latest"))
    .where(_id > sa.bindparam("seen"))
    .with_hint(turn, "INDEXED BY turn_facts", "sqlite")
    .subquery()
)
_REST = sa.select(
    sa.func.max(_new.c.id),
    sa.func.max(_new.c.created_us),
    sa.func.min(_new.c.created_us),
    sa.func.max(_new.c.latest - _new.c.created_us),
)
