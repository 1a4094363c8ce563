"""Which tables and indexes of a damaged file cannot be read: SQLite's own check may stop without naming any."""

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A table, or an index of a table."""

    name: str
    table: str
    sql: str | None
    """What made it; None for an index that SQLite made by itself."""

    @property
    def is_table(self) -> bool:
        return self.name == self.table


def parts(connection: sqlite3.Connection, *, derived: bool = False) -> list[Part]:
    """All that rows lie in, tables first; without ``derived`` the full-text indexes, which can be built from the
    messages, and SQLite's own tables left out."""
    made = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    virtual = tuple(f"{name}_" for _, name, _, sql in made if is_virtual(sql))
    return sorted(
        (
            Part(name, table, sql)
            for kind, name, table, sql in made
            if kind in ("table", "index")
            and not is_virtual(sql)
            and (derived or not table.startswith((*virtual, "sqlite_")))
            and not (kind == "index" and sql is None and _without_rowid(made, table))  # the table itself
        ),
        key=lambda part: (not part.is_table, part.name),
    )


def is_virtual(sql: str | None) -> bool:
    return (sql or "").startswith("CREATE VIRTUAL")


def _without_rowid(made: list[tuple[str, str, str, str | None]], table: str) -> bool:
    return any(name == table and "WITHOUT ROWID" in (sql or "") for _, name, _, sql in made)


def unreadable(connection: sqlite3.Connection, some: Iterable[Part]) -> list[tuple[Part, str]]:
    """Those that are damaged, and what SQLite says of each. Reads all of their pages."""
    found = []
    for part in some:
        try:
            for _ in connection.execute(_all_of(connection, part)):
                pass
        except sqlite3.DatabaseError as error:
            found.append((part, str(error)))
    return found


def _all_of(connection: sqlite3.Connection, part: Part) -> str:
    if part.is_table:
        return f'SELECT * FROM "{part.table}" NOT INDEXED'  # noqa: S608  names of our own tables
    where = re.search(r"\sWHERE\s.*", part.sql or "", re.DOTALL)
    columns = ", ".join(f'"{row[2]}"' for row in connection.execute(f'PRAGMA index_info("{part.name}")'))
    # To count them, SQLite would take another index all the same.
    return f'SELECT {columns} FROM "{part.table}" INDEXED BY "{part.name}" {where[0] if where else ""}'  # noqa: S608
