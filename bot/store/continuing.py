"""Where a conversation goes on, and what in it still waits for an answer."""

import sqlalchemy as sa

from .rows import is_damage, readable
from .tables import discord_part, message, person, turn

_first, _later, _reply = message.alias("first"), message.alias("later"), message.alias("reply")
_shown = sa.select(discord_part.c.turn_id).where(discord_part.c.turn_id == turn.c.id).exists()
_asked = sa.func.coalesce(
    sa.select(sa.func.min(_first.c.id))
    .where(
        _first.c.discord_message_id == message.c.discord_message_id,
        _first.c.session_id == turn.c.session_id,
        _first.c.parent_id.is_not_distinct_from(message.c.parent_id),
    )
    .scalar_subquery(),
    message.c.id,
)
"""An edited message stands where it stood first: another reply to it is no news."""


def end_of(connection: sa.Connection, session_id: int) -> tuple[int, int] | None:
    """The last message of a session, and when its turn began: the reply to what was asked last, of its versions the
    one that Discord shows. What-ifs are no part of the conversation. Where some of the messages cannot be read, the
    newest turn is the last."""
    ends = sa.select(sa.func.coalesce(turn.c.reply_message_id, turn.c.prompt_message_id), turn.c.created_us)
    ends = ends.where(turn.c.session_id == session_id, turn.c.parent_turn_id.is_(None)).limit(1)
    in_order = ends.outerjoin(message, message.c.id == turn.c.prompt_message_id).order_by(
        sa.desc(_asked), sa.desc(_shown)
    )
    try:
        row = connection.execute(in_order.order_by(turn.c.id.desc())).first()
    except sa.exc.DatabaseError as error:
        if not is_damage(error):
            raise
        row = connection.execute(ends.order_by(turn.c.id.desc())).first()
    return None if row is None or row[0] is None else (row[0], row[1])


_wordless = (
    sa.select(_reply.c.id)
    .where(_reply.c.id == turn.c.reply_message_id, turn.c.status == "stopped")
    .where(_reply.c.text == "", _reply.c.reasoning == "", ~_reply.c.erased)
    .exists()
)
"""Of a turn: it was stopped before it had said anything."""
_answers = sa.select(turn.c.id).where(turn.c.prompt_message_id == message.c.id, ~_wordless).exists()


def answered(connection: sa.Connection, discord_message_id: int) -> bool:
    """Whether a person's message was answered, in any of its versions, for all that the log knows: of a reply that
    was stopped before its first word it does not know by whom. Erased ones are not to be answered."""
    query = sa.select(message.c.id).where(
        message.c.discord_message_id == discord_message_id, _answers | message.c.erased
    )
    return connection.execute(query.limit(1)).first() is not None


def left_open(connection: sa.Connection, discord_message_id: int) -> tuple[int, int] | None:
    """Session and message where the newest version of what a person said is the last word, but for replies that
    were stopped before their first word."""
    newest = sa.select(sa.func.max(_first.c.id)).where(_first.c.discord_message_id == discord_message_id)
    nothing = sa.select(turn.c.id).where(turn.c.reply_message_id == _later.c.id, _wordless).exists()
    follows = sa.select(_later.c.id).where(_later.c.parent_id == message.c.id, ~nothing).exists()
    query = sa.select(message.c.session_id, message.c.id).where(
        message.c.id == newest.scalar_subquery(), ~_answers, ~follows
    )
    row = connection.execute(query).first()
    return None if row is None else (row[0], row[1])


def has_namesake(connection: sa.Connection, session_id: int, name: str, discord_id: int) -> bool:
    """Whether somebody else has spoken in a session under this name."""
    other = sa.select(message.c.id).join(person, person.c.id == message.c.person_id)
    called = other.where(message.c.session_id == session_id, message.c.author == name)
    query = called.where(person.c.discord_id != discord_id).limit(1)
    ids = sa.select(message.c.id).where(message.c.session_id == session_id)
    return bool(readable(connection, query, message.c.id, lambda: connection.execute(ids).scalars().all()))


def versions(connection: sa.Connection, message_id: int) -> list[int]:
    """All versions that a session has of what a person said, oldest first. What was said in a command is never
    edited: its versions are its copies below what reads differently."""
    same = (_first.c.discord_message_id == message.c.discord_message_id) & (
        _first.c.session_id == message.c.session_id
    )
    query = sa.select(_first.c.id).join(message, same | (_first.c.id == message.c.id))
    found = list(connection.execute(query.where(message.c.id == message_id).order_by(_first.c.id)).scalars())
    return found if len(found) > 1 else _copies(connection, message_id) or found


def _copies(connection: sa.Connection, message_id: int) -> list[int]:
    """The same words of the same person that follow as many of those, none if it was no command."""
    alike = (
        (_first.c.session_id == message.c.session_id)
        & (_first.c.role == message.c.role)
        & (_first.c.text == message.c.text)
        & _first.c.person_id.is_not_distinct_from(message.c.person_id)
        & _first.c.discord_message_id.is_(None)
        & ~_first.c.erased
    )
    commands = message.c.discord_message_id.is_(None) & (message.c.role == "user") & (message.c.id == message_id)
    query = sa.select(_first.c.id).join(message, alike).where(commands).order_by(_first.c.id)
    found = list(connection.execute(query).scalars())
    if len(found) < 2:
        return found
    session = sa.select(message.c.session_id).where(message.c.id == message_id).scalar_subquery()
    rows = connection.execute(sa.select(_first.c.id, _first.c.parent_id).where(_first.c.session_id == session))
    above: dict[int, int | None] = {id_: parent for id_, parent in rows}

    def repeats(id_: int | None) -> int:
        count = 0
        while id_ is not None:
            count, id_ = count + (id_ in found), above.get(id_)
        return count

    return [each for each in found if repeats(each) == repeats(message_id)]


def shown_instead(connection: sa.Connection, turn_id: int) -> int | None:
    """The reply (a message) that Discord shows in place of a turn's: another version, chosen by somebody. None: the
    turn's own, or none at all."""
    asked = connection.execute(sa.select(turn.c.prompt_message_id).where(turn.c.id == turn_id)).scalar()
    if asked is None:
        return None
    query = sa.select(turn.c.id, turn.c.reply_message_id).where(
        turn.c.prompt_message_id.in_(versions(connection, asked)), turn.c.parent_turn_id.is_(None), _shown
    )
    shown = {id_: reply for id_, reply in connection.execute(query.order_by(turn.c.id))}
    return None if turn_id in shown else next((reply for reply in reversed(shown.values()) if reply), None)
