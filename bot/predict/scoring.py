"""Teacher forcing in small chunks, between the steps of running replies, on a stream of its own."""

import asyncio
from dataclasses import dataclass, field

from .batch import BLOCK, TILE
from .context import Context, Place
from .engine import EngineError
from .logits import Scratch, score
from .step import Score

MOST_ROWS = TILE - BLOCK
"""Rows in one decode: never a tile, so that all scores are of one kernel class, ``some``."""


@dataclass(slots=True, eq=False)
class ScoreJob:
    """Tokens to score, and what came of it. ``future`` belongs to the event loop. Of a ``private`` job no KV is
    kept."""

    ids: list[int]
    first: int
    k: int
    future: "asyncio.Future[list[Score]]"
    private: bool = False
    scores: list[Score] = field(default_factory=list)
    computed: int = 0
    begun: bool = False


class Scorer:
    """Owned by the engine's thread. Remembers what its stream holds: the next job often begins the same."""

    def __init__(self, context: Context, stream: int, can_trim: bool, least: int) -> None:
        """``least``: the fewest rows of a chunk."""
        self._context = context
        self._stream = stream
        self._can_trim = can_trim
        self._least = least
        self._scratch = Scratch(context.n_vocab)
        self._held: list[int] = []

    def begin(self, job: ScoreJob) -> None:
        """Before its first chunk: start from what the stream holds of it. Raises EngineError."""
        if job.begun:
            return
        job.begun = True  # before what may fail: it is not tried again with an engine made anew
        if not 1 <= job.first < len(job.ids):
            raise EngineError("bad_request", f"token {job.first} of {len(job.ids)} cannot be the first to score")
        same = 0
        for mine, theirs in zip(self._held, job.ids[: job.first - 1], strict=False):
            if mine != theirs:
                break
            same += 1
        same = same // BLOCK * BLOCK if self._can_trim else 0
        self._held = self._held[:same]
        if not self._context.trim(self._stream, same):
            same = 0
        job.computed = same

    def advance(self, job: ScoreJob, limit: int) -> bool:
        """Compute one chunk of about ``limit`` rows; True when the job is done. Raises EngineError."""
        end = len(job.ids) - 1  # the last token's own prediction is not asked for
        # Rows are flagged from a block's border on, so that what they share a kernel with is always the same.
        border = (job.first - 1) // BLOCK * BLOCK
        most = max(self._least, min(limit, MOST_ROWS) // BLOCK * BLOCK)
        start = job.computed
        stop = min(start + most, end, border if start + self._least <= border else end)
        rows = stop - start
        padding = max(self._least, -(-rows // BLOCK) * BLOCK) - rows
        if not self._can_trim or stop + padding > self._context.cells:
            padding = 0
        flagged = stop > border
        ids = job.ids[start:stop] + [job.ids[0]] * padding
        self._context.decode([Place(token, start + i, self._stream, flagged) for i, token in enumerate(ids)])
        for i in range(max(job.first - 1, start), stop):
            row = self._context.row(i - start)
            job.scores.append(score(row, job.ids[i + 1], job.k, self._scratch))
        if padding:
            self._context.trim(self._stream, stop)
        job.computed = stop
        self._held = job.ids[:stop]
        return stop == end

    def forget(self) -> None:
        """Empty the stream."""
        self._held = []
        self._context.trim(self._stream, 0)
