"""Batches: which rows go into one decode, and the kernel classes they get there.

Kernels change with the number of rows: at 2, 4 and 8, with blocks of four multiplied together and the rest done
singly. Prefill therefore goes in chunks of whole blocks, 8 rows and more, so that the chunking never shows; for
decode steps the schedule's classes say what happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .gguf import Header
from .schedule import Rows

BLOCK = 4
LEAST_CHUNK = 8
"""Prefill chunks have at least so many rows, and a multiple of BLOCK."""


_BLIND_TYPES = {2, 3, 6, 7, 8}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A prefill chunk: ``rows`` positions of one sequence, and ``padding`` rows behind them that are forgotten."""

    rows: int
    padding: int


def chunk(left: int, limit: int, room: int) -> Chunk | None:
    """The next prefill chunk of ``left`` positions, about ``limit`` rows at most, None if there is none to be had.

    ``room`` is how many positions can be padded behind the last one. What cannot be padded (the context ends, or
    the model cannot forget a part) is left for decode steps.
    """
    limit = max(LEAST_CHUNK, limit // BLOCK * BLOCK)
    if left >= limit:
        return Chunk(limit, 0)
    padding = max(LEAST_CHUNK, -(-left // BLOCK) * BLOCK) - left
    if padding <= room:
        return Chunk(left, padding)
    whole = left // BLOCK * BLOCK
    return Chunk(whole, 0) if whole >= LEAST_CHUNK else None


def tells_rows(header: Header) -> bool:
    """Whether some weight's kernel tells how many rows it multiplies.

    Those of Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 do not (measured on AVX-512 processors of two makers).
    """
    return any(len(tensor.shape) > 1 and tensor.type not in _BLIND_TYPES for tensor in header.tensors)


def decode_classes(streams: Sequence[int], *, tells: bool) -> list[Rows]:
    """The class of each row of a decode step with one row of each stream, streams ascending.

    llama.cpp computes neighbouring streams together and cuts where a number is missing, recurrent or not.
    ``tells``: whether the model has weights whose kernels tell how many rows there are.
    """
    if not tells:
        return ["one"] * len(streams)
    classes: list[Rows] = []
    start = 0
    for i, stream in enumerate(streams):
        if i + 1 == len(streams) or streams[i + 1] != stream + 1:
            classes += _group(i + 1 - start)
            start = i + 1
    return classes


def _group(n: int) -> list[Rows]:
    if n == 1:
        return ["one"]
    whole = n // BLOCK * BLOCK
    block: Rows = "wide" if n >= 2 * BLOCK else "block"
    rest: Rows = "tail" if n >= 2 * BLOCK else "few"
    return [block] * whole + [rest] * (n - whole)
