"""Reading a step from its record alone: agrees with the sampler that made it, exactly recorded or rounded."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from glasshead.predict.draw import TICKETS
from glasshead.predict.logits import Logits
from glasshead.predict.reading import Reading, read
from glasshead.predict.sampler import sample
from glasshead.predict.sampling import DEFAULT_STAGES, Sampling
from glasshead.predict.step import Candidate, Stage, Step
from hypothesis import given, settings
from hypothesis import strategies as st

some_sampling = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 0.8, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, 40]),
    top_p=st.sampled_from([0.1, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.7]),
    presence_penalty=st.sampled_from([0.0, 0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.2]),
    penalty_window=st.sampled_from([-1, 0, 3, 64]),
    logit_bias=st.sampled_from([(), ((3, 4.0),), ((0, -50.0), (5, 1.0), (5, 1.0))]),
    stages=st.permutations(DEFAULT_STAGES).map(tuple),
)
some_rows = st.tuples(st.integers(8, 300), st.integers(0, 2**32), st.sampled_from([1.0, 3.0])).map(
    lambda a: np.random.default_rng(a[1]).normal(2, a[2], a[0]).astype(np.float32)
)
histories = st.lists(st.integers(0, 7), max_size=12)
draws = st.integers(0, TICKETS - 1).map(lambda ticket: ticket / TICKETS)


def rounded(step: Step) -> Step:
    """The step as a record keeps it: candidates to 2⁻¹⁰ nats, stages to 2⁻¹², the chosen token's numbers as f32."""
    return replace(
        step,
        logprob=float(np.float32(step.logprob)),
        log_normaliser=float(np.float32(step.log_normaliser)),
        p_final=float(np.float32(step.p_final)),
        top=tuple(Candidate(c.id, round(c.logprob * 1024) / 1024, c.removed_by) for c in step.top),
        stages=tuple(Stage(s.name, s.survivors, round(s.log_normaliser * 4096) / 4096) for s in step.stages),
    )


def by_asking(row: Logits, sampling: Sampling, history: Sequence[int]) -> dict[int, float]:
    """The probability of each token that can be drawn, asked of the sampler interval by interval."""
    found: dict[int, float] = {}
    ticket = 0
    while ticket < TICKETS:
        step = sample(row, sampling, history, ticket / TICKETS, 1)
        found[step.id] = step.p_final
        ticket = round(step.interval[1] * TICKETS)
    return found


def assert_adds_up(reading: Reading) -> None:
    assert sum(c.raw for c in reading.candidates) + reading.raw_remainder == pytest.approx(1, abs=1e-12)
    assert sum(c.final for c in reading.candidates) + reading.final_remainder == pytest.approx(1, abs=1e-12)
    assert min(c.final for c in reading.candidates) >= 0 and reading.final_remainder >= 0


@given(some_rows, some_sampling, histories, draws, st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_agrees_with_the_sampler(row: Logits, sampling: Sampling, history: list[int], u: float, k: int) -> None:
    step = sample(row, sampling, history, u, k)
    expected = by_asking(row, sampling, history)
    for tolerance, recorded in ((1e-5, step), (2.5e-3, rounded(step))):
        reading = read(recorded, sampling, history)
        assert_adds_up(reading)
        for candidate in reading.candidates:
            assert candidate.final == pytest.approx(expected.get(candidate.id, 0.0), abs=tolerance)
            assert candidate.chosen == (candidate.id == step.id)
            assert candidate.raw == pytest.approx(float(softmax(row)[candidate.id]), abs=tolerance)
        chosen = next(c for c in reading.candidates if c.chosen)
        assert chosen.final == (recorded.p_final if recorded.stages else chosen.raw)


def softmax(row: Logits) -> np.ndarray:
    weights = np.exp(row.astype(np.float64) - row.max())
    return weights / weights.sum()


def test_what_the_stages_removed_is_shared_out_among_the_rest() -> None:
    row = np.log(np.array([0.5, 0.2, 0.15, 0.1, 0.05], np.float32))
    sampling = Sampling(temperature=1.0, top_k=4, top_p=0.8, min_p=0.0)
    reading = read(sample(row, sampling, [], 0.0, 3), sampling, [])
    assert [c.final for c in reading.candidates] == pytest.approx([0.5 / 0.85, 0.2 / 0.85, 0.15 / 0.85])
    assert reading.final_remainder == 0
    assert [c.removed_by for c in reading.candidates] == [None] * 3
    assert reading.raw_remainder == pytest.approx(0.15)


def test_a_chosen_token_that_was_not_listed_is_added() -> None:
    row = np.zeros(100, np.float32)
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
    reading = read(sample(row, sampling, [], 0.995, 2), sampling, [])
    assert [(c.id, c.chosen) for c in reading.candidates] == [(0, False), (1, False), (99, True)]
    assert [c.final for c in reading.candidates] == [c.raw for c in reading.candidates]
    assert reading.final_remainder == pytest.approx(0.97)


def test_repetition_depends_on_the_sign_of_the_raw_logit() -> None:
    """A penalty divides a positive logit and multiplies a negative one; the record tells them apart."""
    row = np.array([2.0, 1.0, -0.5, -1.0], np.float32)
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=2.0)
    reading = read(sample(row, sampling, [0, 2], 0.0, 4), sampling, [0, 2])
    expected = softmax(np.array([1.0, 1.0, -1.0, -1.0], np.float32))
    assert [c.final for c in reading.candidates] == pytest.approx(list(expected), abs=1e-6)


def test_a_banned_candidate_has_nothing() -> None:
    row = np.array([2.0, 1.0, 0.0], np.float32)
    sampling = Sampling(logit_bias=((0, -math.inf),))
    reading = read(sample(row, sampling, [], 0.0, 3), sampling, [])
    assert (reading.candidates[0].final, reading.candidates[0].removed_by) == (0.0, "logit_bias")
