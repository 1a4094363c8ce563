"""What people think of a turn: thumbs from Discord, reviewers' stars, tags and notes.

A reviewer is a name, "" too. Each has one rating a turn; a tag is on a turn once, whoever gives it again.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from ..errors import UserError
from .among import among
from .clock import now_us
from .missing import Missing
from .rows import numbers, readable
from .sessions import person_id
from .statistics import add
from .tables import annotation, feedback, person, tag, turn

STARS: Literal["review"] = "review"
THUMB: Literal["discord"] = "discord"


@dataclass(frozen=True, slots=True)
class Note:
    """On the whole turn, or on the reply's tokens ``first`` to ``last``, both included."""

    id: int
    turn: int
    first: int | None
    last: int | None
    text: str
    author: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Rating:
    """A reviewer's, 1 to 5."""

    stars: int
    author: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Tag:
    name: str
    author: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Marks:
    """``thumbs`` are (person's Discord id, -1 or 1, note), and when each was given."""

    turn: int
    ratings: tuple[Rating, ...] = ()
    tags: tuple[Tag, ...] = ()
    notes: tuple[Note, ...] = ()
    thumbs: tuple[tuple[int | None, int, str], ...] = ()
    thumbed_us: tuple[int, ...] = ()

    @property
    def stars(self) -> float | None:
        """The mean of the ratings."""
        return fmean(rating.stars for rating in self.ratings) if self.ratings else None

    def stars_of(self, author: str) -> int | None:
        """What a reviewer gave."""
        return next((rating.stars for rating in self.ratings if rating.author == author), None)


def rate(
    connection: sa.Connection, turn_id: int, stars: int | None, *, author: str = "", at_us: int | None = None
) -> None:
    """A reviewer's rating, 1 to 5, in place of theirs before; None takes it back. Given now, or ``at_us``."""
    if stars is not None and not 1 <= stars <= 5:
        raise UserError(f"a rating is 1 to 5, not {stars}")
    require_turn(connection, turn_id)
    mine = sa.and_(feedback.c.turn_id == turn_id, feedback.c.source == STARS, feedback.c.author == author)
    _count(connection, turn_id, mine, -1)
    connection.execute(feedback.delete().where(mine))
    if stars is not None:
        values = {
            "turn_id": turn_id,
            "source": STARS,
            "value": stars,
            "author": author,
            "created_us": now_us() if at_us is None else at_us,
        }
        connection.execute(feedback.insert().values(values))
    _count(connection, turn_id, mine, 1)


def thumb(  # noqa: PLR0917
    connection: sa.Connection, turn_id: int, discord_id: int, value: int, note: str = "", at_us: int | None = None
) -> None:
    """A person's thumb: 1, -1, or 0 to take it back. Given now, or ``at_us``."""
    if value not in (-1, 0, 1):
        raise UserError(f"a thumb is -1, 0 or 1, not {value}")
    require_turn(connection, turn_id)
    who = person_id(connection, discord_id)
    mine = sa.and_(feedback.c.turn_id == turn_id, feedback.c.source == THUMB, feedback.c.person_id == who)
    _count(connection, turn_id, mine, -1)
    connection.execute(feedback.delete().where(mine))
    if value:
        values = {"turn_id": turn_id, "person_id": who, "source": THUMB, "value": value, "note": note}
        connection.execute(feedback.insert().values(values | {"created_us": now_us() if at_us is None else at_us}))
    _count(connection, turn_id, mine, 1)


def _count(connection: sa.Connection, turn_id: int, which: sa.ColumnElement[bool], sign: int) -> None:
    """Keep the daily sums true: add or take away the feedback rows that are there."""
    for value, source in connection.execute(sa.select(feedback.c.value, feedback.c.source).where(which)).all():
        if source == STARS:
            add(connection, turn_id, ratings=sign, rating_sum=sign * value)
        else:
            add(connection, turn_id, thumbs_up=sign * (value > 0), thumbs_down=sign * (value < 0))


def add_tag(
    connection: sa.Connection, turn_id: int, name: str, *, author: str = "", at_us: int | None = None
) -> None:
    require_turn(connection, turn_id)
    created_us = now_us() if at_us is None else at_us
    values = {"turn_id": turn_id, "name": _tag_name(name), "created_us": created_us, "author": author}
    connection.execute(insert(tag).values(values).on_conflict_do_nothing())


def remove_tag(connection: sa.Connection, turn_id: int, name: str) -> None:
    require_turn(connection, turn_id)
    gone = connection.execute(tag.delete().where(tag.c.turn_id == turn_id, tag.c.name == _tag_name(name)))
    if not gone.rowcount:
        raise UserError(f"turn {turn_id} has no tag {name}")


def _tag_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 64 or any(char.isspace() or char == '"' for char in name):
        raise UserError("a tag is one word of at most 64 characters")
    return name


def add_note(
    connection: sa.Connection,
    turn_id: int,
    text: str,
    *,
    first: int | None = None,
    last: int | None = None,
    author: str = "",
) -> int:
    """A note on a turn, or on a span of its tokens. Returns the note's id."""
    n_out = require_turn(connection, turn_id)
    last = first if last is None else last
    if first is not None and last is not None and not 0 <= first <= last < n_out:
        raise UserError(f"turn {turn_id} has the tokens 0 to {n_out - 1}, not {first} to {last}")
    if not text.strip():
        raise UserError("a note needs some text")
    values = {"turn_id": turn_id, "first": first, "last": last, "note": text, "author": author}
    key = connection.execute(annotation.insert().values(values | {"created_us": now_us()})).inserted_primary_key
    assert key is not None
    return int(key[0])


def remove_note(connection: sa.Connection, note_id: int) -> None:
    if not connection.execute(annotation.delete().where(annotation.c.id == note_id)).rowcount:
        raise UserError(f"there is no note {note_id}")


def require_turn(connection: sa.Connection, turn_id: int) -> int:
    """How many tokens the turn has."""
    tokens = connection.execute(sa.select(turn.c.n_out).where(turn.c.id == turn_id)).scalar()
    if tokens is None:
        raise UserError(f"there is no turn {turn_id}")
    return int(tokens)


def marks(connection: sa.Connection, session_id: int) -> dict[int, Marks]:
    """The marks on a session's turns, by turn; unmarked turns are left out."""
    turns = sa.select(turn.c.id).where(turn.c.session_id == session_id)
    return _marks(connection, turns, lambda: numbers(connection.execute(turns)))


def marks_of(connection: sa.Connection, turns: Collection[int], missing: Missing) -> dict[int, Marks]:
    """The same of some turns."""
    return _marks(connection, among(turns), lambda: turns, missing.of("marks of turns"))


def _marks(
    connection: sa.Connection,
    turns: sa.Select[Any],
    ids: Callable[[], Collection[int]],
    lost: Callable[[int], None] | None = None,
) -> dict[int, Marks]:
    def rows(query: sa.Select[Any], of: sa.ColumnElement[int]) -> list[Any]:
        return readable(connection, query.where(of.in_(turns)), of, ids, lost=lost)

    ratings: dict[int, list[Rating]] = {}
    thumbs: dict[int, list[Any]] = {}
    given = sa.select(feedback, person.c.discord_id).outerjoin(person, person.c.id == feedback.c.person_id)
    for row in rows(given.order_by(feedback.c.id), feedback.c.turn_id):
        if row.source == STARS:
            ratings.setdefault(row.turn_id, []).append(Rating(row.value, row.author, row.created_us))
        else:
            thumbs.setdefault(row.turn_id, []).append(row)
    tags: dict[int, list[Tag]] = {}
    for row in rows(sa.select(tag).order_by(tag.c.name), tag.c.turn_id):
        tags.setdefault(row.turn_id, []).append(Tag(row.name, row.author, row.created_us))
    notes: dict[int, list[Note]] = {}
    for row in rows(sa.select(annotation).order_by(annotation.c.id), annotation.c.turn_id):
        note = Note(row.id, row.turn_id, row.first, row.last, row.note, row.author, row.created_us)
        notes.setdefault(row.turn_id, []).append(note)
    return {
        id_: Marks(
            turn=id_,
            ratings=tuple(ratings.get(id_, ())),
            tags=tuple(tags.get(id_, ())),
            notes=tuple(notes.get(id_, ())),
            thumbs=tuple((row.discord_id, row.value, row.note) for row in thumbs.get(id_, ())),
            thumbed_us=tuple(row.created_us for row in thumbs.get(id_, ())),
        )
        for id_ in sorted({*ratings, *thumbs, *tags, *notes})
    }
