"""Sessions and turns read by the hundred, as they lie: for exports, which have a whole log to go through."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from ..predict.schedule import Schedule
from . import marks as marking
from .among import among
from .blocks import chains, unpack_ids
from .codec import Columns, decode_columns
from .columns import Damaged
from .json import Json
from .marks import Marks
from .missing import Missing
from .models import identity
from .raw_turns import raw_rows
from .records import MessageRow, SessionRow
from .sessions import messages_of, sessions_of
from .spans import unpack_spans
from .tables import discord_part, turn
from .traces import trace_blobs


@dataclass(frozen=True, slots=True)
class Head:
    """A session without what lies in its turns. ``turns`` are their ids."""

    public_id: str
    row: SessionRow
    messages: list[MessageRow]
    turns: list[int]


def heads(connection: sa.Connection, ids: Collection[int], missing: Missing) -> list[Head]:
    said: dict[int, list[MessageRow]] = {}
    for message in messages_of(connection, ids, missing):
        said.setdefault(message.session, []).append(message)
    made: dict[int, list[int]] = {}
    query = sa.select(turn.c.session_id, turn.c.id).where(turn.c.session_id.in_(among(ids)))
    for session_id, id_ in connection.execute(query.order_by(turn.c.session_id, turn.c.id)):
        made.setdefault(session_id, []).append(id_)
    return [
        Head(public_id, row, said.get(row.id, []), made.get(row.id, []))
        for public_id, row in sessions_of(connection, ids, missing)
    ]


@dataclass(slots=True)
class Bulk:
    """Some turns undecoded, by id, with all that belongs to them."""

    rows: dict[int, Any]
    traces: dict[int, bytes]
    models: dict[int, Json]
    """By `model.id`."""
    marks: dict[int, Marks]
    discord: dict[int, list[int]]
    missing: Missing
    _blocks: dict[int, tuple[int | None, bytes]]
    _prompts: dict[int | None, tuple[int, ...]] = field(default_factory=lambda: {None: ()})

    def prompt(self, row: Any) -> tuple[tuple[int, ...], list[list[Any]]] | None:
        """The prompt's token ids, and its spans as values; None where they are damaged."""
        try:
            ids = self._prompt(row.block_id) + unpack_ids(row.tail)
            if len(ids) == row.n_prompt:
                return ids, [[s.start, s.end, s.kind, s.role, s.message] for s in unpack_spans(row.spans)]
        except ValueError:
            pass
        self.missing.add("prompts of turns", row.id)
        return None

    def _prompt(self, last: int | None) -> tuple[int, ...]:
        """The ids of all blocks up to this one."""
        opened = []
        at = last
        while at is not None and at not in self._prompts and at in self._blocks:
            opened.append(at)
            at = self._blocks[at][0]
        for id_ in reversed(opened):
            parent, packed = self._blocks[id_]
            self._prompts[id_] = self._prompts.get(parent, ()) + unpack_ids(packed)
        return self._prompts.get(last, ())

    def steps(self, row: Any) -> tuple[Columns | None, Schedule]:
        """Raises Damaged."""
        blob = self.traces.get(row.id)
        try:
            return (None, ()) if blob is None else decode_columns(blob)[:2]
        except Damaged:
            self.missing.add("traces of turns", row.id)
            raise

    def reply_ids(self, row: Any) -> list[int]:
        """The reply's ids as its message has them, without those a branch kept."""
        try:
            return list(unpack_ids(row.reply_ids)[row.first_step :]) if row.reply_ids else []
        except Damaged:
            return []


def bulk(connection: sa.Connection, turns: Sequence[int], missing: Missing, *, traces: bool) -> Bulk:
    rows = {row.id: row for row in raw_rows(connection, turns, missing)}
    discord: dict[int, list[int]] = {}
    shown = sa.select(discord_part.c.turn_id, discord_part.c.discord_message_id)
    for id_, message in connection.execute(
        shown.where(discord_part.c.turn_id.in_(among(turns))).order_by(discord_part.c.turn_id, discord_part.c.place)
    ):
        discord.setdefault(id_, []).append(message)
    return Bulk(
        rows=rows,
        traces=trace_blobs(connection, turns) if traces else {},
        models={number: asdict(identity(row)) for number, row in {r.model_id: r for r in rows.values()}.items()},
        marks=marking.marks_of(connection, turns, missing),
        discord=discord,
        missing=missing,
        _blocks=chains(connection, {row.block_id for row in rows.values() if row.block_id is not None}),
    )


def surprisal(row: Any, columns: Columns | None) -> float | None:
    """The sum of −log p over the reply, from its steps or else from what is kept of it; None if not finite."""
    if columns is not None:
        total = -math.fsum(columns.logprob)
        return total if math.isfinite(total) else None
    return math.log(row.perplexity) * row.n_out if row.perplexity else 0.0
