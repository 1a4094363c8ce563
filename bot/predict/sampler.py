"""Sampling: from a row of logits and a draw to one token, with a record of how.

The stages mean what llama.cpp's samplers of these names mean; they run in the order of ``Sampling.stages`` over
*working* logits. Only what a stage asks for is ever sorted.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import neg

import numpy as np

from ..errors import UserError
from .draw import TICKETS
from .engine import EngineError
from .logits import Floats, Ids, Logits, Row, Scratch, capture, largest, rank, scan
from .sampling import COLDEST, Sampling, StageName
from .step import Stage, Step

_SOON = 256
"""A top_k up to here is taken from the row together with the candidates; a larger one only where it bites."""

_FEW = 256
"""Up to here Python's own exp is quicker than numpy's over all of them."""


class NothingLeft(EngineError):
    """The settings ban every token that could have come."""

    def __init__(self) -> None:
        super().__init__("nothing_left", "the sampling settings leave no token to draw: logit_bias bans them all")


def check(sampling: Sampling, n_vocab: int) -> None:
    """Raise UserError for settings that mean nothing for a vocabulary of this size."""
    limits: tuple[tuple[str, float, float, float], ...] = (
        ("temperature", sampling.temperature, 0.0, 100.0),
        ("top_k", sampling.top_k, 0, math.inf),
        ("top_p", sampling.top_p, 0.0, 1.0),
        ("min_p", sampling.min_p, 0.0, 1.0),
        ("repetition_penalty", sampling.repetition_penalty, 1e-3, 1e3),
        ("presence_penalty", sampling.presence_penalty, -1e3, 1e3),
        ("frequency_penalty", sampling.frequency_penalty, -1e3, 1e3),
        ("penalty_window", sampling.penalty_window, -1, math.inf),
        ("max_tokens", sampling.max_tokens, 1, math.inf),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise UserError(f"{name} is {value}: it has to be between {low} and {high}")
    if 0 < sampling.temperature < COLDEST:
        raise UserError(f"temperature is {sampling.temperature}: it has to be 0 or at least {COLDEST}")
    for token, bias in sampling.logit_bias:
        if not 0 <= token < n_vocab:
            raise UserError(f"logit_bias names token {token}: this model has the tokens 0 to {n_vocab - 1}")
        if math.isnan(bias) or bias == math.inf:
            raise UserError(f"logit_bias of token {token} is {bias}: it has to be a number or -inf")
    if len(set(sampling.stages)) != len(sampling.stages):
        raise UserError(f"stages names one stage twice: {', '.join(sampling.stages)}")


def sample(
    logits: Logits, sampling: Sampling, history: Sequence[int], u: float, k: int, *, scratch: Scratch | None = None
) -> Step:
    """Pick a token with the draw ``u``. ``history`` is prompt and reply so far; ``logits`` is left as it is.

    Raises BadLogits and NothingLeft. ``scratch`` saves allocating three rows a step.
    """
    scratch = scratch or Scratch(logits.size)
    soon = sampling.top_k if "top_k" in sampling.stages and sampling.top_k <= _SOON else 0
    row = capture(logits, max(k, soon), scratch)
    pool = _Pool(logits, scratch, row)
    listed = row.ids[:k]
    removed: dict[int, StageName] = {}
    stages: list[Stage] = []
    for name in sampling.stages:
        before = pool.count
        if not _run(name, pool, sampling, history):
            continue
        stages.append(Stage(name, pool.count, pool.log_normaliser))
        if pool.count < min(before, k) or pool.is_mixed:
            for token in pool.missing(listed):
                removed.setdefault(token, name)
    chosen, logit, interval = pool.draw(u)
    return Step(
        id=chosen,
        logprob=float(logits[chosen]) - row.log_normaliser,
        rank=row.ids.index(chosen) + 1 if chosen in row.ids else rank(logits, chosen),
        entropy=row.entropy,
        log_normaliser=row.log_normaliser,
        top=row.candidates(k, removed),
        u=u,
        interval=interval,
        p_final=min(1.0, math.exp(logit - pool.log_normaliser)),
        stages=tuple(stages),
        row_hash=row.hash,
    )


def _run(name: StageName, pool: "_Pool", sampling: Sampling, history: Sequence[int]) -> bool:
    """Run one stage; False if its setting is neutral, so that nothing was done."""
    if name == "logit_bias":
        return _bias(pool, sampling)
    if name == "penalties":
        return _penalise(pool, sampling, history)
    if name == "top_k" and sampling.top_k != 0:
        pool.keep(sampling.top_k)
    elif name == "top_p" and sampling.top_p != 1:
        pool.keep(pool.nucleus(sampling.top_p))
    elif name == "min_p" and sampling.min_p != 0:
        pool.keep(pool.at_least(sampling.min_p))
    elif name == "temperature" and sampling.temperature == 0:
        pool.keep(1)
    elif name == "temperature" and sampling.temperature != 1:
        pool.divide(sampling.temperature)
    else:
        return False
    return True


def _bias(pool: "_Pool", sampling: Sampling) -> bool:
    total: dict[int, float] = {}
    for token, bias in sampling.logit_bias:
        total[token] = total.get(token, 0.0) + bias
    if not total:
        return False
    biases = np.array(list(total.values()), np.float64)
    pool.change(np.array(list(total), np.int64), lambda logits, places: logits + biases[places])
    return True


def penalty_counts(sampling: Sampling, history: Sequence[int]) -> dict[int, int]:
    """How often each token occurs in the penalties' window; empty if the penalties are neutral."""
    window = len(history) if sampling.penalty_window == -1 else sampling.penalty_window
    return dict(Counter(history[-window:])) if sampling.penalises and window else {}


def _penalise(pool: "_Pool", sampling: Sampling, history: Sequence[int]) -> bool:
    seen = penalty_counts(sampling, history)
    if not seen:
        return False
    repetition = sampling.repetition_penalty
    less = np.array(list(seen.values()), np.float64) * sampling.frequency_penalty + sampling.presence_penalty

    def penalised(logits: Floats, places: Ids) -> Floats:
        return np.where(logits <= 0, logits * repetition, logits / repetition) - less[places]

    pool.change(np.array(list(seen), np.int64), penalised)
    return True


class _Pool:
    """The tokens that can still be drawn, and their working logits.

    While ``row`` is set these are all tokens of a finite logit in it, and ``ids`` knows the likeliest of them; once
    it is None they are exactly ``ids``. ``ids`` are by working logit, then id; ``mass[i]`` is the sum of
    exp(logit - the largest) over the first i + 1 of them. Most often they are few, and lists quicker than arrays.
    """

    ids: list[int]
    logits: list[float]
    mass: list[float]

    def __init__(self, logits: Logits, scratch: Scratch, row: Row) -> None:
        self.row: Logits | None = logits
        self.scratch = scratch
        self.is_mixed = False
        """Whether ``ids`` may be in another order than by raw logit."""
        self.log_normaliser = row.log_normaliser
        self.count = row.finite
        self._learn(row.ids[: self.count], row.logits[: self.count])

    def know(self, n: int) -> None:
        """Have at least the ``n`` likeliest in ``ids``."""
        n = min(n, self.count)
        if self.row is not None and len(self.ids) < n:
            ids = largest(self.row, n)
            self._learn(ids.tolist(), self.row[ids].tolist())

    def keep(self, n: int) -> None:
        """Remove all but the ``n`` likeliest."""
        if n >= self.count:
            return
        self.know(n)
        self.ids, self.logits, self.mass = self.ids[:n], self.logits[:n], self.mass[:n]
        self._settle()

    def missing(self, tokens: list[int]) -> list[int]:
        """Those of ``tokens`` that cannot be drawn any more."""
        if self.row is not None:
            return [token for token in tokens if self.row[token] == -np.inf]
        left = set(self.ids)
        return [token for token in tokens if token not in left]

    def nucleus(self, top_p: float) -> int:
        """How many of the likeliest it takes to hold ``top_p`` of the probability."""
        known = 64
        while True:
            self.know(known)
            enough = top_p * self._total()
            if self.mass[-1] >= enough or len(self.ids) >= self.count:
                return min(bisect_left(self.mass, enough) + 1, self.count)
            known *= 8

    def at_least(self, min_p: float) -> int:
        """How many have at least ``min_p`` times the probability of the likeliest."""
        least = self.logits[0] + math.log(min_p)
        if self.logits[-1] < least or self.row is None:
            return bisect_right(self.logits, -least, key=neg)
        return max(1, int(np.count_nonzero(self.row >= least)))

    def change(self, tokens: Ids, new: Callable[[Floats, Ids], Floats]) -> None:
        """Give ``tokens`` other working logits: ``new(logits, places)``, with their places in ``tokens``."""
        self.is_mixed = True
        if self.row is None:
            ids, logits = np.array(self.ids), np.array(self.logits)
            _, mine, theirs = np.intersect1d(ids, tokens, assume_unique=True, return_indices=True)
            logits[mine] = new(logits[mine], theirs)
            finite = logits > -np.inf
            ids, logits = ids[finite], logits[finite]
            order = np.lexsort((ids, -logits))
            self._learn(ids[order].tolist(), logits[order].tolist())
            self._settle()
            return
        row = self._own_row()
        before = row[tokens]
        row[tokens] = after = new(before.astype(np.float64), np.arange(tokens.size)).astype(np.float32)
        self.count += int(np.count_nonzero(after > -np.inf)) - int(np.count_nonzero(before > -np.inf))
        self._rescan(row)

    def divide(self, temperature: float) -> None:
        """Divide every working logit."""
        if self.row is None:
            self._learn(self.ids, [logit / temperature for logit in self.logits])
            self._settle()
            return
        row = self._own_row()
        np.divide(row, np.float32(temperature), out=row)
        self.count = int(np.count_nonzero(row > -np.inf))
        self._rescan(row)

    def draw(self, u: float) -> tuple[int, float, tuple[float, float]]:
        """The token whose interval holds ``u``, its working logit, and the interval.

        Cumulative probabilities are rounded up to tickets, so that the intervals share [0, 1) without gap or
        overlap; the last survivor's ends at 1.
        """
        ticket = int(u * TICKETS)
        known = 64
        while True:
            self.know(known)
            scale = TICKETS / self._total()
            place = bisect_right(self.mass, ticket, key=lambda mass: math.ceil(mass * scale))
            if len(self.ids) >= self.count:
                place = min(place, self.count - 1)
            if place < len(self.ids):
                start = min(math.ceil(self.mass[place - 1] * scale), TICKETS) if place else 0
                end = TICKETS if place + 1 == self.count else min(math.ceil(self.mass[place] * scale), TICKETS)
                return self.ids[place], self.logits[place], (start / TICKETS, end / TICKETS)
            known *= 8

    def _total(self) -> float:
        """The sum of exp(logit - the largest) over all that can be drawn."""
        return self.mass[-1] if self.row is None else math.exp(self.log_normaliser - self.logits[0])

    def _learn(self, ids: list[int], logits: list[float]) -> None:
        self.ids, self.logits = ids, logits
        if len(logits) > _FEW:
            self.mass = np.exp(np.array(logits) - logits[0]).cumsum().tolist()
        else:
            self.mass = list(accumulate([math.exp(logit - logits[0]) for logit in logits]))

    def _settle(self) -> None:
        """These are all, from now on."""
        if not self.ids:
            raise NothingLeft
        self.row = None
        self.count = len(self.ids)
        self.log_normaliser = self.logits[0] + math.log(self.mass[-1])

    def _own_row(self) -> Logits:
        """The row in a buffer that may be written to."""
        if self.row is not None and self.row is not self.scratch.working:
            np.copyto(self.scratch.working, self.row)
        return self.scratch.working

    def _rescan(self, row: Logits) -> None:
        self.is_mixed = True  # what division rounds to equal is by id
        self.row = row
        if self.count == 0:
            raise NothingLeft
        self.log_normaliser, ids = scan(row, min(len(self.ids), self.count), self.scratch)
        self._learn(ids.tolist(), row[ids].tolist())
