"""Values of another kind than their column: what a flipped byte in the header of a row leaves.

SQLite's own check takes bytes for a text, and whatever is no number for one, without a word.
"""

import json
import sqlite3
from collections.abc import Iterator
from functools import partial

import sqlalchemy as sa

from .models import sampling_from
from .tables import metadata

SHOWN = 20
"""Of a table."""
READ_ALONE = ("text", "reasoning")
"""Of messages: whoever looks for damage reads those anyway."""


def misfits(connection: sqlite3.Connection) -> Iterator[str]:
    """Each in words. Raises sqlite3.DatabaseError where a table cannot be read."""
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in metadata.sorted_tables:
        if table.name in there:
            yield from _of_table(connection, table)
    for id_, text in connection.execute("SELECT id, json FROM sampling WHERE typeof(json) = 'text'"):
        try:
            sampling_from(json.loads(text))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            yield f"sampling {id_} is damaged: {error!r:.100}"
    for scope, number, text in connection.execute("SELECT scope, scope_id, value FROM setting"):
        try:
            json.loads(text)
        except (ValueError, TypeError) as error:
            yield f"a setting of {scope} {number} is damaged: {error!s:.100}"


def _of_table(connection: sqlite3.Connection, table: sa.Table) -> Iterator[str]:
    there = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}  # an older log has fewer
    columns = [column for column in table.c if column.name in there]
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    kinds = ", ".join(f'typeof("{column.name}")' for column in columns)
    wrong = " OR ".join(f'typeof("{column.name}") NOT IN {_listed(column)}' for column in columns)
    query = f"SELECT {keys}, {kinds} FROM {table.name} NOT INDEXED WHERE {wrong} LIMIT {SHOWN}"  # noqa: S608  our own tables
    for row in connection.execute(query):
        which = " ".join(map(str, row[: -len(columns)]))
        for column, kind in zip(columns, row[-len(columns) :], strict=True):
            if kind not in _kinds(column):
                yield f"{table.name} {which:.80} is damaged: its {column.name} is {kind}, not {_kinds(column)[0]}"
    texts = [column.name for column in columns if _kinds(column)[0] == "text" and column.name not in READ_ALONE]
    if not texts:
        return
    query = f"SELECT {keys}, {', '.join(f'CAST({name} AS BLOB)' for name in texts)} FROM {table.name} NOT INDEXED"  # noqa: S608
    for row in connection.execute(query):
        for name, text in zip(texts, row[-len(texts) :], strict=True):
            try:
                (text or b"").decode()
            except UnicodeDecodeError as error:
                which = " ".join(map(str, row[: -len(texts)]))
                yield f"{table.name} {which:.80} is damaged: its {name} is no text: {error.reason}"


def _listed(column: sa.Column[object]) -> str:
    return "(" + ", ".join(f"'{kind}'" for kind in _kinds(column)) + ")"


def _kinds(column: sa.Column[object]) -> tuple[str, ...]:
    """What SQLite may call a column's values."""
    kind = column.type
    none = ("null",) if column.nullable else ()
    if isinstance(kind, sa.Float):
        return ("real", "integer", *none)
    if isinstance(kind, sa.LargeBinary):
        return ("blob", *none)
    return ("integer" if isinstance(kind, sa.Integer | sa.Boolean) else "text", *none)
