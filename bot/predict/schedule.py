"""The schedule: in which kernel class each position of a reply's sequence was computed.

llama.cpp rounds differently when a position is computed alone (``one`` row of its sequence in the ubatch) or
among others of its sequence (``many``). Within a class the chunking does not matter. A replay that follows the
schedule gets the same bits; that is all the record a proof needs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Rows = Literal["one", "many"]


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
