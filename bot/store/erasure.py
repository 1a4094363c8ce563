"""Erasing a person's words, or one message, so that a search of the files' bytes finds nothing.

One session at a time: read it, plan every edit (a pure function), then make the edits in short transactions, the
messages themselves last. So a crash at any point leaves enough to plan the rest again, and planning again what is
done plans nothing. Where the words stood in other people's prompts, token ids become ERASED.
"""

import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from .blocks import BLOCK, ERASED, pack_ids, unpack_ids
from .quotes import Quotes
from .sessions import unspaced
from .spans import unpack_spans
from .tables import annotation, daily, discord_part, feedback, message, person, prompt_block, session, turn
from .traces import delete_trace

SEARCH_INDEXES = ("message_words", "message_trigrams")

BUDGET_S = 0.01
"""Edits begin in a transaction for so long: a few such share a commit, and the write lock is held under 50 ms."""


@dataclass(frozen=True, slots=True)
class SessionData:
    """What a plan looks at."""

    session: int
    title: str
    messages: list[sa.Row[Any]]
    turns: list[sa.Row[Any]]
    blocks: dict[int, tuple[int | None, bytes]]
    """id → (parent's id, packed ids)"""
    notes: list[sa.Row[Any]]


@dataclass(slots=True)
class Plan:
    """Edits. Text None: the message goes altogether; else it is what remains of it."""

    blocks: dict[int, bytes] = field(default_factory=dict)
    tails: dict[int, bytes] = field(default_factory=dict)
    unverifiable: set[int] = field(default_factory=set)
    """Turns that lost part of what went in."""
    traces: set[int] = field(default_factory=set)
    """Turns whose reply goes, with its trace and whoever asked for it."""
    notes: set[int] = field(default_factory=set)
    title: bool = False
    messages: dict[int, str | None] = field(default_factory=dict)


def sessions_of(connection: sa.Connection, person_id: int) -> list[int]:
    """Where a person said, asked or began something that is still there."""
    said = sa.select(message.c.session_id).where(message.c.person_id == person_id)
    asked = sa.select(turn.c.session_id).where(turn.c.requester_id == person_id)
    began = sa.select(session.c.id).where(session.c.person_id == person_id)
    return sorted(connection.execute(sa.union(said, asked, began)).scalars())


def places_of(connection: sa.Connection, discord_message_id: int) -> list[tuple[int, int | None]]:
    """(session, None) where a person's Discord message stands; (session, reply) where it shows one of ours."""
    typed = sa.select(message.c.session_id).where(message.c.discord_message_id == discord_message_id).distinct()
    shown = (
        sa.select(turn.c.session_id, turn.c.reply_message_id)
        .join(discord_part, discord_part.c.turn_id == turn.c.id)
        .where(discord_part.c.discord_message_id == discord_message_id, turn.c.reply_message_id.is_not(None))
    )
    return [
        *((session_id, None) for session_id in connection.execute(typed).scalars()),
        *((row[0], row[1]) for row in connection.execute(shown)),
    ]


def load(connection: sa.Connection, session_id: int) -> SessionData:
    of_session = turn.c.session_id == session_id
    columns = (turn.c.id, turn.c.prompt_message_id, turn.c.reply_message_id, turn.c.requester_id, turn.c.block_id,
               turn.c.tail, turn.c.spans, turn.c.verifiable, turn.c.status)  # fmt: skip
    rows = connection.execute(sa.select(prompt_block).where(prompt_block.c.session_id == session_id))
    notes = sa.select(annotation).join(turn, turn.c.id == annotation.c.turn_id).where(of_session)
    return SessionData(
        session=session_id,
        title=connection.execute(sa.select(session.c.title).where(session.c.id == session_id)).scalar_one(),
        messages=list(connection.execute(sa.select(message).where(message.c.session_id == session_id))),
        turns=list(connection.execute(sa.select(*columns).where(of_session))),
        blocks={row.id: (row.parent_id, row.ids) for row in rows},
        notes=list(connection.execute(notes)),
    )


def newest(connection: sa.Connection, session_id: int) -> int:
    """The newest message of a session, 0 if it has none."""
    last = sa.select(sa.func.max(message.c.id)).where(message.c.session_id == session_id)
    return int(connection.execute(last).scalar() or 0)


def plan(
    data: SessionData,
    *,
    person_id: int | None = None,
    discord_message_id: int | None = None,
    reply: int | None = None,
) -> Plan:
    """Every edit that takes a person, one message, or one reply out of a session. A reply's words are the model's:
    another that says the same, or a person who quotes it, keeps them."""
    out = Plan()
    own = {row.id: row.text for row in data.messages if _is_own(row, person_id, discord_message_id)}
    quotes = Quotes(own.values())
    gone = set(own) | {row.id for row in data.messages if row.erased}
    for row in data.turns:
        asked = row.prompt_message_id in own or (person_id is not None and row.requester_id == person_id)
        if asked:
            out.traces.add(row.id)
            if row.reply_message_id is not None:
                gone.add(row.reply_message_id)
        elif reply is not None and row.reply_message_id == reply:
            out.traces.add(row.id)
            gone.add(reply)
    gone.update(row.id for row in data.messages if row.role == "assistant" and row.turn_id in out.traces)  # copies
    touched = _quoting(data, quotes, own, gone, out)
    out.traces.update(
        row.id for row in data.turns if row.reply_message_id in gone and row.reply_message_id in touched
    )
    _tombstone(data, gone | touched, out)
    out.notes = {row.id for row in data.notes if row.turn_id in out.traces or quotes.find(row.note)}
    out.title = bool(quotes.find(data.title)) or data.title in own.values()
    erased = {row.id for row in data.messages if row.erased}
    # The words themselves go last: until then whatever quotes them can still be recognised.
    out.messages |= dict.fromkeys([*sorted(gone - erased - set(own)), *own])
    return out


def _is_own(row: sa.Row[Any], person_id: int | None, discord_message_id: int | None) -> bool:
    if person_id is not None and row.person_id == person_id:
        return True
    return discord_message_id is not None and row.discord_message_id == discord_message_id


def _quoting(data: SessionData, quotes: Quotes, own: dict[int, str], gone: set[int], out: Plan) -> set[int]:
    """Messages of others that quote: replies go, what people typed loses the passage."""
    touched: set[int] = set()
    for row in data.messages:
        if row.id in gone or not own or row.id < min(own):
            continue
        if not (quotes.find(row.text) or quotes.find(row.reasoning)):
            continue
        touched.add(row.id)
        if row.role == "assistant":
            gone.add(row.id)
        else:
            out.messages[row.id] = quotes.redact(row.text)
    return touched


def _tombstone(data: SessionData, lost: set[int], out: Plan) -> None:
    """Blank the token ids of lost messages in every prompt of the session."""
    opened: dict[int, list[int]] = {}
    for row in data.turns:
        chain = _chain(data, row.block_id)
        places = [
            place
            for span in unpack_spans(row.spans)
            if span.message in lost or (row.id in out.traces and span.message is None and span.kind != "marker")
            for place in range(span.start, span.end)
        ]
        tail = list(unpack_ids(row.tail))
        before = list(tail)
        for place in places:
            index, offset = divmod(place, BLOCK)
            if index < len(chain):
                ids = opened.setdefault(chain[index], list(unpack_ids(data.blocks[chain[index]][1])))
                ids[offset] = ERASED
            else:
                tail[offset] = ERASED
        if tail != before:
            out.tails[row.id] = pack_ids(tail)
    out.blocks = {id_: packed for id_, ids in opened.items() if (packed := pack_ids(ids)) != data.blocks[id_][1]}
    for row in data.turns:
        if row.verifiable and (
            row.id in out.traces or row.id in out.tails or any(id_ in opened for id_ in _chain(data, row.block_id))
        ):
            out.unverifiable.add(row.id)


def _chain(data: SessionData, last: int | None) -> list[int]:
    """Block ids from the first to ``last``."""
    out: list[int] = []
    while last is not None and last in data.blocks:
        out.append(last)
        last = data.blocks[last][0]
    return out[::-1]


Edit = tuple[str, int, Any]


def edits(made: Plan, session_id: int) -> list[Edit]:
    """The plan, edit by edit; the messages themselves come last."""
    return [
        *(("block", id_, ids) for id_, ids in made.blocks.items()),
        *(("tail", id_, ids) for id_, ids in made.tails.items()),
        *(("unverifiable", id_, None) for id_ in made.unverifiable),
        *(("trace", id_, None) for id_ in made.traces),
        *(("note", id_, None) for id_ in made.notes),
        *([("title", session_id, None)] if made.title else []),
        *(("message", id_, text) for id_, text in made.messages.items()),
    ]


def apply(connection: sa.Connection, some: Sequence[Edit]) -> int:
    """Make edits, in order, while the time for one transaction lasts; how many."""
    until = time.perf_counter() + BUDGET_S
    for done, edit in enumerate(some):
        if done and time.perf_counter() > until:
            return done
        _make(connection, *edit)
    return len(some)


# Built once: an erasure makes tens of thousands of edits, and building a statement takes longer than running it.
_BLOCK = prompt_block.update().where(prompt_block.c.id == sa.bindparam("of"))
_TURN = turn.update().where(turn.c.id == sa.bindparam("of"))
_TAIL = _TURN.values(tail=sa.bindparam("ids"))
_UNVERIFIABLE = _TURN.values(verifiable=False)
_FEEDBACK = feedback.update().where(feedback.c.turn_id == sa.bindparam("of")).values(note="")
_MESSAGE = message.update().where(message.c.id == sa.bindparam("of"))


def _make(connection: sa.Connection, what: str, id_: int, value: Any) -> None:
    match what:
        case "block":
            connection.execute(_BLOCK, {"of": id_, "ids": value, "hash": secrets.token_bytes(16)})
        case "tail":
            connection.execute(_TAIL, {"of": id_, "ids": value})
        case "unverifiable":
            connection.execute(_UNVERIFIABLE, {"of": id_})
        case "trace":
            delete_trace(connection, id_)
            connection.execute(_FEEDBACK, {"of": id_})
        case "note":
            connection.execute(annotation.delete().where(annotation.c.id == id_))
        case "title":
            connection.execute(session.update().where(session.c.id == id_).values(title=""))
        case "message":
            values = _blank() if value is None else {"text": value, "unspaced": unspaced(value)}
            connection.execute(_MESSAGE, {"of": id_, **values})


def _blank() -> dict[str, Any]:
    return {
        "text": "", "reasoning": "", "ids": None, "author": None, "person_id": None, "discord_message_id": None,
        "unspaced": False, "erased": True,
    }  # fmt: skip


def forget_person(connection: sa.Connection, person_id: int) -> int:
    """Take the person out of the sums, then out of the log. Returns how many thumbs went."""
    thumbs = connection.execute(feedback.delete().where(feedback.c.person_id == person_id)).rowcount
    names = [column.name for column in daily.c if not column.primary_key]
    sums = ", ".join(f"{name} = daily.{name} + excluded.{name}" for name in names)
    listed = ", ".join(names)
    connection.execute(
        sa.text(
            f"INSERT INTO daily (by, day, key, {listed}) "  # noqa: S608  names of columns
            f"SELECT by, day, 0, {listed} FROM daily WHERE by = 'user' AND key = :who "
            f"ON CONFLICT (by, day, key) DO UPDATE SET {sums}"
        ),
        {"who": person_id},
    )
    connection.execute(daily.delete().where(daily.c.by == "user", daily.c.key == person_id))
    connection.execute(turn.update().where(turn.c.requester_id == person_id).values(requester_id=None))
    connection.execute(session.update().where(session.c.person_id == person_id).values(person_id=None, title=""))
    connection.execute(person.delete().where(person.c.id == person_id))
    return int(thumbs)


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
    which = "unspaced" if index == "message_trigrams" else "1"
    connection.exec_driver_sql(
        f"INSERT INTO {index} (rowid, text) SELECT id, text FROM message WHERE {which}"  # noqa: S608
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
