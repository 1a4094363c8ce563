"""How the log itself is doing: its size, its backups, what was left unfinished."""

import glob
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from ..store.backup import BEFORE_RESTORE, backup_noted
from ..store.filters import newest_turns
from ..store.search_syntax import Query
from ..store.tables import erasure, message, session, turn

SHOWN = 20
HALVES = (".part", "-journal", "-wal", "-shm")
"""How files end that are no copies of their own."""
_ODD = sa.text("turn.status <> 'ok'")
"""In these very words, for the partial index on it: a bound value would not do."""


@dataclass(frozen=True, slots=True)
class Backup:
    path: str
    size: int
    made_us: int


@dataclass(frozen=True, slots=True)
class Health:
    """Sizes in bytes. ``free`` is what the file holds of pages no longer used."""

    path: str
    size: int
    wal: int
    free: int
    schema: str
    sqlite: str
    sessions: int
    messages: int
    turns: int
    pending: int
    odd: tuple[tuple[int, int, str, str | None, int], ...]
    """The newest turns that did not end well: turn, session, status, error, when."""
    erasures: int
    """Asked for and not finished."""
    copies: tuple[Backup, ...]
    """Beside the log. An erasure does not reach them."""
    noted: Backup | None
    """The last that was made by `log backup`, wherever it was put."""

    @property
    def last_backup(self) -> Backup | None:
        beside = [copy for copy in self.copies if BEFORE_RESTORE not in copy.path]
        known = beside if self.noted is None else [*beside, self.noted]
        return max(known, key=lambda copy: copy.made_us, default=None)


def look_at(connection: sa.Connection, path: Path) -> Health:
    def count(table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        return connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()

    def pragma(name: str) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    wal = path.with_name(path.name + "-wal")
    odd = connection.execute(
        sa.select(
            turn.c.id, turn.c.session_id, turn.c.status, sa.func.coalesce(turn.c.error, ""), turn.c.created_us
        )
        .where(turn.c.id.in_(newest_turns(connection, Query(statuses=("error", "interrupted")), SHOWN)))
        .order_by(turn.c.id.desc())
    )
    return Health(
        path=str(path.absolute()),
        size=path.stat().st_size,
        wal=wal.stat().st_size if wal.exists() else 0,
        free=pragma("freelist_count") * pragma("page_size"),
        schema=str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()),
        sqlite=str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()),
        sessions=_about(connection, session),
        messages=_about(connection, message),
        turns=_about(connection, turn),
        pending=count(turn, sa.and_(_ODD, turn.c.status == "pending")),
        odd=tuple((*row,) for row in odd),
        erasures=count(erasure, erasure.c.done_us.is_(None)),
        copies=_copies(path),
        noted=Backup(**last) if (last := backup_noted(connection)) is not None else None,
    )


def _about(connection: sa.Connection, table: sa.Table) -> int:
    """The newest id: rows ever made. Counting a million rows is not worth the wait."""
    return int(connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0)


def _copies(path: Path) -> tuple[Backup, ...]:
    """Backups beside the database, and logs a restore has put aside, newest first."""
    names = (f"{glob.escape(path.stem)}.*backup*", f"{glob.escape(path.name)}{BEFORE_RESTORE}*")
    found = [file for name in names for file in path.parent.glob(name) if not file.name.endswith(HALVES)]
    made = [(file.stat(), file) for file in found]
    return tuple(
        Backup(str(file), stat.st_size, stat.st_mtime_ns // 1000)
        for stat, file in sorted(made, key=lambda pair: -pair[0].st_mtime_ns)[:SHOWN]
    )
