"""Reading a step: what each stage of sampling made of the listed candidates, from the record alone.

No model and no logits row are needed. Numbers agree with each other: at every point the listed probabilities and
their remainder sum to 1, also where the record kept its logarithms rounded.
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
class ReadStage:
    """After a stage that acted: the probability of each candidate in their order, and of all not listed."""

    name: StageName
    survivors: int
    probabilities: tuple[float, ...]
    remainder: float


@dataclass(frozen=True, slots=True)
class Reading:
    """``candidates`` are the recorded k likeliest, then the chosen token if it was not among them."""

    candidates: tuple[ReadCandidate, ...]
    stages: tuple[ReadStage, ...]
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

    alive = dict.fromkeys(logprobs, True)
    probabilities, remainder = raw, raw_remainder
    stages: list[ReadStage] = []
    shaped = _shaped(logprobs, step, sampling, history)
    last = len(step.stages) - 1
    for number, (stage, working) in enumerate(zip(step.stages, shaped, strict=True)):
        for token in working:
            alive[token] = alive[token] and removed_by.get(token) != stage.name
        normaliser = working[step.id] - _chosen(number, shaped, step)
        weights = [_exp(working[token] - normaliser) if alive[token] else 0.0 for token in working]
        exhaustive = sum(alive.values()) >= stage.survivors
        if number == last:
            probabilities, remainder = _complete_around(weights, place, step.p_final, exhaustive=exhaustive)
        else:
            probabilities, remainder = _complete(weights, exhaustive=exhaustive)
        stages.append(ReadStage(stage.name, stage.survivors, tuple(probabilities), remainder))

    return Reading(
        candidates=tuple(
            ReadCandidate(token, before, after, removed_by.get(token), token == step.id)
            for token, before, after in zip(logprobs, raw, probabilities, strict=True)
        ),
        stages=tuple(stages),
        raw_remainder=raw_remainder,
        final_remainder=remainder,
    )


def _shaped(
    logprobs: dict[int, float], step: Step, sampling: Sampling, history: Sequence[int]
) -> list[dict[int, float]]:
    """The working logits after each stage."""
    working = {token: logprob + step.log_normaliser for token, logprob in logprobs.items()}
    out: list[dict[int, float]] = []
    for stage in step.stages:
        working = dict(working)
        _apply(stage, working, sampling, history)
        out.append(working)
    return out


def _chosen(number: int, shaped: list[dict[int, float]], step: Step) -> float:
    """The chosen token's log-probability after a stage.

    From the temperature on it is reckoned back from the end, where it is known: a working logit is as wrong as the
    rounded raw normaliser divided by the temperature.
    """
    here, stage, last = shaped[number][step.id], step.stages[number], step.stages[-1]
    if step.p_final <= 0 or any(later.name == "temperature" for later in step.stages[number + 1 :]):
        return here - stage.log_normaliser
    since = shaped[-1][step.id] - here
    return math.log(step.p_final) + last.log_normaliser - stage.log_normaliser - since


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


def _complete(weights: list[float], *, exhaustive: bool) -> tuple[list[float], float]:
    """Probabilities and their remainder; ``exhaustive`` says that nothing but these is left."""
    total = sum(weights)
    if total > 1 or (exhaustive and total > 0):
        return [weight / total for weight in weights], 0.0
    return weights, 1 - total


def _complete_around(
    weights: list[float], place: int, known: float, *, exhaustive: bool
) -> tuple[list[float], float]:
    """The same where the probability at ``place`` is known exactly. What it is off by, all are: a normaliser's
    rounding, which a low temperature makes larger."""
    if 0 < known < 1 and weights[place] > 0:
        weights = [weight * known / weights[place] for weight in weights]
    others = sum(weights) - weights[place]
    room = 1 - known
    scale = room / others if others > 0 and (exhaustive or others > room) else 1.0
    out = [weight * scale for weight in weights]
    out[place] = known
    return out, max(0.0, room - others * scale)
