"""Reading a step: what sampling made of the listed candidates, from the record alone.

No model and no logits row are needed. Numbers agree with each other: the listed probabilities and their remainder
sum to 1, also where the record kept its logarithms rounded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .sampler import penalty_counts
from .sampling import Sampling, StageName
from .step import Stage, Step


@dataclass(frozen=True, slots=True)
class ReadCandidate:
    """A listed token. ``raw`` is its probability as predicted, ``final`` as sampled from (0 once removed)."""

    id: int
    raw: float
    final: float
    removed_by: StageName | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """``candidates`` are the recorded k likeliest, then the chosen token if it was not among them."""

    candidates: tuple[ReadCandidate, ...]
    raw_remainder: float
    final_remainder: float


def read(step: Step, sampling: Sampling, history: Sequence[int]) -> Reading:
    """Read one step. ``history`` is what sampling had seen: the prompt and the reply before this step."""
    logprobs = {candidate.id: candidate.logprob for candidate in step.top}
    logprobs[step.id] = step.logprob
    removed_by = {candidate.id: candidate.removed_by for candidate in step.top}
    place = list(logprobs).index(step.id)
    # The others' log-probabilities are rounded in the record, the chosen one's is not: it stays as it is.
    raw, raw_remainder = _complete_around(
        list(map(math.exp, logprobs.values())), place, math.exp(step.logprob), exhaustive=False
    )

    final, final_remainder = raw, raw_remainder
    if step.stages:
        working = _shaped(logprobs, step, sampling, history)
        last = step.stages[-1]
        normaliser = working[step.id] - math.log(step.p_final) if step.p_final > 0 else last.log_normaliser
        left = [token for token in working if removed_by.get(token) is None]
        weights = [_exp(working[token] - normaliser) if token in left else 0.0 for token in working]
        exhaustive = len(left) >= last.survivors
        final, final_remainder = _complete_around(weights, place, step.p_final, exhaustive=exhaustive)

    return Reading(
        candidates=tuple(
            ReadCandidate(token, before, after, removed_by.get(token), token == step.id)
            for token, before, after in zip(logprobs, raw, final, strict=True)
        ),
        raw_remainder=raw_remainder,
        final_remainder=final_remainder,
    )


def _shaped(logprobs: dict[int, float], step: Step, sampling: Sampling, history: Sequence[int]) -> dict[int, float]:
    """The working logits after all stages."""
    working = {token: logprob + step.log_normaliser for token, logprob in logprobs.items()}
    for stage in step.stages:
        _apply(stage, working, sampling, history)
    return working


def _apply(stage: Stage, working: dict[int, float], sampling: Sampling, history: Sequence[int]) -> None:
    """Do to the working logits what the stage did."""
    if stage.name == "logit_bias":
        for token, bias in sampling.logit_bias:
            if token in working:
                working[token] += bias
    elif stage.name == "penalties":
        for token, count in penalty_counts(sampling, history).items():
            if token in working:
                logit, repetition = working[token], sampling.repetition_penalty
                logit = logit * repetition if logit <= 0 else logit / repetition
                working[token] = logit - count * sampling.frequency_penalty - sampling.presence_penalty
    elif stage.name == "temperature" and sampling.temperature > 0:
        for token in working:
            working[token] /= sampling.temperature


def _exp(x: float) -> float:
    return math.exp(min(x, 0.0))


def _complete_around(
    weights: list[float], place: int, known: float, *, exhaustive: bool
) -> tuple[list[float], float]:
    """Probabilities and their remainder, where the one at ``place`` is known exactly. What it is off by, all are: a
    normaliser's rounding, which a low temperature makes larger. ``exhaustive``: nothing but these is left."""
    if 0 < known < 1 and weights[place] > 0:
        weights = [weight * known / weights[place] for weight in weights]
    others = sum(weights) - weights[place]
    room = 1 - known
    scale = room / others if others > 0 and (exhaustive or others > room) else 1.0
    out = [weight * scale for weight in weights]
    out[place] = known
    return out, max(0.0, room - others * scale)
