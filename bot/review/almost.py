"""The reply where it almost said *yes*: steps at which a word was a likely candidate, and another was drawn.

Candidates are in the traces, which no index covers: they are gone through, newest first, for as long as a reader
likes to wait; the next page goes on from there.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ..errors import UserError
from ..explain.turn import Turn
from ..store import Store
from ..store.bulk import Bulk, bulk
from ..store.codec import may_list
from ..store.columns import Damaged
from ..store.filters import newest_turns
from ..store.missing import Missing
from ..store.search_syntax import parse
from ..store.units import NAT
from ..store.words import turns_from
from .facets import split

PATIENCE = 2.0
"""Seconds of looking for one page."""
MOST = 50
LEAST = 0.05
"""A candidate below this share was not almost said."""
_BATCH = 200
_UNITS = -math.log(LEAST) * NAT + 1
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
    """Go on with turns below this one, or messages where words are searched for; None when all were looked at."""
    begins: str | None
    """Where no model here has the word as one token: the longest token that it begins with, "" for none."""


def link(query: str) -> tuple[str, str] | None:
    """For a search for one word, or for *almost said* one: the word, and the page of where it almost was said."""
    words = [term.phrase for term in parse(query).terms if not term.exclude]
    lower = [word.casefold() for word in words]
    after = lower.index("almost") + 1 if "almost" in lower else 0
    said = [word for word in words[after:] if not (after and word.casefold() in _SAYING)] or words
    if len(said) != 1 or not said[0].isalpha():
        return None
    left = filters(query)
    return said[0], "/almost?" + urlencode({"word": said[0]} | ({"q": left} if left else {}))


_SAYING = ("say", "says", "said", "saying")


def filters(query: str) -> str:
    """The query without its words, those to leave out too: nothing is searched for without one to find."""
    return " ".join(part for part in split(query) if _is_filter(part))


def _is_filter(part: str) -> bool:
    try:
        return not parse(part).terms
    except UserError:  # a sign, a word to leave out
        return False


async def look(store: Store, word: str, query: str, before: int | None) -> Found:
    """Turns the query finds (all, without one), newest first."""
    wanted = word.strip().casefold()
    started, by_turn = time.monotonic(), not parse(query).terms
    tokens: dict[int | None, frozenset[int]] = {}
    begins = ""
    nears: list[Near] = []
    seen: set[int] = set()
    while True:
        found, before = await _turns(store, query, before)
        batch = [id_ for id_ in found if id_ not in seen]
        seen.update(batch)
        raw = await store.database.read(lambda c, batch=batch: bulk(c, batch, Missing(), traces=True))  # type: ignore[misc]
        for number in {row.vocabulary_id for row in raw.rows.values()} - tokens.keys():
            pieces = await store.pieces(number)
            tokens[number] = await asyncio.to_thread(_spelt, wanted, pieces)
            if not any(tokens.values()):
                begins = max(begins, await asyncio.to_thread(_beginning, wanted, pieces), key=len)
        may = await asyncio.to_thread(_may_have_almost, raw, tokens)
        asked = {row.id: row.prompt for row in await store.turn_rows(may)}
        for number in may:
            nears += almost(await store.turn(number), wanted, asked.get(number, ""))
            if by_turn and number > found[-1] and _enough(nears, started):
                return Found(nears, sum(id_ >= number for id_ in seen), number, None)
        if before is None or _enough(nears, started):
            return Found(nears, len(seen), before, None if any(tokens.values()) else begins)


def _enough(nears: Sequence[Near], started: float) -> bool:
    return len(nears) >= MOST or time.monotonic() - started > PATIENCE


def _spelt(wanted: str, pieces: Sequence[bytes]) -> frozenset[int]:
    """The tokens that are the word, spaces and case aside."""
    return frozenset(token for token, piece in enumerate(pieces) if _is(piece, wanted))


def _beginning(wanted: str, pieces: Sequence[bytes]) -> str:
    """The longest token that the word begins with; "" for none."""
    texts = (piece.decode("utf-8", "replace").strip().casefold() for piece in pieces)
    return max((text for text in texts if text and wanted.startswith(text)), key=len, default="")


def _is(piece: bytes, wanted: str) -> bool:
    return piece.decode("utf-8", "replace").strip().casefold() == wanted


def _may_have_almost(raw: Bulk, tokens: Mapping[int | None, frozenset[int]]) -> list[int]:
    """The turns in which the word is likely enough at some step to be worth opening; newest first."""
    return [id_ for id_ in sorted(raw.traces, reverse=True) if _may(raw, id_, tokens[raw.rows[id_].vocabulary_id])]


def _may(raw: Bulk, id_: int, tokens: frozenset[int]) -> bool:
    try:
        if not tokens or not may_list(raw.traces[id_], tokens):
            return False
        columns, _ = raw.steps(raw.rows[id_])
    except Damaged:
        return False
    if columns is None:
        return False
    listed = zip(columns.candidate_id.tolist(), columns.candidate_logprob.tolist(), strict=True)
    return any(token in tokens and units <= _UNITS for token, units in listed)


def almost(turn: Turn, wanted: str, asked: str = "") -> list[Near]:
    """The steps of one turn. ``wanted`` is casefolded; spaces around a token do not count."""
    ids = {token: piece for token, piece in turn.trace.candidate_pieces.items() if _is(piece, wanted)}
    out: list[Near] = []
    for index, step in enumerate(turn.trace.steps if ids else ()):
        said = turn.trace.pieces[index]
        if _is(said, wanted):
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


async def _turns(store: Store, query: str, before: int | None) -> tuple[list[int], int | None]:
    """Ids of the next turns to look at, newest first, and where to go on; None at the end."""
    wanted = parse(query)
    if not wanted.terms:
        turns = await store.database.read(lambda c: newest_turns(c, wanted, _BATCH, before))
        return turns, turns[-1] if len(turns) == _BATCH else None
    # By message: a turn may be newer than others that answer what was said later.
    page = await store.search(wanted, limit=_BATCH, after=None if before is None else (0.0, before))
    found = {hit.turn for hit in page.hits if hit.turn is not None}
    if before is not None:  # its reply has the words, say, and on an earlier page, and now what it answers, too
        found -= await store.database.read(lambda c: turns_from(c, wanted.terms, found, before))
    return sorted(found, reverse=True), None if page.next is None else page.next[1]
