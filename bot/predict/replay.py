"""Replay: the logits rows of a recorded reply, computed again in a fresh context.

``ids`` are the prompt and the reply, ``first`` the length of the prompt: step t is predicted by the row of position
``first - 1 + t``. Every function yields (t, row) in order and owns its context while it runs.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .batch import BLOCK, LEAST_CHUNK, TILE, is_split
from .context import Context, Place
from .halt import Halt
from .logits import Logits, hash_row
from .model import Model
from .schedule import Rows, Run, Schedule, join, length

ALWAYS = 512
"""Level B recomputes every step up to this position,"""
SPREAD = 16
"""and this many of the others."""

_N_BATCH = 256
_COMPANY: dict[Rows, int] = {"one": 1, "split": 1, "few": 2, "block": 4, "wide": 8, "tail": 9}
"""The smallest decode step, in rows, in which the last row is of this class."""
_CHUNKS: dict[Rows, tuple[int, int]] = {
    "some": (LEAST_CHUNK, TILE - BLOCK),
    "tile": (TILE, _N_BATCH),
    "many": (LEAST_CHUNK, _N_BATCH),
}
"""The smallest and the largest prefill chunk of a class, in rows."""


class StepRow(NamedTuple):
    """One recomputed row: f32 logits."""

    step: int
    row: Logits


def follow(
    model: Model, ids: Sequence[int], first: int, schedule: Schedule, *, threads: int, halt: Halt | None = None
) -> Iterator[StepRow]:
    """Level A: every position once, each in its logged class."""
    with closing(_Walk(model, ids, first, schedule, threads=threads, halt=halt)) as walk:
        for step in range(len(ids) - first):
            yield StepRow(step, walk.to(first - 1 + step))


def again(
    model: Model,
    ids: Sequence[int],
    first: int,
    schedule: Schedule,
    steps: Sequence[int],
    *,
    hashes: Sequence[int],
    threads: int,
    halt: Halt | None = None,
) -> Iterator[StepRow]:
    """Level B: for each of ``steps`` the memory is cleared and the whole input given again: in_chunks() for as long
    as the rows come out with their ``hashes``, from then on along the schedule."""
    given = partial(_Walk, model, ids, first, threads=threads, halt=halt)
    left = deque(steps)
    if (chunks := in_chunks(model, schedule)) != schedule:
        with closing(given(chunks)) as walk:
            while left and hash_row(row := walk.anew(first - 1 + left[0])) == hashes[left[0]]:
                yield StepRow(left.popleft(), row)
    if left:
        with closing(given(schedule)) as walk:
            for step in left:
                yield StepRow(step, walk.anew(first - 1 + step))


def in_chunks(model: Model, schedule: Schedule) -> Schedule:
    """The schedule with what was decoded row by row in chunks, too, which take a quarter of the time: with weights
    whose kernels do not tell how many rows there are these may well give the same bits. Else as it is."""
    if model.tells_rows or model.is_recurrent or any(run.rows == "many" for run in schedule):
        return schedule
    return join(Run("some", run.count) if run.rows == "one" else run for run in schedule)


def forced(
    model: Model, ids: Sequence[int], first: int, *, threads: int, halt: Halt | None = None
) -> Iterator[StepRow]:
    """Level C: teacher forcing, one pass over everything, all positions in class ``tile``."""
    end = len(ids) - 1
    context = Context(model, n_ctx=end + TILE, streams=1, threads=threads, n_batch=TILE, halt=halt)
    with closing(context):
        for start in range(0, end, TILE):
            stop = min(start + TILE, end)  # the last chunk is filled up; nothing comes after it
            filled = [*ids[start:stop], *[ids[0]] * (start + TILE - stop)]
            flagged = stop >= first
            context.decode([Place(token, start + i, 0, flagged) for i, token in enumerate(filled)])
            for i in range(max(start, first - 1), stop):
                yield StepRow(i - first + 1, context.row(i - start).copy())


def state(
    model: Model, ids: Sequence[int], schedule: Schedule, *, threads: int, streams: int
) -> Generator[None, None, NDArray[np.uint8]]:
    """The state that a stream had with all of ``ids``, for a context of so many ``streams``: computed in pieces,
    one each time it is asked for another, and returned at the end. Raises UserError."""
    with closing(_Walk(model, ids, 1, schedule, threads=threads, halt=None, streams=streams, most=TILE)) as walk:
        while walk.advance(len(ids) - 1) < 0:
            yield
        return walk.snapshot()


def choose(first: int, n_steps: int, *, every: bool) -> list[int]:
    """The steps level B recomputes: all up to position 512 and 16 spread over the rest, or every one."""
    always = n_steps if every else max(0, min(n_steps, ALWAYS - first))
    rest = n_steps - always
    if rest <= SPREAD:
        return list(range(n_steps))
    return [*range(always), *(always + i * (rest - 1) // (SPREAD - 1) for i in range(SPREAD))]


def costs(schedule: Schedule) -> list[float]:
    """What it costs to compute up to each position, in tokens decoded alone: those of a chunk are four times as
    quick, or about that."""
    return list(accumulate(0.25 if run.rows in _CHUNKS else 1.0 for run in schedule for _ in range(run.count)))


class _Walk:
    """A context walked along a schedule. The sequence lives in the stream ``_own``, its company in those before."""

    def __init__(
        self,
        model: Model,
        ids: Sequence[int],
        first: int,
        schedule: Schedule,
        *,
        threads: int,
        halt: Halt | None,
        streams: int = 1,
        most: int = _N_BATCH,
    ) -> None:
        """``most``: rows of a chunk, or as many as its class asks for."""
        if not 1 <= first <= len(ids):
            raise UserError(f"a reply of {len(ids)} tokens in all cannot begin at {first}")
        if length(schedule) < len(ids) - 1:
            raise UserError(f"the schedule covers {length(schedule)} positions, the reply has {len(ids) - 1}")
        self._ids = ids
        self._classes = [run for run in schedule for _ in range(run.count)]
        self._own = max(_COMPANY.get(run.rows, 1) for run in self._classes) - 1
        self._threads = threads
        self._most = most
        self._context = Context(
            model,
            n_ctx=len(ids) + TILE,
            streams=max(streams, self._own + 1),
            threads=threads,
            n_batch=_N_BATCH,
            flash=not any(run.rows == "many" for run in schedule),
            halt=halt,
        )

    def close(self) -> None:
        """Free the context."""
        self._context.close()

    def anew(self, position: int) -> Logits:
        """Forget everything, compute up to ``position`` and return a copy of its row."""
        self._context.trim(self._own, 0)
        return self.to(position)

    def snapshot(self) -> NDArray[np.uint8]:
        """The state it has come to."""
        return self._context.snapshot(self._own)

    def to(self, position: int) -> Logits:
        """Compute up to ``position`` and return a copy of its row."""
        while (row := self.advance(position)) < 0:
            pass
        return self._context.row(row).copy()

    def advance(self, position: int) -> int:
        """Compute the next piece of what there is up to ``position``: its row in the batch, -1 before it."""
        at = self._context.length(self._own)
        if self._classes[at].rows in _CHUNKS:
            row = self._many(at, position)
        else:
            row = self._alone(at, flagged=at == position)
        return row if self._context.length(self._own) > position else -1

    def _many(self, start: int, position: int) -> int:
        """A chunk of the run ``start`` is in; filled up to whole blocks where the run or the walk ends."""
        rows = self._classes[start].rows
        stop = start
        while stop <= position and self._classes[stop].rows == rows:
            stop += 1
        self._context.set_threads(self._threads)
        least, most = _CHUNKS[rows]
        stop = start + _first_cut(stop - start, least, min(most, max(least, self._most)))
        filled = start + max(least, -(-(stop - start) // BLOCK) * BLOCK)
        self._context.decode(
            [
                Place(self._ids[i] if i < stop else self._ids[0], i, self._own, i == position)
                for i in range(start, filled)
            ]
        )
        if filled > stop and not self._context.trim(self._own, stop):
            raise UserError("this model's state cannot be cut where the schedule asks for it")
        return stop - 1 - start

    def _alone(self, position: int, *, flagged: bool) -> int:
        """A decode step, in the company its class calls for."""
        run = self._classes[position]
        company = range(self._own + 1 - _COMPANY[run.rows], self._own)
        # A row that had company was not split; alone it is not with one thread.
        unsplit = 1 if not company and is_split(position, self._threads) else self._threads
        self._context.set_threads(run.threads or unsplit)
        rows = [Place(self._ids[0], 0, stream, flagged) for stream in company]
        self._context.decode([*rows, Place(self._ids[position], position, self._own, flagged)])
        for stream in company:
            self._context.trim(stream, 0)
        return len(rows)


def _first_cut(n: int, least: int, most: int) -> int:
    """How many of ``n`` rows go in the first chunk, ``most`` if no rest is too small for one then."""
    if n <= most or n < 2 * least:
        return n
    return min(most, (n - least) // BLOCK * BLOCK)
