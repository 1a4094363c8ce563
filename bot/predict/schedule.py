"""The schedule: in which kernel class each position of a reply's sequence was computed.

llama.cpp rounds differently when a position is computed among others of its sequence (``many``: a prefill chunk)
or as the only one of its sequence (``one``: a decode step). Within a class the chunking does not matter. A replay
that follows the schedule gets the same bits; that is all the record a proof needs.

Some weight kernels (F16, the K quants) also tell how many rows of other sequences share the decode step, at 2, 4
and 8 rows, and whether a row is in one of the blocks of four that are multiplied together or in what is left
over. For models that have such weights, and only for them, a decode step beside others is one of ``few``,
``block``, ``wide``, ``tail``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Rows = Literal["one", "many", "few", "block", "wide", "tail"]
"""few: beside up to 6 others, left over after the blocks of four. block: beside 3 to 6 others, in a block of four.
wide: beside 7 or more, in a block of four. tail: beside 8 or more, left over."""


@dataclass(frozen=True, slots=True)
class Run:
    """``count`` consecutive positions computed in class ``rows``."""

    rows: Rows
    count: int


Schedule = tuple[Run, ...]
"""Runs over positions 0, 1, 2 … without gap; neighbours differ in class."""


def join(runs: Iterable[Run]) -> Schedule:
    """Merge neighbouring runs of one class and drop empty ones."""
    out: list[Run] = []
    for run in runs:
        if run.count == 0:
            continue
        if out and out[-1].rows == run.rows:
            out[-1] = Run(run.rows, out[-1].count + run.count)
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
        out.append(Run(run.rows, min(run.count, left)))
        left -= run.count
    return tuple(out)
