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


class Normalisers:
    """The stages' log-normalisers, in units: before the last stage the mass of the listed candidates it left, at
    the last one what makes the choice's final probability come out."""

    def __init__(  # noqa: PLR0917  columns, in the order of the record
        self, logs: Ints, normaliser: Ints, logprob: Any, p_final: Any, survivors: Ints, stages: Ints, slope: float
    ) -> None:
        n, depth = survivors.shape
        base = normaliser / FINE
        mass = np.cumsum(np.exp(-logs / NAT), axis=1) if logs.shape[1] else np.ones((n, 1))
        width = mass.shape[1]
        within = mass[np.arange(n)[:, None], np.minimum(np.maximum(survivors - 1, 0), width - 1)]
        listed = np.where(survivors > width, 1.0, np.maximum(np.minimum(within, 1.0), 1e-30))
        self._mass = base[:, None] + np.log(listed)
        with np.errstate(divide="ignore", invalid="ignore"):
            final = slope * (logprob.astype(np.float64) + base) - np.log(p_final.astype(np.float64))
        self._final, self._is_known = final, np.isfinite(final)
        self._used = stages[:, :depth] > 0
        self._last = self._used.sum(axis=1) - 1
        self._survivors, self._slope = survivors, slope

    def each(self) -> Ints:
        """Of every stage by itself, as versions 1 and 2 have it."""
        columns = [self._column(place, self._mass[:, place], self._final) for place in range(self._used.shape[1])]
        return np.stack(columns, axis=1) if columns else np.zeros(self._used.shape, np.int64)

    def of(self, known: Ints) -> Ints:
        """Of every stage, the ones before it ``known``."""
        out = np.zeros_like(known)
        for place in range(known.shape[1]):
            out[:, place] = self._after(place, known)
        return out

    def summed(self, differences: Ints) -> Ints:
        """What `of` was told, from its difference to what came out."""
        out = np.zeros_like(differences)
        for place in range(differences.shape[1]):
            out[:, place] = differences[:, place] + self._after(place, out)
        return out

    def _after(self, place: int, known: Ints) -> Ints:
        """A bias or a penalty moves all that follow alike, and a stage that took nothing away leaves the one
        before. Where only one token is left, the temperature divides its normaliser, too."""
        if not place:
            return self._column(0, self._mass[:, 0], self._final)
        before = known[:, place - 1] / FINE
        mass = before + (self._mass[:, place] - self._mass[:, place - 1])
        alone = self._survivors[:, place - 1] == 1
        return self._column(place, mass, np.where(alone, self._slope * before, self._final))

    def _column(self, place: int, mass: NDArray[np.float64], final: NDArray[np.float64]) -> Ints:
        guess = np.where((self._last == place) & self._is_known, final, mass)
        good = self._used[:, place] & (np.abs(guess) < 2**20)
        units: Ints = np.rint(np.where(good, guess, 0.0) * FINE).astype(np.int64)
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
