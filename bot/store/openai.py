"""Turns as OpenAI's chat format has them: the messages, and a chat completion with log-probabilities."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cache
from operator import add
from typing import Any

from .bulk import PAGE, Bulk, bulk
from .codec import Columns
from .columns import Damaged
from .json import Json, line_text
from .jsonl import grouped
from .records import MessageRow
from .sessions import messages_of
from .step_values import nats
from .store import Store

LOG_0 = -9999.0
"""What OpenAI writes where a log-probability is minus infinity."""


async def openai(
    store: Store, found: AsyncIterator[tuple[int, int]], traces: bool, progress: Callable[[int], None]
) -> AsyncIterator[str]:
    """A line a turn. ``found`` are (session, turn), by session."""
    sessions: dict[int, int] = {}

    async def turns() -> AsyncIterator[int]:
        async for session, id_ in found:
            sessions[id_] = session
            yield id_

    known: dict[int, Pieces] = {}
    done = 0
    async for ids in grouped(turns(), PAGE):
        raw = await store.database.read(lambda c, ids=ids: bulk(c, ids, traces=traces))  # type: ignore[misc]
        places = {sessions.pop(id_) for id_ in ids}
        said = await store.database.read(lambda c, places=places: messages_of(c, places))  # type: ignore[misc]
        for number in {row.vocabulary_id for row in raw.rows.values()} - known.keys():
            known[number] = Pieces(await store.pieces(number))
        yield await asyncio.to_thread(_page, raw, ids, {message.id: message for message in said}, known, traces)
        done += len(ids)
        progress(done)


class Pieces(dict[int, str]):
    """A vocabulary's tokens as they stand in a line before their log-probability, made when first needed."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __missing__(self, token: int) -> str:
        piece = self._pieces[token] if 0 <= token < len(self._pieces) else b""
        values = {"token": piece.decode("utf-8", "replace"), "bytes": list(piece)}
        self[token] = text = f'{line_text(values)[:-1]},"logprob":'
        return text


def _page(
    raw: Bulk, ids: Sequence[int], said: Mapping[int, MessageRow], known: Mapping[int, Pieces], traces: bool
) -> str:
    out = []
    for id_ in ids:
        if id_ in raw.rows:  # not deleted in between
            row = raw.rows[id_]
            columns = None
            with contextlib.suppress(Damaged):  # what was said is there all the same
                columns = raw.steps(row)[0] if traces else None
            out.append(_turn(row, _asked(row, said), columns, known[row.vocabulary_id]))
    return "".join(out)


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


def _turn(row: Any, asked: list[Json], columns: Columns | None, pieces: Pieces) -> str:
    finish = {"stop": "stop", "length": "length", "stopped": "stop"}.get(row.finish or "")
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
    content = "null" if columns is None else f'{{"content":[{_tokens(columns, pieces)}]}}'
    return (
        f'{{"messages":{line_text(asked)},"response":{line_text(response)[:-1]},"choices":'
        f'[{line_text(choice)[:-1]},"logprobs":{content}}}]}}}}\n'
    )


def _tokens(columns: Columns, pieces: Pieces) -> str:
    shown = map(_nats().__getitem__, columns.candidate_logprob.tolist())
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
