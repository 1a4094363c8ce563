"""The schedule: in which kernel class each position of a reply's sequence was computed.

llama.cpp rounds differently when it computes a position together with many others of its sequence than when it
computes it alone. Within a class the chunking does not matter: a replay that follows the schedule gets the same
bits. That is all the record a proof needs.

``one``: a decode step. ``some``: a prefill chunk of 4 to 63 rows. ``tile``: a chunk of 64 rows or more, whose
attention is computed in tiles. ``split``: a decode step alone in its batch over 512 cells or more, whose attention
``threads`` threads shared, each with a part of the cells.

Some weight kernels (F16, the K quants) also tell how many rows of other sequences share the decode step, at 2, 4
and 8 rows, and whether a row is in one of the blocks of four that are multiplied together or in what is left
over. For models that have such weights, and only for them, a decode step beside others is one of ``few``,
``block``, ``wide``, ``tail``.

``many`` is in old records only, made without flash attention: a chunk of any size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Rows = Literal["one", "many", "few", "block", "wide", "tail", "some", "tile", "split"]
"""few: beside up to 6 others, left over after the blocks of four. block: beside 3 to 6 others, in a block of four.
wide: beside 7 or more, in a block of four. tail: beside 8 or more, left over."""


@dataclass(frozen=True, slots=True)
class Run:
    """``count`` consecutive positions computed in class ``rows``; ``threads`` of a ``split``, 0 of all others."""

    rows: Rows
    count: int
    threads: int = 0

    def times(self, count: int) -> "Run":
        """As many positions of the same class."""
        return Run(self.rows, count, self.threads)

    def follows(self, other: "Run") -> bool:
        """Whether both are of one class."""
        return self.rows == other.rows and self.threads == other.threads


Schedule = tuple[Run, ...]
"""Runs over positions 0, 1, 2 … without gap; neighbours differ in class."""


def join(runs: Iterable[Run]) -> Schedule:
    """Merge neighbouring runs of one class and drop empty ones."""
    out: list[Run] = []
    for run in runs:
        if run.count == 0:
            continue
        if out and run.follows(out[-1]):
            out[-1] = run.times(out[-1].count + run.count)
        else:
            out.append(run)
    return tuple(out)


def length(schedule: Schedule) -> int:
    """How many positions the schedule covers."""
    return sum(run.count for run in schedule)


def cut(schedule: Schedule, positions: int) -> Schedule:
    """The schedule of the first ``positions`` positions."""
    out: list[Run] = []
    left = positions
    for run in schedule:
        if left <= 0:
            break
        out.append(run.times(min(run.count, left)))
        left -= run.count
    return tuple(out)


def plain(schedule: Schedule) -> list[list[str | int]]:
    """For JSON: [class, count], and the threads of a ``split``."""
    return [[run.rows, run.count, *([run.threads] if run.threads else [])] for run in schedule]
