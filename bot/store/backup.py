"""Backups, restoring them, and checking a log: plain functions, to be run in a thread."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import UserError
from .blocks import unpack_ids
from .codec import decode
from .database import PATIENT_MS, writer_engine
from .faults import StoreError, plain_words, translate
from .indexes import damaged_indexes
from .lock import OwnerLock
from .migrate import RESTORING, REVISIONS, migrate, refuse_newer, sweep, version
from .misfits import misfits
from .models import unpack_pieces
from .probing import parts, unreadable
from .readonly import read_only, roll_back
from .salvage import salvage
from .search_indexes import SEARCH_INDEXES, rebuild_search_index
from .settings import set_setting, settings_of
from .spans import unpack_spans
from .traces import PART

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: what, and how to mend it."""

    what: str
    remedy: str


BEFORE_RESTORE = ".before-restore"
"""What a log is called that a restored one has replaced."""
_RESTORE = "restore a backup: `glasshead log restore FILE`"
_MEND = "run `glasshead log check --mend`"
_SALVAGE = f"{_RESTORE}; or {_MEND}: it keeps what can be read and tells what is lost"


def backup(path: Path, target: Path) -> Path:
    """Copy a log, in use or not, as it is at this moment; verified before it gets its name. Returns that."""
    _require_ours(path)
    if target.is_dir():
        target /= f"{path.stem}.backup{path.suffix}"
    if target.exists():
        raise UserError(f"{target} exists already: name a new file")
    partial = target.with_name(target.name + ".part")
    with plain_words(target):
        try:
            partial.unlink(missing_ok=True)
            os.close(_private(partial))
            with closing(_read(path)) as source:
                try:
                    source.execute("VACUUM INTO ?", (str(partial),))
                except sqlite3.DatabaseError as error:
                    told = translate(error, path)
                    raise (told if told is not None and told.reason == "damaged" else error) from None
            try:
                _verify(partial)
            except UserError as error:
                words = f"{path}: its copy is damaged, as it is itself: run `glasshead log check`"
                raise StoreError("damaged", words) from error
            _sync(partial)
            partial.rename(target)
            _sync(target.parent)
        except OSError as error:
            raise UserError(f"{target} cannot be written: {error.strerror}") from None
        finally:
            partial.unlink(missing_ok=True)
    return target


_NOTED = ("log", 0)
"""The setting that says when a backup was last made, and where it was put."""


def note_backup(connection: sa.Connection, target: str, size: int, made_us: int) -> None:
    set_setting(connection, *_NOTED, "backup", {"path": target, "size": size, "made_us": made_us})


def backup_noted(connection: sa.Connection) -> dict[str, Any] | None:
    """``path``, ``size`` in bytes, ``made_us``; None if none was ever made."""
    return settings_of(connection, *_NOTED).get("backup")


def restore(path: Path, source: Path) -> Path | None:
    """Put a backup in place of the log. Returns where the log that was there is kept, None if there was none.

    Raises UserError if a process owns the log or the backup does not verify; then nothing has changed. The
    erasures made since the backup are applied again when the log is next opened.
    """
    if not source.is_file():
        raise UserError(f"there is no backup {source}")
    if path.exists() and source.samefile(path):
        raise UserError(f"{source} is the log itself")
    with plain_words(source):
        _verify(source)
    path = path.resolve()  # a link stays one
    lock = OwnerLock(path, passing=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock.acquire()
    try:
        sweep(path)
        fresh = path.with_name(path.name + RESTORING)
        with plain_words(fresh):
            _copy(source, fresh)
            _verify(fresh)
        kept = _put_aside(path)
        # One step for the file system: at any moment there is a whole log under the name, the old one or the new.
        fresh.replace(path)
        _sync(path.parent)
        migrate(path)
        return kept
    except OSError as error:
        raise UserError(f"{path} cannot be restored: {error.strerror}") from None
    finally:
        sweep(path)
        lock.release()


def _copy(source: Path, target: Path) -> None:
    """Page by page, with what a WAL beside the source holds; durable when this returns."""
    os.close(_private(target))
    with closing(_read(source)) as given, closing(sqlite3.connect(target)) as copy:
        given.backup(copy)
    _sync(target)


def _private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _put_aside(path: Path) -> Path | None:
    """Give the log a second name, under which it stays when a new one takes the first. What its WAL holds goes into
    it before: a stale WAL beside the restored log would corrupt that."""
    if not path.exists():
        for stale in _companions(path):
            stale.unlink(missing_ok=True)
        return None
    kept = _free_name(path.with_name(path.name + BEFORE_RESTORE))
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.DatabaseError:
        # Too damaged to be opened: keep its WAL with it, under its name.
        for stale, moved in zip(_companions(path), _companions(kept), strict=True):
            if stale.exists():
                _name_twice(stale, moved)
    _name_twice(path, kept)
    for stale in _companions(path):
        stale.unlink(missing_ok=True)
    _sync(path.parent)
    return kept


def _free_name(path: Path) -> Path:
    """This name, or with the first number that is free: what was put aside before stays."""
    names = chain((path,), (path.with_name(f"{path.name}-{number}") for number in count(2)))
    return next(name for name in names if not name.exists())


def _name_twice(path: Path, other: Path) -> None:
    try:
        other.hardlink_to(path)
    except OSError:  # a file system without second names
        shutil.copyfile(path, other)
        _sync(other)


def _companions(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))


def _verify(path: Path) -> None:
    """Raise UserError unless the file is a whole log this program can read."""
    known = version(path)
    if known is None:
        raise UserError(f"{path} is not a backup of a log")
    if known not in REVISIONS:
        raise UserError(f"{path} was written by a newer Glasshead: update Glasshead")
    with closing(_read(path)) as connection:
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise UserError(f"{path} is damaged: {problems[0]}")


def check(path: Path, progress: Progress = lambda done, total: None) -> list[Finding]:
    """Everything that is wrong with a log, in use or not. Reads all of it."""
    _require_ours(path)
    if missing := _missing_pages(path):
        return [Finding(f"the file is truncated: pages are missing at its end ({missing})", _SALVAGE)]
    found: list[Finding] = []
    try:
        with closing(_read(path)) as connection:
            found += _structure(connection)
            broken = bool(found)
            found.extend(_contents(connection, progress))
    except sqlite3.DatabaseError as error:
        if not found or not broken:
            found.append(Finding(f"the file cannot be read: {error}", _RESTORE))
    return found


def _missing_pages(path: Path, *, fill: bool = False) -> int:
    """How many pages the file has fewer than it says; SQLite opens none of such a file. With ``fill`` there are
    empty ones in their place, and the rest can be read."""
    wal = _companions(path)[0]
    try:
        if wal.exists() and wal.stat().st_size:
            return 0  # what it says holds with the WAL alone
        with path.open("r+b" if fill else "rb") as file:
            head, size = file.read(100), os.fstat(file.fileno()).st_size
            if len(head) < 100 or head[24:28] != head[92:96]:
                return 0
            page = int.from_bytes(head[16:18])
            page = 65536 if page == 1 else max(page, 512)
            whole = int.from_bytes(head[28:32]) * page
            if fill and size < whole:
                file.truncate(whole)
    except OSError:
        return 0
    return max(0, -((size - whole) // page))


def _structure(connection: sqlite3.Connection) -> list[Finding]:
    """What is wrong with tables and indexes, each by its name, and then SQLite's own words."""
    try:
        problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    except sqlite3.DatabaseError as error:  # it stops at a page that is none, and names nothing
        problems = [str(error)]
    if problems == ["ok"]:
        return []
    found = []
    for part, problem in unreadable(connection, parts(connection, derived=True)):
        if part.is_table:
            found.append(Finding(f"the table {part.name} is damaged: {problem}", _SALVAGE))
        else:
            found.append(Finding(f"the index {part.name} of {part.table} is damaged: {problem}", _MEND))
    return found + [Finding(problem, _SALVAGE if "malformed" in problem else _MEND) for problem in problems]


def _contents(connection: sqlite3.Connection, progress: Progress) -> Iterator[Finding]:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(20):
        yield Finding(f"{table} {row} refers to a {parent} that is not there", _SALVAGE)
    for misfit in misfits(connection):
        yield Finding(misfit, _RESTORE)
    for id_, pieces in connection.execute("SELECT id, pieces FROM vocabulary"):
        yield from _tried(
            f"vocabulary {id_}", "save it again: start the bot with that model", unpack_pieces, pieces
        )
    for id_, ids in connection.execute("SELECT id, ids FROM prompt_block"):
        yield from _tried(f"prompt block {id_}", _RESTORE, unpack_ids, ids)
    for id_, text, ids in connection.execute(
        "SELECT id, CAST(text || reasoning AS BLOB), ids FROM message ORDER BY id"
    ):
        yield from _tried(f"message {id_}", _RESTORE, bytes.decode, text)
        if ids:
            yield from _tried(f"message {id_}", _RESTORE, unpack_ids, ids)
    total = connection.execute("SELECT count(*) FROM turn").fetchone()[0]
    traces = connection.cursor()
    for done, (id_, tail, spans, first, start, size) in enumerate(
        connection.execute(
            "SELECT turn.id, tail, spans, first_part, start, size"
            " FROM turn LEFT JOIN trace ON trace.turn_id = turn.id"
        )
    ):
        yield from _tried(f"the prompt of turn {id_}", _RESTORE, unpack_ids, tail)
        yield from _tried(f"the spans of turn {id_}", _RESTORE, unpack_spans, spans)
        if first is not None:
            place = (traces, first, start, size)
            yield from _tried(
                f"the trace of turn {id_}", f"the rest of the turn is readable; {_RESTORE}", _decode_at, place
            )
        progress(done + 1, total)


def _decode_at(place: tuple[sqlite3.Cursor, int, int, int]) -> None:
    parts, first, start, size = place
    last = first + (start + size - 1) // PART
    parts.execute("SELECT data FROM trace_part WHERE id BETWEEN ? AND ? ORDER BY id", (first, last))
    decode(b"".join(data for (data,) in parts)[start : start + size])


def _tried(what: str, remedy: str, read: Callable[[Any], object], value: Any) -> Iterator[Finding]:
    try:
        read(value)
    except (ValueError, LookupError, TypeError) as error:
        yield Finding(f"{what} is damaged: {error}", remedy)


@dataclass(frozen=True, slots=True)
class Mended:
    """``kept``: where the damaged file is, if another took its place; ``lost``: what is not in that, in words."""

    kept: Path | None = None
    lost: tuple[str, ...] = ()


def mend(path: Path) -> Mended:
    """Build every index anew from the tables; where that is not enough, copy what can be read into a new file.

    Raises UserError if too little can be read, if a process owns the log, and for a file that is no log of ours.
    """
    _require_ours(path)
    lock = OwnerLock(path, passing=True)
    lock.acquire()
    try:
        return _mended(path.resolve())
    finally:
        lock.release()


def _require_ours(path: Path) -> None:
    if not path.exists():
        raise UserError(f"there is no log at {path}")
    try:
        found = version(path)
    except sqlite3.DatabaseError:  # damaged where it says so: salvaging will tell
        return
    if found is None:
        raise UserError(f"{path} is not a log")
    refuse_newer(path, found)


def _mended(path: Path) -> Mended:
    _missing_pages(path, fill=True)
    if _mended_in_place(path):
        return Mended()
    sweep(path)
    fresh = path.with_name(path.name + RESTORING)
    try:
        with plain_words(path):
            os.close(_private(fresh))
            lost = salvage(path, fresh)
            _verify(fresh)
        kept = _put_aside(path)
        fresh.replace(path)
        _sync(path.parent)
        return Mended(kept, tuple(lost))
    except StoreError as error:
        if error.reason != "damaged":
            raise
        raise UserError(f"{path}: too little of it can be read to be mended: {_RESTORE}") from error
    finally:
        sweep(path)


def _mended_in_place(path: Path) -> bool:
    engine = writer_engine(path, wait_ms=PATIENT_MS)
    try:
        with plain_words(path), engine.begin() as connection:
            connection.exec_driver_sql("REINDEX")
            for index in SEARCH_INDEXES:
                rebuild_search_index(connection, index)
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                return False
        with closing(_read(path)) as connection_:
            return not _structure(connection_)
    except (StoreError, sqlite3.DatabaseError) as error:
        if isinstance(error, StoreError) and error.reason != "damaged":
            raise
        return False
    finally:
        engine.dispose()


def search_index_findings(connection: sa.Connection) -> list[Finding]:
    """Whether the full-text indexes are whole."""
    found = damaged_indexes(connection)
    return [Finding(f"the search index {index} is damaged: {problem}", _MEND) for index, problem in found.items()]


def _read(path: Path) -> sqlite3.Connection:
    roll_back(path)
    return sqlite3.connect(read_only(path), uri=True, isolation_level=None)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
