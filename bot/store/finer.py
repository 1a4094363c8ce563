"""What a low temperature asks of a trace besides: there a rounded log-probability would show.

2⁻¹⁰ nats, divided by a temperature of 0.1, are a hundredth of a probability. So where the record shows a low
temperature, more is kept of each candidate that could have been drawn and was not (the chosen one's is exact), and
of each that a stage behind the temperature took out or may have moved: as many bits as its probability after the
temperature can be wrong by more than half a thousandth without them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Ints
from .units import NAT, SATURATED

PARTS = 256
"""Finer units in a unit: all bits there are."""
_BITS = 8
_WARM = 1.004
"""1 / temperature up to which nothing more is kept: 1, as a record shows it."""
_SURE = 0.999
"""Where the chosen token was so likely, the others had nothing to divide among them."""
_LOG2_E = 1.4426950408889634


def coldness(slope: float) -> float:
    """1 / temperature as a trace keeps it for this; 0 where it asks for nothing."""
    return float(f"{slope:.3g}") if slope > _WARM else 0.0


def bits(  # noqa: PLR0917  columns, in the order of the record
    top: Ints,
    chosen: Ints,
    removed: NDArray[Any],
    logprob: Any,
    p_final: Any,
    logs: Ints,
    moved: Any,
    cold: float,
    late: NDArray[np.bool_] | None,
) -> Ints:
    """How many are kept of each candidate: both directions of the codec ask, and get the same answer.

    ``moved`` are the steps in which a bias or a penalty acted, ``late`` the candidates that a stage behind the
    temperature took out or may have moved. (No logarithm is asked of numpy: processors differ in their last bit.)
    """
    could = (removed == 0) & (p_final < np.float32(_SURE))[:, None]
    late = np.zeros_like(could) if late is None else late
    could = (could | late) & (top != chosen[:, None]) & (logs < SATURATED)
    likelier = logprob.astype(np.float64)[:, None] + logs / NAT  # nats by which the chosen one was
    share = _log2(p_final)[:, None] - likelier * (cold * _LOG2_E)
    room = _log2(1.0 - p_final.astype(np.float64))[:, None]
    final = np.where(moved[:, None], room, np.minimum(room, share))
    # Just behind the temperature, beside a chosen one that had all.
    before = np.minimum(np.where(moved[:, None], -likelier * (cold * _LOG2_E), share), 0.0)
    final = np.where(late, np.where(removed == 0, np.maximum(room, before), before), final)
    needed = np.ceil(np.minimum(np.maximum(final + _log2(np.array(cold)), 0.0), _BITS)).astype(np.int64)
    return np.where(could, needed, 0)


def _log2(values: Any) -> NDArray[np.float64]:
    """At least log₂, by at most a tenth; far below for 0."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    log: NDArray[np.float64] = np.where(mantissa > 0, exponent + 2 * mantissa - 1.913, -1000.0)
    return log


def kept(top: Ints, chosen: Ints, removed: NDArray[Any], p_final: Any, logs: Ints) -> NDArray[np.bool_]:
    """Of which candidates version 2 kept all bits."""
    could = (removed == 0) & (top != chosen[:, None]) & (logs < SATURATED)
    marked: NDArray[np.bool_] = could & (p_final < np.float32(_SURE))[:, None]
    return marked


def pack(logprobs: NDArray[np.float64], logs: Ints, kept: Ints) -> bytes:
    """What of −log p is left beside its whole units: of each candidate the highest ``kept`` bits."""
    left = np.rint(np.maximum(-logprobs, 0.0) * (NAT * PARTS)) - logs * float(PARTS)
    parts = (np.minimum(np.maximum(left, -127), 127) + 128).astype(np.int64)  # half a unit would round to another
    planes = [(parts[kept > place] >> (_BITS - 1 - place)) & 1 for place in range(_BITS)]
    return np.packbits(np.concatenate(planes).astype(np.uint8)).tobytes()


def size(kept: Ints) -> int:
    """How many bytes `pack` makes of them."""
    return -(-int(kept.sum()) // 8)


def unpack(data: bytes, kept: Ints) -> Ints:
    """The other way, in finer units: the middle of what the bits leave open."""
    found = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.int64)
    parts = np.where(kept < _BITS, 1 << np.maximum(_BITS - 1 - kept, 0), 0)
    at = 0
    for place in range(_BITS):
        marked = kept > place
        end = at + int(marked.sum())
        parts[marked] |= found[at:end] << (_BITS - 1 - place)
        at = end
    return parts - 128


def unpack_bytes(data: bytes) -> Ints:
    """As version 2 kept them."""
    return np.frombuffer(data, np.uint8).astype(np.int64) - 128
