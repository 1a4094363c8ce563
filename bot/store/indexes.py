"""A damaged full-text index: recognised by what a write says, named, and built anew from the messages.

The indexes hold nothing that is not in the messages, and every message that is written changes them: one that is
damaged would keep everything else from being logged.
"""

import logging
import sqlite3
from typing import Any

import sqlalchemy as sa

from .probing import parts, unreadable
from .search_indexes import SEARCH_INDEXES, rebuild_search_index

log = logging.getLogger(__name__)


def is_of_index(error: sa.exc.DBAPIError) -> bool:
    """Whether FTS5 says so: it calls its own tables corrupt, or fails on a constraint that has no name."""
    name = getattr(error.orig, "sqlite_errorname", "")
    nameless = name.startswith("SQLITE_CONSTRAINT") and str(error.orig) == "constraint failed"
    return nameless or name == "SQLITE_CORRUPT_VTAB"


def damaged_indexes(connection: sa.Connection) -> dict[str, str]:
    """The indexes that are not whole, and what FTS5 says of them. It checks them by a kind of write."""
    found = {}
    for index in SEARCH_INDEXES:
        # The one over all messages is held against them, too.
        columns, against = ("", "") if index == "message_trigrams" else (", rank", ", 1")
        check = f"INSERT INTO {index} ({index}{columns}) VALUES ('integrity-check'{against})"  # noqa: S608
        try:
            connection.exec_driver_sql(check)
        except sa.exc.DatabaseError as error:
            found[index] = str(error.orig)
    return found


def replace_indexes(engine: sa.Engine) -> bool:
    """Build the table indexes that cannot be read anew from their tables; whether any was. Writing waits meanwhile.

    SQLite can neither drop nor rebuild an index of which a page is no page: it is struck from the schema instead,
    and its pages stay unused until the log is mended at leisure.
    """
    lent = engine.raw_connection()
    driver: Any = lent.driver_connection
    replaced = False
    try:
        indexes = [part for part in parts(driver) if not part.is_table and part.sql is not None]
        for part, problem in unreadable(driver, indexes):
            log.error("the index %s is damaged (%s): it is built anew, writing waits", part.name, problem)
            try:
                driver.execute("BEGIN IMMEDIATE")
                driver.execute("PRAGMA writable_schema = ON")
                driver.execute("DELETE FROM sqlite_master WHERE type = 'index' AND name = ?", (part.name,))
                driver.execute("PRAGMA writable_schema = RESET")
                driver.execute(part.sql)
                driver.execute("COMMIT")
                replaced = True
            except sqlite3.DatabaseError as error:  # its table is damaged, too
                driver.execute("ROLLBACK")
                driver.execute("PRAGMA writable_schema = RESET")
                log.error("it cannot be: %s", error)
    finally:
        lent.close()
    return replaced


def mend_indexes(engine: sa.Engine) -> None:
    """Build anew what is damaged, or all if what is cannot be told. Writing waits meanwhile."""
    with engine.begin() as connection:
        damaged = damaged_indexes(connection)
    for index in damaged or SEARCH_INDEXES:
        log.error("the search index %s is damaged: it is built anew, and writing waits meanwhile", index)
        with engine.begin() as connection:
            rebuild_search_index(connection, index)
