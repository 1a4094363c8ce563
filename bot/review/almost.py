"""The reply where it almost said *yes*: steps at which a word was a likely candidate, and another was drawn.

Candidates are in the traces, which no index covers: turns are opened one after the other, newest first, for as long
as a reader likes to wait; the next page goes on from there.
"""

import asyncio
import math
import time
from dataclasses import dataclass

import sqlalchemy as sa

from ..explain.turn import Turn
from ..store import Store
from ..store.search_syntax import parse
from ..store.tables import turn as turn_table

PATIENCE = 2.0
"""Seconds of looking for one page."""
MOST = 50
LEAST = 0.05
"""A candidate below this share was not almost said."""
_BATCH = 100
_AT_ONCE = 10
_AROUND = 60  # characters shown before the place


@dataclass(frozen=True, slots=True)
class Near:
    """``p`` and ``p_said`` are what was predicted for the word and for the token that was drawn."""

    turn: int
    session: int
    step: int
    asked: str
    """What the reply answers, or the beginning of it."""
    before: str
    said: bytes
    word: bytes
    p: float
    p_said: float


@dataclass(frozen=True, slots=True)
class Found:
    nears: list[Near]
    looked_at: int
    older: int | None
    """Go on with turns below this one; None when all were looked at."""


async def look(store: Store, word: str, query: str, before: int | None) -> Found:
    """Turns the query finds (all, without one), newest first."""
    wanted = word.strip().casefold()
    started = time.monotonic()
    nears: list[Near] = []
    looked_at = 0
    while batch := await _turns(store, query, before):
        for start in range(0, len(batch), _AT_ONCE):
            some = batch[start : start + _AT_ONCE]
            turns = await asyncio.gather(*map(store.turn, some))
            asked = {row.id: row.prompt for row in await store.turn_rows(some)}
            nears += [near for turn in turns for near in almost(turn, wanted, asked.get(turn.id, ""))]
            looked_at += len(turns)
            before = turns[-1].id
            if len(nears) >= MOST or time.monotonic() - started > PATIENCE:
                return Found(nears, looked_at, before)
    return Found(nears, looked_at, None)


def almost(turn: Turn, wanted: str, asked: str = "") -> list[Near]:
    """The steps of one turn. ``wanted`` is casefolded; spaces around a token do not count."""
    ids = {
        token: piece
        for token, piece in turn.trace.candidate_pieces.items()
        if piece.decode("utf-8", "replace").strip().casefold() == wanted
    }
    out: list[Near] = []
    for index, step in enumerate(turn.trace.steps if ids else ()):
        said = turn.trace.pieces[index]
        if said.decode("utf-8", "replace").strip().casefold() == wanted:
            continue
        for candidate in step.top:
            p = math.exp(candidate.logprob)
            if candidate.id in ids and p >= LEAST:
                text = b"".join(turn.trace.pieces[:index]).decode("utf-8", "replace")
                before = f"…{text[-_AROUND:]}" if len(text) > _AROUND else text
                p_said = math.exp(step.logprob)
                out.append(Near(turn.id, turn.session, index, asked, before, said, ids[candidate.id], p, p_said))
                break
    return out


async def _turns(store: Store, query: str, before: int | None) -> list[int]:
    """Ids of the next turns to look at, newest first."""
    if not query:
        ids = sa.select(turn_table.c.id).order_by(turn_table.c.id.desc()).limit(_BATCH)
        if before is not None:
            ids = ids.where(turn_table.c.id < before)
        return list(await store.database.read(lambda c: list(c.execute(ids).scalars())))
    found: list[int] = []
    key: tuple[float, int] | None = None
    while len(found) < _BATCH:
        page = await store.search(parse(query), limit=_BATCH, after=key)
        for hit in page.hits:
            if hit.turn is not None and (before is None or hit.turn < before) and hit.turn not in found:
                found.append(hit.turn)
        key = page.next
        if key is None:
            break
    return sorted(found, reverse=True)
