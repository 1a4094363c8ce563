"""The line of messages that a reply continues, also where a part of the file cannot be read."""

import logging
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..errors import UserError
from ..predict.message import Conversation, Message
from .blocks import unpack_ids
from .rows import forgiving, is_damage

log = logging.getLogger(__name__)

_READ = "m.id, m.parent_id, m.role, m.text, m.author, m.ids, m.reasoning, m.erased"
_ANCESTORS = sa.text(
    f"""
    WITH RECURSIVE line (id, parent_id, depth) AS (
        SELECT id, parent_id, 0 FROM message WHERE id = :leaf
        UNION ALL
        SELECT m.id, m.parent_id, depth + 1 FROM message m JOIN line ON m.id = line.parent_id
        WHERE m.id < line.id -- of a damaged file: else it might go round
    )
    SELECT {_READ} FROM line JOIN message m ON m.id = line.id ORDER BY depth DESC
    """  # noqa: S608  names of columns
)
_ONE = sa.text(f"SELECT {_READ} FROM message m WHERE m.id = :id")  # noqa: S608
# Holds id and parent beside the table; walks all of it, where the row itself is lost.
_PARENT = sa.text("SELECT parent_id FROM message INDEXED BY message_parent WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Line:
    """A conversation, first message first, erased ones left out; and how many of its messages cannot be read."""

    conversation: Conversation
    unread: int


def line(connection: sa.Connection, leaf: int) -> Line:
    """The messages from the root to ``leaf``. Raises UserError if there is no such message."""
    unread = 0
    try:
        rows = connection.execute(_ANCESTORS, {"leaf": leaf}).all()
    except sa.exc.DatabaseError as error:
        if not is_damage(error):
            raise
        rows, unread = _one_by_one(connection, leaf)
        log.warning(
            "the conversation up to message %d: %d of its messages cannot be read, the log is damaged: "
            "run `glasshead log check`", leaf, unread,
        )  # fmt: skip
    if not rows and not unread:
        raise UserError(f"there is no message {leaf}")
    return Line(tuple(_message(row) for row in rows if not row.erased), unread)


def _one_by_one(connection: sa.Connection, leaf: int) -> tuple[list[sa.Row[Any]], int]:
    """The rows that can be read, and how many cannot."""
    rows: list[sa.Row[Any]] = []
    unread = 0
    at: int | None = leaf
    with forgiving(connection):
        while at is not None:
            try:
                row = connection.execute(_ONE, {"id": at}).first()
            except sa.exc.DatabaseError as error:
                if not is_damage(error):
                    raise
                unread += 1
                at = above(connection, at)
                continue
            if row is None:
                break
            rows.append(row)
            at = row.parent_id if row.parent_id is not None and row.parent_id < row.id else None
    return rows[::-1], unread


def above(connection: sa.Connection, message_id: int) -> int | None:
    """The message before another one, which may be one that cannot be read."""
    return connection.execute(_PARENT, {"id": message_id}).scalar()


def _message(row: sa.Row[Any]) -> Message:
    ids: tuple[int, ...] = ()
    try:
        ids = tuple(unpack_ids(row.ids)) if row.ids else ()
    except ValueError:
        log.warning("message %d: its token ids are damaged, its text is tokenised anew", row.id)
    return Message(role=row.role, text=row.text, author=row.author, ids=ids, reasoning=row.reasoning, id=row.id)
