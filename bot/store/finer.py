"""What a low temperature asks of a trace besides: there a rounded log-probability would show.

2⁻¹⁰ nats, divided by a temperature of 0.1, are a hundredth of a probability. So where the record shows a
temperature below about a half, a byte more is kept of each candidate that could have been drawn and was not. (The
chosen one's is exact.) They are few there, and the rest of the record is smaller: a token is about as long as ever.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Ints
from .units import NAT, SATURATED

PARTS = 256
"""Finer units in a unit."""
_COLD = 1.9
"""1 / temperature from which finer ones are kept."""
_SURE = 0.999
"""Where the chosen token was so likely, the others had nothing to divide among them."""


def needed(slope: float) -> bool:
    """Whether a trace whose record shows 1 / temperature as ``slope`` keeps them."""
    return slope > _COLD


def kept(top: Ints, chosen: Ints, removed: NDArray[Any], p_final: Any, logs: Ints) -> NDArray[np.bool_]:
    """Of which candidates: both directions of the codec ask, and get the same answer."""
    could = (removed == 0) & (top != chosen[:, None]) & (logs < SATURATED)
    marked: NDArray[np.bool_] = could & (p_final < np.float32(_SURE))[:, None]
    return marked


def pack(logprobs: NDArray[np.float64], logs: Ints) -> bytes:
    """What of −log p is left beside its whole units, a byte each. (Not a half: it would round to another unit.)"""
    left = np.rint(np.maximum(-logprobs, 0.0) * (NAT * PARTS)) - logs * float(PARTS)
    return bytes((np.minimum(np.maximum(left, -127), 127) + 128).astype(np.uint8))


def unpack(data: bytes) -> Ints:
    return np.frombuffer(data, np.uint8).astype(np.int64) - 128
