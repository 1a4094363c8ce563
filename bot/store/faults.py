"""What SQLite says when something is wrong with the file or the disk, in words for people."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from ..errors import UserError


class StoreError(UserError):
    """The log could not be read or written. ``reason`` is a word: full, busy, damaged, readonly, missing, io."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def in_short(self) -> str:
        """For people who have nothing to do with the machine: without path and remedy."""
        return _IN_SHORT[self.reason]


_IN_SHORT = {
    "full": "the disk is full",
    "busy": "another program holds the log locked",
    "damaged": "the log is damaged",
    "readonly": "the log cannot be written",
    "missing": "the log is not there",
    "io": "the disk failed",
}
_WORDS = {
    "SQLITE_FULL": ("full", "the disk is full: make room, nothing already logged is lost"),
    "SQLITE_BUSY": ("busy", "another program holds the database locked: close it"),
    "SQLITE_LOCKED": ("busy", "another program holds the database locked: close it"),
    "SQLITE_CORRUPT": ("damaged", "the database is damaged: run `glasshead log check`"),
    "SQLITE_CONSTRAINT_FOREIGNKEY": (
        "damaged",
        "the database is damaged, what it refers to is not there: run `glasshead log check`",
    ),
    "SQLITE_NOTADB": ("damaged", "this is not a Glasshead database, or it is damaged: run `glasshead log check`"),
    "SQLITE_READONLY": ("readonly", "the database cannot be written: check the permissions of file and folder"),
    "SQLITE_CANTOPEN": ("missing", "the database cannot be opened: check that the folder exists and may be read"),
    "SQLITE_IOERR": ("io", "reading or writing the disk failed"),
    "SQLITE_PERM": ("readonly", "the database cannot be opened: check the permissions of file and folder"),
}


def translate(error: BaseException, path: Path) -> StoreError | None:
    """The StoreError for what a driver raised, None if it is not about the file."""
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(original, sqlite3.Error):
        return None
    name = getattr(original, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_IOERR") and _is_full(path):  # which file it could not grow changes the name
        name = "SQLITE_FULL"
    if is_no_text(original):
        name = "SQLITE_CORRUPT"
    for prefix, (reason, words) in _WORDS.items():
        if name.startswith(prefix):
            return StoreError(reason, f"{path}: {words}")
    return None


def is_no_text(error: BaseException) -> bool:
    """Whether a text in the file is no UTF-8 any more: for SQLite itself that is no damage."""
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith("Could not decode to UTF-8")


def _is_full(path: Path) -> bool:
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False


def in_words(error: Exception, path: Path) -> Exception:
    """What is to be raised for ``error``: words for people, where it is about the file or what was asked of it."""
    if isinstance(error, OverflowError):  # an id from outside; the log's own are far smaller
        return UserError("the log holds nothing under so large a number")
    if isinstance(error, UnicodeEncodeError):
        return UserError(f"no text holds a lone surrogate (character {error.start + 1}): remove it")
    return translate(error, path) or error


@contextmanager
def plain_words(path: Path) -> Iterator[None]:
    """Raise what SQLite says about the file as a StoreError."""
    try:
        yield
    except (OverflowError, UnicodeEncodeError) as error:
        raise in_words(error, path) from None
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        told = in_words(error, path)
        if told is error:
            raise
        raise told from error
