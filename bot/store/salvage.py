"""A damaged log copied into a new file, as far as it can be read, with a receipt of what is lost.

Rows are read forwards up to the damage, backwards down to it, and one by one in between. What refers to a row that
is lost refers to nothing from then on; a session that is lost is made anew for what was said in it.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ..errors import UserError
from .database import writer_engine
from .probing import Part, is_virtual, parts
from .readonly import read_only
from .search_indexes import SEARCH_INDEXES, rebuild_search_index
from .traces import delete_trace

NEEDED = ("model", "sampling", "alembic_version")
"""Small tables without which nothing else means anything."""
UNKNOWN = 100_000
"""Ids looked at one by one past the last row read, where nothing says how far they go."""


def salvage(path: Path, target: Path) -> list[str]:
    """Copy what can be read of the log into a new file ``target``. What was lost, in words.

    Raises UserError if too much is lost for the rest to be a log.
    """
    copy = sqlite3.connect(target, isolation_level=None)
    with closing(sqlite3.connect(read_only(path), uri=True)) as source, closing(copy):
        lost = _copy(source, copy)
    engine = writer_engine(target)
    with engine.begin() as connection:
        query = "SELECT turn_id FROM trace WHERE turn_id NOT IN (SELECT id FROM turn)"
        for (turn,) in connection.exec_driver_sql(query).all():
            delete_trace(connection, turn)
        for index in SEARCH_INDEXES:
            rebuild_search_index(connection, index)
    engine.dispose()
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("BEGIN")
        _let_go(copy)
        copy.execute("COMMIT")
    return lost


def _copy(source: sqlite3.Connection, copy: sqlite3.Connection) -> list[str]:
    made = source.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    tables = [part for part in parts(source) if part.is_table]
    copy.execute("BEGIN")
    for table in tables:
        copy.execute(table.sql or "")
    lost = []
    for table in tables:
        missing = _copy_rows(source, copy, table)
        if missing and table.name in NEEDED:
            raise UserError(f"the table {table.name} cannot be read: restore a backup")
        lost += [f"{table.name}: {missing}"] if missing else []
    with contextlib.suppress(sqlite3.DatabaseError):  # else the ids go on from the highest there is
        used = source.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        copy.execute("DELETE FROM sqlite_sequence")
        copy.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", used)
    lost += _sessions_anew(copy)
    named = {table.name for table in tables}
    for kind in ("table", "index", "view", "trigger"):
        for this, name, sql in made:
            if this == kind and (kind != "table" or is_virtual(sql)) and name not in named:
                copy.execute(sql)
    copy.execute("COMMIT")
    return lost


def _copy_rows(source: sqlite3.Connection, copy: sqlite3.Connection, table: Part) -> str:
    """Copy a table's rows; what of it cannot be read, empty if all can."""
    by_key = "WITHOUT ROWID" in (table.sql or "")
    columns = source.execute(f"PRAGMA table_info({table.name})").fetchall()
    insert = f"INSERT OR IGNORE INTO {table.name} VALUES ({','.join('?' * len(columns))})"  # noqa: S608  our own tables
    rows = f"SELECT {'*' if by_key else 'rowid, *'} FROM {table.name} NOT INDEXED"  # noqa: S608
    keys = sorted((key, f'"{name}"') for _, name, _, _, _, key in columns if key) if by_key else [(1, "rowid")]
    ends: list[int | None] = []
    for direction in ("", " DESC"):
        last: int | None = None
        try:
            for row in source.execute(f"{rows} ORDER BY {', '.join(name + direction for _, name in keys)}"):
                copy.execute(insert, row if by_key else row[1:])
                last = None if by_key else row[0]
            return ""
        except sqlite3.DatabaseError:
            ends.append(last)
    if by_key:
        return "some rows are lost"
    read = ends[0] or 0
    end = ends[1] or _end(source, table.name)
    missing = [
        id_
        for id_ in range(read + 1, end or read + UNKNOWN)
        if not _one(source, copy, f"{rows} WHERE rowid = ?", insert, id_)
    ]
    if not missing:
        return ""
    if end is None:
        return f"rows are lost from {missing[0]} on"
    return f"up to {len(missing)} rows are lost, between {missing[0]} and {missing[-1]}"


def _one(source: sqlite3.Connection, copy: sqlite3.Connection, query: str, insert: str, id_: int) -> bool:
    """Copy one row; False if it is not there or cannot be read."""
    try:
        row = source.execute(query, (id_,)).fetchone()
    except sqlite3.DatabaseError:
        return False
    if row is not None:
        copy.execute(insert, row[1:])
    return row is not None


def _end(source: sqlite3.Connection, table: str) -> int | None:
    """The id behind the highest that a table ever gave; None where it keeps no count."""
    with contextlib.suppress(sqlite3.DatabaseError):
        row = source.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return None if row is None else int(row[0]) + 1
    return None


def _sessions_anew(copy: sqlite3.Connection) -> list[str]:
    said = "SELECT session_id, min(created_us), max(turn_id) FROM message GROUP BY session_id"
    missing = [row for row in copy.execute(said) if not _has(copy, row[0])]
    for id_, created_us, _ in missing:
        turns, last = copy.execute(
            "SELECT count(*), coalesce(max(id), 0) FROM turn WHERE session_id = ?", (id_,)
        ).fetchone()
        copy.execute(
            "INSERT INTO session (id, public_id, kind, title, key, n_turns, last_turn_id, created_us)"
            " VALUES (?, ?, 'import', '', ?, ?, ?, ?)",
            (id_, secrets.token_hex(8), secrets.token_bytes(32), turns, last, created_us),
        )
    return [f"session: {len(missing)} made anew, without title and place"] if missing else []


def _has(copy: sqlite3.Connection, session: int) -> bool:
    return copy.execute("SELECT 1 FROM session WHERE id = ?", (session,)).fetchone() is not None


def _let_go(copy: sqlite3.Connection) -> None:
    """Whatever refers to a row that is lost refers to none, or goes, too."""
    while dangling := set(_dangling(copy)):
        for table, column, parent in dangling:
            optional = not dict(_columns(copy, table))[column]
            what = f"UPDATE {table} SET {column} = NULL" if optional else f"DELETE FROM {table}"  # noqa: S608
            copy.execute(f"{what} WHERE {column} NOT IN (SELECT id FROM {parent})")  # noqa: S608


def _dangling(copy: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    for table, _, parent, number in copy.execute("PRAGMA foreign_key_check").fetchall():
        for row in copy.execute(f"PRAGMA foreign_key_list({table})"):
            if row[0] == number:
                yield table, row[3], parent


def _columns(copy: sqlite3.Connection, table: str) -> Iterator[tuple[str, bool]]:
    """Names, and whether they may not be NULL."""
    for _, name, _, required, _, key in copy.execute(f"PRAGMA table_info({table})"):
        yield name, bool(required or key)
