"""The full-text indexes as a whole: built anew, and merged so that nothing of what was deleted is left in them."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import sqlalchemy as sa

SEARCH_INDEXES = ("message_words", "message_trigrams")


def index_pages(connection: sa.Connection, index: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM {index}_data").scalar_one())  # noqa: S608


def rebuild_search_index(connection: sa.Connection, index: str) -> None:
    """Build a full-text index anew from the messages, whatever is in it; what was deleted is not."""
    made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).scalar_one()
    with closing(sqlite3.connect(":memory:")) as empty:  # one too damaged to be opened is first made like this one
        empty.execute(made)
        for table in (f"{index}_{part}" for part in ("data", "idx", "docsize", "config")):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
            for row in empty.execute(f"SELECT * FROM {table}"):  # noqa: S608
                connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)  # noqa: S608
    connection.exec_driver_sql(f"INSERT INTO {index} ({index}) VALUES ('delete-all')")  # noqa: S608
    source = re.findall(r"content = '(\w+)'", made)[0]  # older logs have another than newer ones
    which = "unspaced" if index == "message_trigrams" else "1"
    connection.exec_driver_sql(
        f"INSERT INTO {index} (rowid, text) SELECT id, text FROM {source} WHERE {which}"  # noqa: S608
    )


def index_segments(connection: sa.Connection, index: str) -> set[int]:
    """The ids of the pieces a full-text index is in, from its structure record (see "fts5_index.c")."""
    query = f"SELECT block FROM {index}_data WHERE id = 10"  # noqa: S608
    numbers = _varints(bytes(connection.exec_driver_sql(query).scalar_one())[4:])
    levels, _, _ = next(numbers), next(numbers), next(numbers)
    found = set()
    for _ in range(levels):
        _, pieces = next(numbers), next(numbers)
        for _ in range(pieces):
            found.add(next(numbers))
            _, _ = next(numbers), next(numbers)
    return found


def _varints(data: bytes) -> Iterator[int]:
    """SQLite's: seven bits a byte, the highest first; a ninth byte would have eight."""
    value, length = 0, 0
    for byte in data:
        length += 1
        if length == 9:
            value = value << 8 | byte
        else:
            value = value << 7 | byte & 0x7F
            if byte & 0x80:
                continue
        yield value
        value, length = 0, 0


def merge_search_index(connection: sa.Connection, index: str, pages: int) -> bool:
    """Rewrite a part of a full-text index without what was deleted; False when there was nothing left to do. Below
    zero, ``pages`` begin the merge of all pieces there are; above, they go on with it."""
    before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    connection.exec_driver_sql(f"INSERT INTO {index} ({index}, rank) VALUES ('merge', ?)", (pages,))  # noqa: S608
    after = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    return int(after) - int(before) >= 2
