"""A row of logits, read in a few vectorised passes: hash, normaliser, entropy, the likeliest tokens, ranks.

A row is one f32 for each token of the vocabulary (49 thousand to 262 thousand). No pass sorts it. The weights push
all else out of the processor's caches at every step, the program too: what uses few different functions is fast.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import xxhash
from numpy.typing import NDArray

from .engine import EngineError
from .exponentials import PART, sums
from .sampling import StageName
from .step import Candidate, Score

Logits = NDArray[np.float32]
Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

_BLOCKS = 64
_NEAR = 500.0  # logits so far from 0 at most lose nothing to speak of where the shift is taken out of a sum
_FAR = -1000.0  # exp of it is 0 in f32, and 0 times it is 0: -inf would make NaN


class BadLogits(EngineError):
    """The model computed something that is no distribution (NaN, +inf, or nothing finite)."""

    def __init__(self, what: str) -> None:
        super().__init__("bad_logits", f"the model computed no probabilities for this token: {what} in its logits")


class Scratch:
    """Buffers, reused from step to step; owned by one thread."""

    def __init__(self, n_vocab: int) -> None:
        self.part: Logits = np.empty(PART, np.float32)
        """For exponentials."""
        self.working: Logits = np.empty(n_vocab, np.float32)
        """For the sampler: the row after its stages."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says, before any sampling. ``ids`` are the likeliest tokens by logit, then id; ``finite`` is how
    many logits are not -inf. Nats throughout."""

    hash: int
    finite: int
    log_normaliser: float
    entropy: float
    ids: list[int]
    logits: list[float]

    def candidates(self, k: int, removed: Mapping[int, StageName] = MappingProxyType({})) -> tuple[Candidate, ...]:
        """The first ``k`` of ``ids``, with the stages that ``removed`` some of them."""
        logprobs = [logit - self.log_normaliser for logit in self.logits[:k]]
        return tuple(map(Candidate, self.ids[:k], logprobs, map(removed.get, self.ids)))


def capture(logits: Logits, k: int, scratch: Scratch | None = None) -> Row:
    """Read a row, with its ``k`` likeliest tokens. Raises BadLogits.

    The normaliser and the entropy are good to about 1e-6 nats: f32 exponentials, summed in parts.
    """
    scratch = scratch or Scratch(logits.size)
    row_hash = hash_row(logits)
    maxima = _maxima(logits)
    shift = _maximum(maxima)
    total, weighted = sums(logits, shift, scratch.part)
    finite = logits.size
    if math.isnan(weighted) or abs(shift) > _NEAR:
        finite, weighted = _weighted_from(shift, logits)
    else:
        weighted -= shift * total
    ids = largest(logits, k, maxima)
    log_total = math.log(total)
    entropy = max(log_total - weighted / total, 0.0)
    return Row(row_hash, finite, shift + log_total, entropy, ids.tolist(), logits[ids].tolist())


def _weighted_from(shift: float, logits: Logits) -> tuple[int, float]:
    """How many logits are finite, and Σ (logit - shift) exp(logit - shift), for rows of any values."""
    with np.errstate(over="ignore"):  # -3e38 - 3e38
        shifted = logits - np.float32(shift)
    np.maximum(shifted, np.float32(_FAR), out=shifted)
    return int(np.count_nonzero(logits > -np.inf)), float((shifted * np.exp(shifted)).sum())


def hash_row(logits: Logits) -> int:
    """XXH3-64 of the row's bytes (f32, little-endian)."""
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(logits, "<f4").data)


def scan(logits: Logits, n: int, scratch: Scratch) -> tuple[float, Ids]:
    """log Σ exp(logit) over the row, in nats, and the ids of its ``n`` largest. Raises BadLogits."""
    maxima = _maxima(logits)
    shift = _maximum(maxima)
    total, _ = sums(logits, shift, scratch.part)
    return shift + math.log(total), largest(logits, n, maxima)


def _maximum(maxima: Logits) -> float:
    """The row's maximum. Raises BadLogits."""
    shift = float(np.maximum.reduce(maxima))
    if not math.isfinite(shift):
        raise BadLogits("NaN" if math.isnan(shift) else "+inf" if shift > 0 else "nothing finite")
    return shift


def _maxima(logits: Logits) -> Logits:
    """The largest logits of disjoint parts that make up the row."""
    width = logits.size // _BLOCKS
    parts, rest = logits[: _BLOCKS * width].reshape(_BLOCKS, width), logits[_BLOCKS * width :]
    maxima: Logits = np.maximum.reduce(parts, axis=0)
    return np.concatenate([maxima, rest]) if rest.size else maxima


def largest(logits: Logits, n: int, maxima: Logits | None = None) -> Ids:
    """The ids of the ``n`` largest logits, by logit, then id; exact, also among equals.

    The n-th largest of the ``maxima`` of disjoint parts is a lower bound of the n-th largest logit. What reaches it
    is little more than n in practice, and at most 64 n plus equals of the bound, of which the first n suffice.
    """
    n = min(n, logits.size)
    if n == 0:
        return np.empty(0, np.int64)
    bounds = _maxima(logits) if maxima is None else maxima
    if n > bounds.size:
        bounds = logits
    bound = np.partition(bounds, bounds.size - n)[bounds.size - n]
    ids = (logits >= bound).nonzero()[0]
    if ids.size > 2 * n:
        ids = np.union1d((logits > bound).nonzero()[0], (logits == bound).nonzero()[0][:n])
    order = (-logits[ids]).argsort(kind="stable")  # ids ascend, so equals stay by id
    first: Ids = ids[order[:n]].astype(np.int64, copy=False)
    return first


def rank(logits: Logits, token: int) -> int:
    """The place of ``token`` in the row, 1 for the largest; equal logits rank by id."""
    logit = logits[token]
    return 1 + int(np.count_nonzero(logits > logit)) + int(np.count_nonzero(logits[:token] == logit))


def score(logits: Logits, token: int, k: int, scratch: Scratch | None = None) -> Score:
    """What the model thought of a given token. Raises BadLogits."""
    row = capture(logits, k, scratch)
    return Score(
        id=token,
        logprob=float(logits[token]) - row.log_normaliser,
        rank=rank(logits, token),
        entropy=row.entropy,
        top=row.candidates(k),
        row_hash=row.hash,
    )
