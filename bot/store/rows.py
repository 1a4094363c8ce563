"""Rows of many fields, light to read: SQLAlchemy's own take a microsecond for every field that is asked for."""

import logging
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import sqlalchemy as sa

from .faults import is_no_text

log = logging.getLogger(__name__)


def light(result: sa.Result[Any]) -> list[Any]:
    """All rows of a result as named tuples."""
    return list(map(_kind(tuple(result.keys()))._make, result.all()))


def readable(
    connection: sa.Connection,
    query: sa.Select[Any],
    id_: sa.ColumnElement[int],
    ids: Callable[[], Iterable[int]],
    given: Mapping[str, Any] | None = None,
    *,
    spare: Callable[[int], list[Any]] | None = None,
    lost: Callable[[int], object] | None = None,
) -> list[Any]:
    """All rows of a query; where a page of the file is damaged, those that can be read, one id after another.

    ``spare`` reads less of one that the query cannot read; ``lost`` is told of each that is not to be had, else
    they are counted in the program's own log.
    """
    with past_damage():
        return light(connection.execute(query, given))

    def read(one: int) -> list[Any]:
        try:
            return light(connection.execute(query.where(id_ == one), given))
        except sa.exc.DatabaseError:
            if spare is None:
                raise
            return spare(one)

    out: list[Any] = []
    missing: list[int] = []
    with forgiving(connection):
        for each in ids():
            try:
                out += read(each)
            except sa.exc.DatabaseError:
                missing.append(each)
    if lost is not None:
        for each in missing:
            lost(each)
    elif missing:
        log.warning(
            "the log is damaged, %d of what was asked for cannot be read: run `glasshead log check`", len(missing)
        )
    return out


def is_damage(error: sa.exc.DatabaseError | sqlite3.DatabaseError) -> bool:
    original = error.orig if isinstance(error, sa.exc.DatabaseError) else error
    corrupt = str(getattr(original, "sqlite_errorname", "")).startswith("SQLITE_CORRUPT")
    return corrupt or (original is not None and is_no_text(original))


@contextmanager
def past_damage() -> Iterator[None]:
    """What reads a damaged page ends here, to be gone on with after it; every other error goes on."""
    try:
        yield
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:  # the latter: of a result read past SQLAlchemy
        if not is_damage(error):
            raise


@contextmanager
def forgiving(connection: sa.Connection) -> Iterator[None]:
    """Texts whose bytes are no UTF-8 are read all the same, with U+FFFD in them."""
    driver: Any = connection.connection.driver_connection
    driver.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        yield
    finally:
        driver.text_factory = str


def numbers(result: sa.CursorResult[Any]) -> list[int]:
    """The first column of all rows, where there may be thousands."""
    assert result.cursor is not None
    return [row[0] for row in result.cursor.fetchall()]


@lru_cache(maxsize=64)
def _kind(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
