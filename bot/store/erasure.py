"""Erasing a person's words, or one message, so that a search of the files' bytes finds nothing.

One session at a time: read it, plan every edit (a pure function), then make the edits in short transactions, the
messages themselves last. So a crash at any point leaves enough to plan the rest again, and planning again what is
done plans nothing. Where the words stood in other people's prompts, token ids become ERASED.
"""

import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from .blocks import BLOCK, ERASED, pack_ids, unpack_ids, up_to
from .quotes import Quotes
from .rows import past_damage
from .session_data import COPIES, SessionData
from .sessions import unspaced
from .spans import unpack_spans
from .tables import (
    annotation,
    daily,
    discord_part,
    feedback,
    message,
    person,
    prompt_block,
    session,
    tag,
    turn,
)  # fmt: skip
from .traces import delete_trace
from .turns import save_nothing

ID_END = 2**63
BUDGET_S = 0.01
"""Edits begin in a transaction for so long: a few such share a commit, and the write lock is held under 50 ms."""
ASKED = 500
"""Turns of which the person is taken out in one transaction."""


@dataclass(frozen=True, slots=True)
class Words:
    """What was erased from a session before it is planned again: other turns may still bring it back."""

    texts: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    """What the person was called, if it is all of theirs that goes."""
    first: int = ID_END
    """The oldest message it stood in."""
    touched: frozenset[int] = frozenset()
    """Messages of others that quoted it."""

    def also(self, own: Mapping[int, str], names: Collection[str]) -> "Words":
        first = min(self.first, *own) if own else self.first
        return Words(self.texts | set(own.values()), self.names | set(names), first, self.touched)


@dataclass(slots=True)
class Plan:
    """Edits. Text None: the message goes altogether; else it is what remains of it."""

    words: Words = Words()
    quotes: Quotes = field(default_factory=lambda: Quotes(()))
    """Tell whether a reply that is not finished yet may be kept."""
    blocks: dict[int, bytes] = field(default_factory=dict)
    hashes: set[int] = field(default_factory=set)
    """Blocks that follow changed ones: a guess at what is erased could be tested by their hashes."""
    tails: dict[int, bytes] = field(default_factory=dict)
    unverifiable: set[int] = field(default_factory=set)
    """Turns that lost part of what went in."""
    traces: set[int] = field(default_factory=set)
    """Turns whose reply goes, with its trace and whoever asked for it."""
    unsaid: set[int] = field(default_factory=set)
    """Those of them that have no reply yet: none is to be stored."""
    notes: set[int] = field(default_factory=set)
    tags: set[tuple[int, str]] = field(default_factory=set)
    remarks: set[int] = field(default_factory=set)
    title: bool = False
    messages: dict[int, str | None] = field(default_factory=dict)


def sessions_of(connection: sa.Connection, person_id: int) -> list[int]:
    """Where a person said, asked or began something that is still there, or where a reply to them stands, too: all
    sessions, where a damaged file does not tell."""
    said = sa.select(message.c.session_id).where(message.c.person_id == person_id)
    asked = sa.select(turn.c.session_id).where(turn.c.requester_id == person_id)
    began = sa.select(session.c.id).where(session.c.person_id == person_id)
    copied = COPIES.where(turn.c.requester_id == person_id)
    with past_damage():
        return sorted(connection.execute(sa.union(said, asked, began, copied)).scalars())
    return sorted(connection.execute(sa.select(session.c.id)).scalars())


def places_of(connection: sa.Connection, discord_message_id: int) -> dict[int, set[int]]:
    """The sessions where a Discord message stands, and there the replies of ours that it shows; with a reply to a
    command, what was said in that stands there, too (but not in the thread that was opened for it)."""
    typed = sa.select(message.c.session_id).where(message.c.discord_message_id == discord_message_id).distinct()
    parts = sa.select(discord_part.c.turn_id).where(discord_part.c.discord_message_id == discord_message_id)
    of_shown = turn.c.id.in_(parts)
    shown = sa.select(turn.c.session_id, turn.c.reply_message_id).where(
        of_shown, turn.c.reply_message_id.is_not(None)
    )
    copied = COPIES.add_columns(message.c.id).where(of_shown)
    above = message.alias("above")
    asked = (
        sa.select(turn.c.session_id, message.c.id)
        .join(session, session.c.id == turn.c.session_id)
        .join(message, message.c.id == turn.c.prompt_message_id)
        .outerjoin(above, above.c.id == message.c.parent_id)
        .where(of_shown, message.c.discord_message_id.is_(None))
        .where(message.c.role == "user", ~message.c.erased)
        .where((session.c.kind != "thread") | (above.c.role != "system"))
    )
    places: dict[int, set[int]] = {session_id: set() for session_id in connection.execute(typed).scalars()}
    for query in (shown, copied, asked):
        for session_id, reply in connection.execute(query):
            places.setdefault(session_id, set()).add(reply)
    return places


def plan(
    data: SessionData,
    *,
    person_id: int | None = None,
    discord_message_id: int | None = None,
    replies: Collection[int] = (),
    words: Words = Words(),
) -> Plan:
    """Every edit that takes a person, one message, or some replies out of a session. A reply's words are the
    model's: another that says the same, or a person who quotes it, keeps them. ``words`` come from the plan before.
    """
    gone = {row.id for row in data.messages if _is_named(row, person_id, discord_message_id) or row.id in replies}
    own = {row.id: row.text for row in data.messages if row.id in gone and row.role != "assistant"}
    names = {row.author for row in data.messages if row.author and row.id in own and person_id is not None}
    out = Plan(words=words.also(own, names))
    out.quotes = Quotes(out.words.texts, out.words.names)
    erased = {row.id for row in data.messages if row.erased}
    gone |= erased
    lost = own.keys() | {row.id for row in data.messages if row.erased and row.role != "assistant"}
    for row in data.turns:
        asked = row.prompt_message_id in lost or (person_id is not None and row.requester_id == person_id)
        if not asked and row.reply_message_id not in gone:
            continue
        out.traces.add(row.id)
        if row.reply_message_id is not None:
            gone.add(row.reply_message_id)
        elif row.status == "pending":
            out.unsaid.add(row.id)
    theirs = {id_ for id_, who in data.elsewhere.items() if person_id is not None and who == person_id}
    gone.update(  # copies
        row.id
        for row in data.messages
        if row.role == "assistant" and (row.parent_id in lost or row.turn_id in out.traces | theirs)
    )
    touched = _quoting(data, gone, out)
    out.words = replace(out.words, touched=out.words.touched | touched)
    out.traces.update(
        row.id for row in data.turns if row.reply_message_id in gone and row.reply_message_id in touched
    )
    _tombstone(data, gone | out.words.touched, out)
    out.notes = {row.id for row in data.notes if row.turn_id in out.traces or out.quotes.find(row.note)}
    out.tags = {
        (row.turn_id, row.name) for row in data.tags if row.turn_id in out.traces or out.quotes.find(row.name)
    }
    out.remarks = {row.id for row in data.remarks if row.turn_id not in out.traces and out.quotes.find(row.note)}
    out.title = bool(data.title) and (bool(out.quotes.find(data.title)) or _begins(data.title, out.words.texts))
    # The words themselves go last: until then whatever quotes them can still be recognised.
    out.messages |= dict.fromkeys([*sorted(gone - erased - set(own)), *own])
    return out


def _is_named(row: sa.Row[Any], person_id: int | None, discord_message_id: int | None) -> bool:
    if person_id is not None and row.person_id == person_id:
        return True
    return discord_message_id is not None and row.discord_message_id == discord_message_id


def _begins(title: str, texts: Collection[str]) -> bool:
    """Whether a title is how one of the texts begins: sessions are called after what is said first."""
    words = " ".join(title.split())
    return any(" ".join(text.split()).startswith(words) for text in texts)


def _quoting(data: SessionData, gone: set[int], out: Plan) -> set[int]:
    """Messages of others that quote: replies go, what people typed loses the passage."""
    touched: set[int] = set()
    for row in data.messages:
        if row.id in gone or row.id < out.words.first:
            continue
        if not (out.quotes.find(row.text) or out.quotes.find(row.reasoning)):
            continue
        touched.add(row.id)
        if row.role == "assistant":
            gone.add(row.id)
        else:
            out.messages[row.id] = out.quotes.redact(row.text)
    return touched


def _tombstone(data: SessionData, lost: set[int], out: Plan) -> None:
    """Blank the token ids of lost messages in every prompt of the session; all of a damaged one, which does not
    tell where they are."""
    if not lost and not out.traces:
        return
    chains = {row.id: up_to(data.blocks, row.block_id) for row in data.turns}
    opened: dict[int, list[int]] = {}
    apart = set(data.blocks)
    damaged = False
    for row in data.turns:
        chain = chains[row.id]
        tail = _ids(row.tail)
        whole = len(chain) * BLOCK + BLOCK
        places: Iterable[int] = range(whole)
        if tail is not None and len(chain) * BLOCK + len(tail) == row.n_prompt:
            places = _places(row, lost, gone=row.id in out.traces, whole=whole)
            apart.difference_update(chain)
        else:
            damaged = True
        left = [ERASED] * max(0, min(row.n_prompt - len(chain) * BLOCK, BLOCK)) if tail is None else list(tail)
        for index, offset in (divmod(place, BLOCK) for place in places):
            ids = left
            if index < len(chain):
                ids = _opened(data, opened, chain[index])
            ids[offset : offset + 1] = [ERASED] * (offset < len(ids))
        if left != tail:
            out.tails[row.id] = pack_ids(left)
    # Blocks of no whole prompt may be what a damaged one lacks.
    opened |= {id_: [ERASED] * BLOCK for id_ in apart if damaged}
    out.blocks = {id_: packed for id_, ids in opened.items() if (packed := pack_ids(ids)) != data.blocks[id_][1]}
    for id_ in sorted(data.blocks) if out.blocks else ():  # a parent has the lower id
        if data.blocks[id_][0] in out.blocks or data.blocks[id_][0] in out.hashes:
            out.hashes.add(id_)
    for row in data.turns:
        if row.verifiable and (
            row.id in out.traces or row.id in out.tails or not opened.keys().isdisjoint(chains[row.id])
        ):
            out.unverifiable.add(row.id)


def _places(row: sa.Row[Any], lost: set[int], *, gone: bool, whole: int) -> Iterable[int]:
    """Where lost messages stand in a prompt of ``whole`` places; and what nobody wrote, where its reply is
    ``gone``."""
    try:
        spans = unpack_spans(row.spans)
    except ValueError:
        return range(whole)
    return [
        place
        for span in spans
        if span.message in lost or (gone and span.message is None and span.kind != "marker")
        for place in range(span.start, min(span.end, whole))
    ]


def _opened(data: SessionData, opened: dict[int, list[int]], block: int) -> list[int]:
    """The ids of a block, unpacked once: thousands of places ask for it."""
    if block not in opened:
        opened[block] = _ids(data.blocks[block][1]) or [ERASED] * BLOCK
    return opened[block]


def _ids(packed: bytes) -> list[int] | None:
    """None if they are damaged."""
    try:
        return list(unpack_ids(packed))
    except ValueError:
        return None


Edit = tuple[str, int, Any]


def edits(made: Plan, data: SessionData) -> list[Edit]:
    """The plan, edit by edit; the messages themselves come last."""
    return [
        *(("hash", id_, None) for id_ in made.hashes - made.blocks.keys()),
        *(("block", id_, ids) for id_, ids in made.blocks.items()),
        *(("tail", id_, ids) for id_, ids in made.tails.items()),
        *(("unverifiable", id_, None) for id_ in made.unverifiable),
        *(("trace", id_, None) for id_ in made.traces & data.recorded),
        *(("unsaid", id_, None) for id_ in made.unsaid),
        *(("note", id_, None) for id_ in made.notes),
        *(("tag", id_, name) for id_, name in made.tags),
        *(("remark", id_, None) for id_ in made.remarks),
        *([("title", data.session, None)] if made.title else []),
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
_HASH = _BLOCK.values(hash=sa.bindparam("random"))
_TAIL = _TURN.values(tail=sa.bindparam("ids"))
_UNVERIFIABLE = _TURN.values(verifiable=False)
_FEEDBACK = feedback.update().where(feedback.c.turn_id == sa.bindparam("of")).values(note="")
_REMARK = feedback.update().where(feedback.c.id == sa.bindparam("of")).values(note="")
_TAG = tag.delete().where(tag.c.turn_id == sa.bindparam("of"), tag.c.name == sa.bindparam("called"))
_MESSAGE = message.update().where(message.c.id == sa.bindparam("of"))


def _make(connection: sa.Connection, what: str, id_: int, value: Any) -> None:
    match what:
        case "block":
            connection.execute(_BLOCK, {"of": id_, "ids": value, "hash": secrets.token_bytes(16)})
        case "hash":
            connection.execute(_HASH, {"of": id_, "random": secrets.token_bytes(16)})
        case "tail":
            connection.execute(_TAIL, {"of": id_, "ids": value})
        case "unverifiable":
            connection.execute(_UNVERIFIABLE, {"of": id_})
        case "trace":
            delete_trace(connection, id_)
            connection.execute(_FEEDBACK, {"of": id_})
        case "unsaid":
            save_nothing(connection, id_)
        case "note":
            connection.execute(annotation.delete().where(annotation.c.id == id_))
        case "tag":
            connection.execute(_TAG, {"of": id_, "called": value})
        case "remark":
            connection.execute(_REMARK, {"of": id_})
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


def forget_asking(connection: sa.Connection, person_id: int) -> int:
    """Take the person out of some turns they asked for, as many as one transaction may hold; how many."""
    some = sa.select(turn.c.id).where(turn.c.requester_id == person_id).limit(ASKED)
    return connection.execute(turn.update().where(turn.c.id.in_(some)).values(requester_id=None)).rowcount


def forget_person(connection: sa.Connection, person_id: int) -> int:
    """Take the person, of whom no turns are left, out of the sums, then out of the log. Returns how many thumbs
    went."""
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
    connection.execute(session.update().where(session.c.person_id == person_id).values(person_id=None, title=""))
    connection.execute(person.delete().where(person.c.id == person_id))
    return int(thumbs)
