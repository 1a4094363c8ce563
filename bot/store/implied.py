"""What a trace's record already implies of a column: only the difference is stored.

Both directions of the codec ask with the same numbers and have to get the same bits. (A reply has few steps, and
numpy's `clip`, `diff`, `median` and `take_along_axis` take most of their time to begin: plainer ways are used.)
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Ints, f32_bits
from .units import FINE, GRID, NAT


def chosen(top: Ints, rank: Ints) -> Ints:
    """The chosen ids: those listed at their ranks, 0 for what is not listed."""
    return _at_rank(top, rank)


def logprob(logs: Ints, rank: Ints) -> Ints:
    """The bits of the chosen tokens' log-probabilities."""
    return f32_bits(_at_rank(logs, rank) / -NAT) if logs.shape[1] else np.zeros_like(rank)


def _at_rank(listed: Ints, rank: Ints) -> Ints:
    n, width = listed.shape
    if not width:
        return np.zeros_like(rank)
    place = np.minimum(np.maximum(rank - 1, 0), width - 1)
    return np.where(place == rank - 1, listed[np.arange(n), place], 0)


def p_final(room: Ints) -> Ints:
    """The bits of the final probabilities: the widths of the intervals."""
    return f32_bits((room + 1) / GRID)


def slope(logit: NDArray[np.float64], last: NDArray[np.float64], p_final: NDArray[np.float64]) -> float:
    """1 / temperature as the record shows it: the ``last`` normalisers against the chosen tokens' raw logits."""
    with np.errstate(divide="ignore"):
        shaped = last + np.log(p_final)
    good = np.isfinite(logit) & np.isfinite(shaped) & (np.abs(logit) > 1e-3)
    if not good.any():
        return 1.0
    found = median(shaped[good] / logit[good])
    return found if np.isfinite(found) and abs(found) < 1e6 else 1.0


def normalisers(  # noqa: PLR0917  columns, in the order of the record
    logs: Ints, normaliser: Ints, logprob: Any, p_final: Any, survivors: Ints, stages: Ints, slope: float
) -> Ints:
    """The stages' log-normalisers (in units): before the last stage the mass of the listed candidates it left, at
    the last one what makes the choice's final probability come out."""
    n, depth = survivors.shape
    if not depth:
        return np.zeros((n, 0), np.int64)
    every = np.arange(n)
    base = normaliser / FINE
    mass = np.cumsum(np.exp(-logs / NAT), axis=1) if logs.shape[1] else np.ones((n, 1))
    width = mass.shape[1]
    within = np.minimum(mass[every[:, None], np.minimum(np.maximum(survivors - 1, 0), width - 1)], 1.0)
    guess = base[:, None] + np.log(np.where(survivors > width, 1.0, np.maximum(within, 1e-30)))
    used = stages[:, :depth] > 0
    last = used.sum(axis=1) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        final = slope * (logprob.astype(np.float64) + base) - np.log(p_final.astype(np.float64))
    rows = np.flatnonzero((last >= 0) & np.isfinite(final))
    guess[rows, last[rows]] = final[rows]
    units: Ints = np.rint(np.where(used & (np.abs(guess) < 2**20), guess, 0.0) * FINE).astype(np.int64)
    return units


def removed(survivors: Ints, stages: Ints, width: int) -> Ints:
    """The stage that took each candidate out, if every stage kept the likeliest: the first that left fewer."""
    n, depth = survivors.shape
    left = np.zeros((n, depth + 1, 1), np.int64)  # after the last stage none is left: none is code 0
    left[:, :depth, 0] = survivors
    first = (np.arange(width) >= left).argmax(axis=1)
    codes: Ints = stages[np.arange(n)[:, None], first]
    return codes


def median(values: NDArray[Any]) -> float:
    """The mean of the two in the middle, or the one."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
