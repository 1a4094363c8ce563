"""Batches: which rows go into one decode, and the kernel classes they get there.

Kernels change with the number of rows: at 2, 4 and 8, with blocks of four multiplied together and the rest done
singly, and flash attention goes by tiles from 64 rows of one sequence on. Prefill therefore goes in chunks of whole
blocks, 8 rows and more (4 where no weight's kernel tells), so that the chunking shows nowhere but in the tiles; the
schedule's classes say what happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .gguf import Header
from .schedule import Rows, Run

BLOCK = 4
LEAST_CHUNK = 8
"""Prefill chunks have at least so many rows, whatever the weights, and a multiple of BLOCK."""
TILE = 64
"""From so many rows of one sequence on, flash attention goes by tiles."""
PAGE = 256
"""Attention runs over the cells of whole pages, empty ones masked."""
SPLIT_CELLS = 512
"""From so many cells on, the attention of a row alone is split over the threads."""

_BLIND_TYPES = {2, 3, 6, 7, 8}
_BLIND_EXPERTS = {0, 1, 30, 20, 39, *_BLIND_TYPES}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A prefill chunk: ``rows`` positions of one sequence, and ``padding`` rows behind them that are forgotten."""

    rows: int
    padding: int

    @property
    def kind(self) -> Rows:
        """The class its positions are computed in."""
        return "tile" if self.rows + self.padding >= TILE else "some"


def least_chunk(*, tells: bool, can_trim: bool) -> int:
    """The fewest rows of a prefill chunk, for weights whose kernels tell how many there are or not. A replay may
    have to fill it up to LEAST_CHUNK, and to forget the filling."""
    return LEAST_CHUNK if tells or not can_trim else BLOCK


def chunk(left: int, limit: int, room: int, least: int) -> Chunk | None:
    """The next prefill chunk of ``left`` positions, ``least`` rows or about ``limit`` at most, None if there is
    none to be had.

    ``room`` is how many positions can be padded behind the last one. What cannot be padded (the context ends, or
    the model cannot forget a part) is left for decode steps.
    """
    limit = max(least, limit // BLOCK * BLOCK)
    if left >= limit:
        return Chunk(limit, 0)
    padding = max(least, -(-left // BLOCK) * BLOCK) - left
    if padding <= room:
        return Chunk(left, padding)
    whole = left // BLOCK * BLOCK
    return Chunk(whole, 0) if whole >= least else None


def tells_rows(header: Header) -> bool:
    """Whether some weight's kernel tells how many rows it multiplies.

    Those of Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 do not (measured on AVX-512 processors of two makers).
    """
    return any(len(tensor.shape) > 1 and tensor.type not in _BLIND_TYPES for tensor in header.tensors)


def tells_routes(header: Header) -> bool:
    """Whether some expert's kernel tells how many rows of a batch fall to it. No schedule says that: what else
    is in the batch decides how a reply's numbers are rounded, then.

    Those of F32, F16, BF16, IQ4_NL, MXFP4 and the quantizations above do not (measured likewise); Q4_K does not
    where its weights are repacked.
    """
    return any(
        "exps" in tensor.name and len(tensor.shape) > 2 and tensor.type not in _BLIND_EXPERTS
        for tensor in header.tensors
    )


def decode_classes(places: Sequence[tuple[int, int]], *, tells: bool, threads: int) -> list[Run]:
    """The class of each row of a decode step: a run of one for each (stream, position), streams ascending.

    llama.cpp computes neighbouring streams together and cuts where a number is missing, recurrent or not.
    ``tells``: whether the model has weights whose kernels tell how many rows there are.
    """
    classes: list[Run] = []
    start = 0
    for i, (stream, position) in enumerate(places):
        if i + 1 == len(places) or places[i + 1][0] != stream + 1:
            n = i + 1 - start
            classes += [_alone(position, threads)] if n == 1 else _together(n, tells=tells)
            start = i + 1
    return classes


def is_split(position: int, threads: int) -> bool:
    """Whether threads share the attention of a row alone in its batch at this position."""
    cells = (position // PAGE + 1) * PAGE
    return cells >= SPLIT_CELLS and threads > 1


def _alone(position: int, threads: int) -> Run:
    return Run("split", 1, threads) if is_split(position, threads) else Run("one", 1)


def _together(n: int, *, tells: bool) -> list[Run]:
    if not tells:
        return [Run("one", 1)] * n
    whole = n // BLOCK * BLOCK
    block, rest = (Run("wide", 1), Run("tail", 1)) if n >= 2 * BLOCK else (Run("block", 1), Run("few", 1))
    return [block] * whole + [rest] * (n - whole)
