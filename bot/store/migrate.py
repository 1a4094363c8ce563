"""Bring a database to the program's version, with a backup of the older one first."""

import os
import sqlite3
from importlib.resources import files
from pathlib import Path

import sqlalchemy as sa

from ..errors import UserError
from .database import PATIENT_MS, writer_engine
from .faults import plain_words
from .readonly import read_only, roll_back

_SCRIPTS = Path(str(files(f"{__package__.rpartition('.')[0]}.migrations")))
REVISIONS = tuple(sorted(path.name[:4] for path in (_SCRIPTS / "versions").glob("[0-9]*.py")))
"""The schema's versions, oldest first: one migration each."""
HEAD = REVISIONS[-1]
RESTORING = ".restoring"
"""What a restored log is called beside the old one until it is whole."""


def migrate(path: Path) -> Path | None:
    """Create or upgrade the database; the caller owns it. Returns the backup that was made, if any.

    An upgrade is one transaction: a crash leaves the old version. Raises UserError for a database that is newer
    than the program, not ours, or not writable.
    """
    sweep(path)
    with plain_words(path):
        found = version(path)
        if found == HEAD:
            return None
        refuse_newer(path, found)
        saved = None if found is None else _save(path, found)
        _make_private(path)
        _upgrade(path)
    return saved


def sweep(path: Path) -> None:
    """Remove what a killed restore left. The caller owns the log."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + RESTORING + suffix).unlink(missing_ok=True)


def _make_private(path: Path) -> None:
    """Nobody else reads the log, from its first byte on; SQLite gives its companions the same rights."""
    path.touch(mode=0o600)
    path.chmod(0o600)


def require_version(path: Path) -> None:
    """Raise UserError unless the database is there and of the program's version."""
    _refuse_folder(path)
    with plain_words(path):
        found = version(path)
    if found is None:
        raise UserError(f"there is no log at {path} yet: talk to the bot first (`glasshead chat`)")
    refuse_newer(path, found)
    if found != HEAD:
        raise UserError(f"{path} is of an older version: start the bot once, it upgrades it")


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a database file")


def refuse_newer(path: Path, found: str | None) -> None:
    """Raise UserError for a schema this program does not know."""
    if found is not None and found not in REVISIONS:
        raise UserError(
            f"{path} was written by a newer Glasshead (schema {found}, this one knows {HEAD}): update Glasshead"
        )


def check_folder(path: Path) -> None:
    """Raise UserError unless a database can be written there; makes the folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent} cannot be created: {error.strerror}") from None
    target = path if path.exists() else path.parent
    _refuse_folder(path)
    if not os.access(path.parent, os.W_OK) or not os.access(target, os.W_OK):
        raise UserError(f"{target} is read-only: Glasshead has to write its log there")


def version(path: Path) -> str | None:
    """The schema's version; None for a database that does not exist yet."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    roll_back(path)
    connection = sqlite3.connect(read_only(path), uri=True)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return None
        if "alembic_version" not in tables:
            raise UserError(f"{path} is an SQLite database, but not one of Glasshead's: name another file")
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None
    finally:
        connection.close()


def _save(path: Path, found: str) -> Path:
    saved = path.with_name(f"{path.name}.schema-{found}.backup")
    saved.unlink(missing_ok=True)
    saved.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("VACUUM INTO ?", (str(saved),))
    finally:
        connection.close()
    return saved


def _upgrade(path: Path) -> None:
    from alembic import command  # noqa: PLC0415  a tenth of a second that a start without migration does not pay
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    engine = writer_engine(path, wait_ms=PATIENT_MS)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            before = _counts(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            after = _counts(connection)
            lost = [name for name, count in before.items() if after.get(name, 0) < count]
            if lost or connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise UserError(
                    f"{path}: the upgrade would have lost rows ({', '.join(lost)}); nothing was changed"
                )
            connection.commit()
    finally:
        engine.dispose()


def _counts(connection: sa.Connection) -> dict[str, int]:
    """Rows of every table that is not derived, and how many triggers there are."""
    names = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        " AND name NOT LIKE 'message\\_words%' ESCAPE '\\' AND name NOT LIKE 'message\\_trigrams%' ESCAPE '\\'"
    ).scalars()
    counts = {
        name: connection.execute(sa.select(sa.func.count()).select_from(sa.table(name))).scalar_one()
        for name in list(names)
    }
    counts["(triggers)"] = int(
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").scalar_one()
    )
    return counts
