"""What an explanation says from the record alone, against the whole row of logits and a plain reimplementation."""

import numpy as np
import pytest
from glasshead.explain.explanation import explain
from glasshead.predict.sampling import DEFAULT_STAGES, Sampling
from numpy.typing import NDArray

from .recording import Recorder, logged

Floats = NDArray[np.float64]

SETTINGS = {
    "defaults": Sampling(max_tokens=16),
    "temperature alone": Sampling(temperature=1.7, top_k=0, top_p=1.0, min_p=0.0, max_tokens=16),
    "penalties": Sampling(
        repetition_penalty=1.3, presence_penalty=0.4, frequency_penalty=0.2, penalty_window=-1, max_tokens=16
    ),
    "banned tokens": Sampling(logit_bias=((2, -100.0), (253, -1.0)), temperature=1.4, max_tokens=16),
    "a bias": Sampling(logit_bias=((282, 3.0), (253, -100.0)), top_k=0, max_tokens=16),
    "temperature first": Sampling(temperature=0.6, stages=("temperature", *DEFAULT_STAGES[:-1]), max_tokens=16),
    "cold": Sampling(temperature=0.1, max_tokens=24),
    "colder": Sampling(temperature=0.05, top_k=100, top_p=1.0, min_p=0.0, max_tokens=24),
    "cold with penalties": Sampling(temperature=0.1, repetition_penalty=1.2, presence_penalty=0.3, max_tokens=24),
    "greedy": Sampling(temperature=0.0, max_tokens=16),
}


def softmax(logits: Floats) -> Floats:
    weights: Floats = np.exp(logits - logits.max())
    return weights / weights.sum()


def sampled_from(row: Floats, sampling: Sampling, history: list[int]) -> Floats:
    """The final probabilities over the whole vocabulary, straight from the definitions."""
    logits = row.copy()
    for stage in sampling.stages:
        order = np.lexsort((np.arange(logits.size), -logits))
        p = softmax(logits)
        if stage == "logit_bias":
            for token, bias in sampling.logit_bias:
                logits[token] += bias
        elif stage == "penalties":
            window = history if sampling.penalty_window == -1 else history[-sampling.penalty_window :]
            for token in set(window):
                count, r = window.count(token), sampling.repetition_penalty
                logits[token] = logits[token] / r if logits[token] > 0 else logits[token] * r
                logits[token] -= count * sampling.frequency_penalty + sampling.presence_penalty
        elif stage == "top_k" and sampling.top_k:
            logits[order[sampling.top_k :]] = -np.inf
        elif stage == "top_p" and sampling.top_p < 1:
            kept = int(np.searchsorted(np.cumsum(p[order]), sampling.top_p)) + 1
            logits[order[kept:]] = -np.inf
        elif stage == "min_p" and sampling.min_p:
            logits[p < sampling.min_p * p.max()] = -np.inf
        elif stage == "temperature" and sampling.temperature:
            logits /= sampling.temperature
        elif stage == "temperature":
            logits[order[1:]] = -np.inf
    return softmax(logits)


@pytest.mark.parametrize("sampling", SETTINGS.values(), ids=SETTINGS)
def test_every_listed_probability_is_within_a_thousandth(shallow_recorder: Recorder, sampling: Sampling) -> None:
    turn, rows = shallow_recorder.write_with_rows(
        "Tell me about the sea and the moon and the sea.", sampling, seed=21
    )
    explanation = explain(logged(turn))
    history = list(turn.prompt.ids)
    for index, row in enumerate(rows):
        step = explanation.step(index)
        raw = softmax(row.astype(np.float64))
        final = sampled_from(row.astype(np.float64), sampling, history)
        for candidate in step.candidates:
            assert candidate.p == pytest.approx(raw[candidate.id], abs=1e-3)
            assert candidate.p_final == pytest.approx(final[candidate.id], abs=5e-4)
            assert (candidate.removed_by is None) == (final[candidate.id] > 0)
        assert step.rank == 1 + int((raw > raw[step.id]).sum())
        assert step.entropy_bits == pytest.approx(-float((raw * np.log2(raw + 1e-300)).sum()), abs=1e-3)
        survivors = step.stages[-1].survivors if step.stages else row.size
        assert survivors == int((final > 0).sum())
        assert (index in explanation.overruled) == step.overruled
        if step.greedy is not None:
            assert final[step.greedy] == pytest.approx(final.max(), abs=1e-9)
        history.append(step.id)
