"""The log as SQLite opens it to read."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path


def read_only(path: Path) -> str:
    """SQLite's name for the database, opened to be read."""
    name = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{name}?mode=ro{'&immutable=1' if _cannot_change(path) else ''}"


def roll_back(path: Path) -> None:
    """Undo what a restore had half written when it was killed: who opens the log to read is refused until then."""
    if path.with_name(path.name + "-journal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()


def _cannot_change(path: Path) -> bool:
    """Whether it lies, whole, where nobody can write. SQLite would make files beside it even to read it there."""
    wal = path.with_name(path.name + "-wal")
    try:
        pending = wal.exists() and wal.stat().st_size > 0
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY) and not pending
    except OSError:
        return False
