"""Sessions, persons and messages: plain functions over a connection."""

import logging
import secrets
import unicodedata
from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from ..errors import UserError
from ..predict.message import Role
from .among import among
from .clock import now_us
from .missing import Missing
from .prepared import inserted, run
from .records import MessageRow, SessionRow
from .rows import forgiving, light, numbers, past_damage, readable
from .storable import beginning
from .tables import message, person, session, turn

log = logging.getLogger(__name__)

# Statements of the path of every reply, built once: building one costs as much as running it.
INSERT_MESSAGE = message.insert()
_INSERT_SESSION = session.insert()
_INSERT_PERSON = person.insert()
_HAS_SESSION = sa.select(session.c.id).where(session.c.id == sa.bindparam("id"))
_SESSION_OF = (  # from an index: of a message that cannot be read, too
    sa.select(message.c.session_id)
    .where(message.c.id == sa.bindparam("id"))
    .with_hint(message, "INDEXED BY message_place", "sqlite")
)
_KEY = sa.select(session.c.key).where(session.c.id == sa.bindparam("id"))
_PERSON = sa.select(person.c.id, person.c.name).where(person.c.discord_id == sa.bindparam("discord_id"))

PREVIEW = 80
"""Characters of a preview."""
_UNSPACED = (
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "HALFWIDTH KATAKANA",
    "HALFWIDTH HANGUL",
    "BOPOMOFO",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
    "YI",
)


def unspaced(text: str) -> bool:
    """Whether a script without spaces between words occurs: such text is searched by trigrams."""
    return any(ord(c) > 0xDFF and unicodedata.name(c, "").startswith(_UNSPACED) for c in set(text))


def person_id(connection: sa.Connection, discord_id: int | None, name: str | None = None) -> int | None:
    """The row of a Discord user, made at first sight."""
    if discord_id is None:
        return None
    row = run(connection, _PERSON, {"discord_id": discord_id}).fetchone()
    if row is None:
        return inserted(connection, _INSERT_PERSON, {"discord_id": discord_id, "name": name})
    id_, known = row
    if name is not None and known != name:
        connection.execute(person.update().where(person.c.id == id_).values(name=name))
    return int(id_)


def start_session(
    connection: sa.Connection,
    *,
    title: str,
    kind: str,
    guild_id: int | None,
    channel_id: int | None,
    discord_id: int | None,
) -> int:
    values = {
        "public_id": secrets.token_hex(8),
        "title": title,
        "kind": kind,
        "guild_id": guild_id,
        "channel_id": channel_id,
        "person_id": person_id(connection, discord_id),
        "key": secrets.token_bytes(32),
        "created_us": now_us(),
    }
    return inserted(connection, _INSERT_SESSION, values)


def append_message(
    connection: sa.Connection,
    session_id: int,
    role: Role,
    text: str,
    *,
    parent: int | None,
    author: str | None,
    discord_id: int | None,
    discord_message_id: int | None,
) -> int:
    """Add a message typed by a person (or a system prompt). A second child of a parent is another version."""
    if parent is None and run(connection, _HAS_SESSION, {"id": session_id}).fetchone() is None:
        raise UserError(f"there is no session {session_id}")
    if parent is not None and session_of(connection, parent) != session_id:
        raise UserError(f"message {parent} belongs to another session than {session_id}")
    values = {
        "session_id": session_id,
        "parent_id": parent,
        "role": role,
        "author": author,
        "person_id": person_id(connection, discord_id, author),
        "text": text,
        "unspaced": unspaced(text),
        "discord_message_id": discord_message_id,
        "created_us": now_us(),
    }
    return inserted(connection, INSERT_MESSAGE, values)


def copy_message(
    connection: sa.Connection,
    message_id: int,
    *,
    parent: int | None,
    session_id: int | None = None,
    discord_message_id: int | None = None,
) -> int:
    """Add a message again below another one: the same words, a reply with the very ids it was generated as."""
    row = connection.execute(sa.select(message).where(message.c.id == message_id)).mappings().first()
    if row is None:
        raise UserError(f"there is no message {message_id}")
    values = {name: value for name, value in row.items() if name != "id"}
    if session_id is not None and session_id != row["session_id"]:
        shown = discord_message_id or row["discord_message_id"]
        values |= {"session_id": session_id, "discord_message_id": shown}
        if row["role"] != "assistant":
            values["turn_id"] = None  # a turn of that session will answer it; a reply was made where it was made
    new = message.insert().values(values | {"parent_id": parent, "created_us": now_us()})
    key = connection.execute(new).inserted_primary_key
    assert key is not None
    return int(key[0])


def session_of(connection: sa.Connection, message_id: int) -> int:
    """The session of a message. Raises UserError if there is none."""
    row = run(connection, _SESSION_OF, {"id": message_id}).fetchone()
    if row is None:
        raise UserError(f"there is no message {message_id}")
    return int(row[0])


def _messages() -> sa.Select[Any]:
    return sa.select(message, person.c.discord_id).outerjoin(person, person.c.id == message.c.person_id)


def require_message(connection: sa.Connection, message_id: int) -> MessageRow:
    row = connection.execute(_messages().where(message.c.id == message_id)).first()
    if row is None:
        raise UserError(f"there is no message {message_id}")
    return _message_row(row)


def messages(connection: sa.Connection, session_id: int) -> list[MessageRow]:
    """All messages of a session, oldest first, versions and branches included."""
    require_session(connection, session_id)
    inside = message.c.session_id == session_id
    ids = sa.select(message.c.id).where(inside).order_by(message.c.id)
    rows = readable(
        connection,
        _messages().where(inside).order_by(message.c.id),
        message.c.id,
        lambda: connection.execute(ids).scalars().all(),
    )
    return list(map(_message_row, rows))


Place = tuple[int, int | None, bool]
"""A message in its session: its id, the one it answers, and whether a person typed it."""


def tree(connection: sa.Connection, session_id: int) -> Sequence[Place]:
    """Where all messages of a session stand, oldest first: of thousands, in a few milliseconds."""
    inside = message.c.session_id == session_id
    ids = sa.select(message.c.id).where(inside).order_by(message.c.id)
    typed: sa.ColumnElement[bool] = message.c.role == "user"
    places = sa.select(message.c.id, message.c.parent_id, typed).where(inside).order_by(message.c.id)
    with past_damage():
        result = connection.execute(places)
        assert result.cursor is not None
        return result.cursor.fetchall()
    return readable(connection, places, message.c.id, lambda: connection.execute(ids).scalars().all())


def some_messages(connection: sa.Connection, ids: Collection[int]) -> list[MessageRow]:
    """Those that can be read, oldest first."""
    query = _messages().where(message.c.id.in_(among(ids))).order_by(message.c.id)
    return list(map(_message_row, readable(connection, query, message.c.id, lambda: sorted(ids))))


def messages_of(connection: sa.Connection, session_ids: Collection[int], missing: Missing) -> list[MessageRow]:
    """All messages of some sessions, session by session, that can be read."""
    inside = message.c.session_id.in_(among(session_ids))
    order = message.c.session_id, message.c.id
    ids = sa.select(message.c.id).where(inside).order_by(*order)

    def nameless(id_: int) -> list[Any]:
        """Whoever's, where it is not known any more."""
        (row,) = light(connection.execute(_NAMELESS, {"id": id_}))
        missing.add("persons", row.person_id)
        return [row]

    rows = readable(
        connection,
        _messages().where(inside).order_by(*order),
        message.c.id,
        lambda: connection.execute(ids).scalars().all(),
        spare=nameless,
        lost=missing.of("messages"),
    )
    return list(map(_message_row, rows))


_NAMELESS = sa.select(message, sa.null().label("discord_id")).where(message.c.id == sa.bindparam("id"))


def sessions_of(connection: sa.Connection, ids: Collection[int], missing: Missing) -> list[tuple[str, SessionRow]]:
    """Some sessions with their public ids, by id. Of one that is lost, there is what was said in it."""
    lost: list[int] = []

    def without_preview(id_: int) -> list[Any]:
        return light(connection.execute(_sessions(with_preview=False).where(session.c.id == id_)))

    rows = readable(
        connection,
        _sessions().where(session.c.id.in_(among(ids))).order_by(session.c.id),
        session.c.id,
        lambda: sorted(ids),
        spare=without_preview,
        lost=lost.append,
    )
    found = [(row.public_id, session_row(row)) for row in rows]
    for id_ in lost:
        missing.add("sessions", id_)
        found.append((secrets.token_hex(8), _anew(connection, id_)))
    return sorted(found, key=lambda each: each[1].id)


def _anew(connection: sa.Connection, id_: int) -> SessionRow:
    """A session of which all is lost but what lies in it."""
    turns = numbers(connection.execute(sa.select(turn.c.id).where(turn.c.session_id == id_).order_by(turn.c.id)))
    return SessionRow(
        id=id_, kind="import", title="", preview="", guild_id=None, channel_id=None, person=None,
        n_turns=len(turns), last_turn=turns[-1] if turns else None, created_us=now_us(), ended_us=None,
    )  # fmt: skip


def message_of_discord(connection: sa.Connection, discord_message_id: int) -> int | None:
    """The newest version of what a Discord message said."""
    query = sa.select(message.c.id).where(message.c.discord_message_id == discord_message_id)
    return connection.execute(query.order_by(message.c.id.desc()).limit(1)).scalar()


def _message_row(row: Any) -> MessageRow:
    return MessageRow(
        id=row.id,
        session=row.session_id,
        parent=row.parent_id,
        role=row.role,
        author=row.author,
        person=row.discord_id,
        text=row.text,
        reasoning=row.reasoning,
        turn=row.turn_id,
        discord_message_id=row.discord_message_id,
        erased=row.erased,
        created_us=row.created_us,
    )


def _sessions(*, with_preview: bool = True) -> sa.Select[Any]:
    first = sa.select(beginning(message.c.text, PREVIEW)).where(
        message.c.session_id == session.c.id, message.c.role == "user"
    )
    preview: Any = first.order_by(message.c.id).limit(1).scalar_subquery() if with_preview else sa.literal("")
    shown = sa.select(session, person.c.discord_id, preview.label("preview"))
    return shown.outerjoin(person, person.c.id == session.c.person_id)


def require_session(connection: sa.Connection, session_id: int) -> SessionRow:
    """One that is lost to damage is what lies in it."""
    with past_damage():
        rows = _session_rows(connection, lambda query: query.where(session.c.id == session_id))
        if not rows:
            raise UserError(f"there is no session {session_id}")
        return rows[0]
    log.warning("the log is damaged, of session %d there is what lies in it: run `glasshead log check`", session_id)
    return _anew(connection, session_id)


def _session_rows(
    connection: sa.Connection, narrowed: Callable[[sa.Select[Any]], sa.Select[Any]]
) -> list[SessionRow]:
    """Without previews where one of the messages that begin them cannot be read."""
    with past_damage():
        return list(map(session_row, light(connection.execute(narrowed(_sessions())))))
    with forgiving(connection):
        return list(map(session_row, light(connection.execute(narrowed(_sessions(with_preview=False))))))


def sessions(
    connection: sa.Connection, *, limit: int, before: tuple[int, int] | None, channel_id: int | None
) -> list[SessionRow]:
    """Sessions, the one with the newest turn first. ``before`` is (last_turn or 0, id) of the last one seen."""
    conditions: list[sa.ColumnElement[bool]] = []
    if before is not None:
        place = sa.tuple_(session.c.last_turn_id, session.c.id)
        conditions.append(place < sa.tuple_(*map(sa.literal, before)))
    if channel_id is not None:
        conditions.append(session.c.channel_id == channel_id)
    order = session.c.last_turn_id.desc(), session.c.id.desc()

    def narrowed(query: sa.Select[Any]) -> sa.Select[Any]:
        return query.where(*conditions).order_by(*order).limit(limit)

    with past_damage():
        return _session_rows(connection, narrowed)
    return [
        require_session(connection, id_) for id_ in numbers(connection.execute(narrowed(sa.select(session.c.id))))
    ]


def session_row(row: Any) -> SessionRow:
    return SessionRow(
        id=row.id,
        kind=row.kind,
        title=row.title,
        preview=row.preview or "",
        guild_id=row.guild_id,
        channel_id=row.channel_id,
        person=row.discord_id,
        n_turns=row.n_turns,
        last_turn=row.last_turn_id or None,
        created_us=row.created_us,
        ended_us=row.ended_us,
    )


def session_key(connection: sa.Connection, session_id: int) -> bytes:
    key = connection.execute(_KEY, {"id": session_id}).scalar()
    if key is None:
        raise UserError(f"there is no session {session_id}")
    return bytes(key)


def update_session(connection: sa.Connection, session_id: int, **values: Any) -> None:
    require_session(connection, session_id)
    connection.execute(session.update().where(session.c.id == session_id).values(values))
