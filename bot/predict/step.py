"""A step: one prediction, what sampling made of it, and how the die fell."""

from collections.abc import Sequence
from dataclasses import dataclass

from .sampling import StageName


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the k likeliest tokens. ``logprob`` is raw (before any sampling), in nats. ``removed_by`` names the
    stage that took it out, None if it could have been drawn."""

    id: int
    logprob: float
    removed_by: StageName | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One sampling stage that acted: how many candidates it left, and log Σ exp(working logit) over those."""

    name: StageName
    survivors: int
    log_normaliser: float


@dataclass(frozen=True, slots=True)
class Step:
    """One prediction. Nats throughout.

    ``logprob`` is the chosen token's raw log-probability, ``rank`` its place in the raw distribution (1 = the
    model's favourite; equal logits rank by id), ``entropy`` that of the raw distribution over the whole
    vocabulary, ``log_normaliser`` the raw log Σ exp(logit): logit = logprob + log_normaliser. ``top`` holds the k
    likeliest by probability, then id. ``u`` is the draw on the grid of 2⁻³², and ``interval`` the [lo, hi) on
    the same grid that belongs to the chosen token when the survivors are laid out by final probability (then
    id): lo <= u < hi. ``p_final`` is its probability after sampling. ``row_hash`` is the XXH3-64 of the f32
    little-endian logits row, taken before anything touched it.
    """

    id: int
    logprob: float
    rank: int
    entropy: float
    log_normaliser: float
    top: Sequence[Candidate]
    u: float
    interval: tuple[float, float]
    p_final: float
    stages: Sequence[Stage]
    row_hash: int


@dataclass(frozen=True, slots=True)
class Score:
    """One given token under teacher forcing: what the model thought of it. Nats; ``top`` as in Step."""

    id: int
    logprob: float
    rank: int
    entropy: float
    top: Sequence[Candidate]
    row_hash: int
