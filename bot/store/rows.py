"""Rows of many fields, light to read: SQLAlchemy's own take a microsecond for every field that is asked for."""

import contextlib
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa


def light(result: sa.Result[Any]) -> list[Any]:
    """All rows of a result as named tuples."""
    return list(map(_kind(tuple(result.keys()))._make, result.all()))


def readable(
    connection: sa.Connection,
    query: sa.Select[Any],
    id_: sa.ColumnElement[int],
    ids: Callable[[], Iterable[int]],
    given: Mapping[str, Any] | None = None,
) -> list[Any]:
    """All rows of a query; where a page of the file is damaged, those that can be read, one id after another."""
    try:
        return light(connection.execute(query, given))
    except sa.exc.DatabaseError as error:
        if not is_damage(error):
            raise
    out = []
    for each in ids():
        with contextlib.suppress(sa.exc.DatabaseError):
            out += light(connection.execute(query.where(id_ == each), given))
    return out


def is_damage(error: sa.exc.DatabaseError) -> bool:
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith("SQLITE_CORRUPT")


def numbers(result: sa.CursorResult[Any]) -> list[int]:
    """The first column of all rows, where there may be thousands."""
    assert result.cursor is not None
    return [row[0] for row in result.cursor.fetchall()]


@lru_cache(maxsize=64)
def _kind(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
