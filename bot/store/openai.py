"""Turns as OpenAI's chat format has them: the messages, and a chat completion with log-probabilities."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import add
from typing import Any

import sqlalchemy as sa

from .bulk import bulk
from .codec import Columns
from .columns import Damaged
from .json import Json, line_text
from .missing import Missing
from .models import unpack_pieces, vocabulary_blob
from .records import MessageRow
from .sessions import messages_of
from .step_values import nats, rests
from .tables import vocabulary
from .written import PageEnd, Piece

LOG_0 = -9999.0
"""What OpenAI writes where a log-probability is minus infinity."""
VOCABULARIES = 4
"""Kept as text at once."""


def written(connection: sa.Connection, turns: Sequence[int], traces: bool) -> Iterator[Piece]:
    """Some turns, a line each."""
    missing = Missing()
    raw = bulk(connection, turns, missing, traces=traces)
    sessions = {row.session_id for row in raw.rows.values()}
    said = {message.id: message for message in messages_of(connection, sessions, missing)}
    known = {
        number: _pieces(connection, number, missing)
        for number in ({row.vocabulary_id for row in raw.rows.values()} if traces else ())
    }
    for id_ in turns:
        if id_ not in raw.rows:  # deleted in between
            continue
        row = raw.rows[id_]
        columns = None
        with contextlib.suppress(Damaged):  # what was said is there all the same
            columns = raw.steps(row)[0] if traces else None
        yield _turn(row, _asked(row, said), columns, known.get(row.vocabulary_id))
    yield PageEnd(len(raw.rows), missing)


class Pieces(dict[int, str]):
    """A vocabulary's tokens as they stand in a line before their log-probability, made when first needed."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __missing__(self, token: int) -> str:
        piece = self._pieces[token] if 0 <= token < len(self._pieces) else b""
        values = {"token": piece.decode("utf-8", "replace"), "bytes": list(piece)}
        self[token] = text = f'{line_text(values)[:-1]},"logprob":'
        return text


_opened: dict[bytes, Pieces] = {}
"""By the vocabulary's hash."""


def _pieces(connection: sa.Connection, number: int | None, missing: Missing) -> Pieces | None:
    """None where they are lost."""
    if number is None:
        return Pieces([])
    try:
        digest = connection.execute(sa.select(vocabulary.c.sha256).where(vocabulary.c.id == number)).scalar_one()
        pieces = [] if digest in _opened else unpack_pieces(vocabulary_blob(connection, number))
    except (Damaged, sa.exc.DatabaseError):
        missing.add("vocabularies", number)
        return None
    if digest not in _opened:
        if len(_opened) >= VOCABULARIES:
            _opened.pop(next(iter(_opened)))
        _opened[digest] = Pieces(pieces)
    return _opened[digest]


def _asked(row: Any, said: Mapping[int, MessageRow]) -> list[Json]:
    """The conversation the turn answers, oldest first."""
    out: list[Json] = []
    at = said.get(row.prompt_message_id)
    while at is not None:
        if not at.erased:
            name = {"name": at.author} if at.author else {}
            out.append({"role": at.role, "content": at.text, **name})
        at = None if at.parent is None else said.get(at.parent)
    return out[::-1]


def _turn(row: Any, asked: list[Json], columns: Columns | None, pieces: Pieces | None) -> str:
    finish = {"stop": "stop", "end": "stop", "length": "length", "stopped": "stop"}.get(row.finish or "")
    choice = {"index": 0, "message": {"role": "assistant", "content": row.text or ""}, "finish_reason": finish}
    response = {
        "id": f"turn-{row.id}",
        "object": "chat.completion",
        "created": row.created_us // 1_000_000,
        "model": row.model_name,
        "usage": {
            "prompt_tokens": row.n_prompt,
            "completion_tokens": row.n_out,
            "total_tokens": row.n_prompt + row.n_out,
        },
    }
    content = "null" if columns is None or pieces is None else f'{{"content":[{_tokens(columns, pieces)}]}}'
    return (
        f'{{"messages":{line_text(asked)},"response":{line_text(response)[:-1]},"choices":'
        f'[{line_text(choice)[:-1]},"logprobs":{content}}}]}}}}\n'
    )


def _tokens(columns: Columns, pieces: Pieces) -> str:
    shown = list(map(_nats().__getitem__, columns.candidate_logprob.tolist()))
    for place, rest in rests(columns):
        shown[place] = f"{(nats()[columns.candidate_logprob[place]] or 0.0) - rest!r}}}"
    listed = list(map(add, map(pieces.__getitem__, columns.candidate_id.tolist()), shown))
    width = columns.width
    return ",".join(
        f"{pieces[token]}{logprob if math.isfinite(logprob) else LOG_0!r},"
        f'"top_logprobs":[{",".join(listed[at * width : (at + 1) * width])}]}}'
        for at, (token, logprob) in enumerate(zip(columns.id, columns.logprob, strict=True))
    )


@cache
def _nats() -> list[str]:
    """Every log-probability of a candidate that there is, as it ends a token."""
    return [f"{LOG_0 if nat is None else nat!r}}}" for nat in nats()]
