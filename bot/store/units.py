"""The whole units in which a trace stores its numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Ints

GRID = 2**32
"""Steps of the draw and its interval in [0, 1)."""
NAT = 1024
"""Fixed-point units in a nat."""
SATURATED = 0xFFFE
MINUS_INFINITY = 0xFFFF
FINE = 4096
"""Units in a nat for the log-normalisers."""


def in_units(values: Any, unit: int) -> Ints:
    """Numbers rounded to whole units."""
    rounded = np.rint(np.multiply(values, unit))
    if not np.isfinite(rounded).all():
        raise ValueError("a number of a step is not finite")
    whole: Ints = rounded.astype(np.int64)
    return whole


def surprisals(logprobs: NDArray[np.float64]) -> Ints:
    """−log p in fixed-point units, saturating."""
    units = np.minimum(np.maximum(np.rint(logprobs * -NAT), 0), SATURATED)
    return np.where(logprobs == -np.inf, MINUS_INFINITY, units).astype(np.int64)


def on_grid(values: Any) -> Ints:
    """Draws and bounds of intervals as steps of their grid: exactly."""
    scaled = np.multiply(values, float(GRID))
    exact = np.rint(scaled)
    if (exact != scaled).any():
        raise ValueError("a draw or an interval is not on the grid of 2^-32")
    grid: Ints = exact.astype(np.int64)
    return grid
