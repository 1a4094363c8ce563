"""The trace codec gives back what went in, to the precision it states, and notices damage."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from glasshead.predict.draw import draw
from glasshead.predict.reading import Reading, read
from glasshead.predict.sampler import sample
from glasshead.predict.sampling import DEFAULT_STAGES, Sampling
from glasshead.predict.schedule import Run
from glasshead.predict.step import Step
from glasshead.store.codec import VERSION, decode, decode_columns, encode
from glasshead.store.columns import Damaged
from glasshead.store.finer import PARTS
from glasshead.store.step_values import step_values
from glasshead.store.units import FINE, NAT, SATURATED
from hypothesis import given, settings
from hypothesis import strategies as st

from .strategies import schedules, traces


def near(a: float, b: float, unit: float) -> bool:
    return a == b or abs(a - b) <= 0.5 / unit + 1e-9


def near_logprob(a: float, b: float) -> bool:
    return a == b or near(max(a, -SATURATED / NAT), b, NAT)


def assert_same(a: Step, b: Step) -> None:
    assert (a.id, a.logprob, a.rank, a.u, a.interval, a.p_final, a.row_hash) == (
        b.id, b.logprob, b.rank, b.u, b.interval, b.p_final, b.row_hash,
    )  # fmt: skip
    assert near(a.entropy, b.entropy, NAT)
    assert near(a.log_normaliser, b.log_normaliser, FINE)
    assert [(c.id, c.removed_by) for c in a.top] == [(c.id, c.removed_by) for c in b.top]
    assert all(near_logprob(c.logprob, d.logprob) for c, d in zip(a.top, b.top, strict=True))
    assert [(s.name, s.survivors) for s in a.stages] == [(s.name, s.survivors) for s in b.stages]
    assert all(near(s.log_normaliser, t.log_normaliser, FINE) for s, t in zip(a.stages, b.stages, strict=True))


@settings(deadline=None)
@given(traces, schedules)
def test_round_trip(steps, schedule):
    k = len(steps[0].top) if steps else 0
    back, schedule_back, k_back = decode(encode(steps, schedule, k))
    assert (schedule_back, k_back, len(back)) == (schedule, k, len(steps))
    for before, after in zip(steps, back, strict=True):
        assert_same(before, after)


@settings(deadline=None)
@given(traces, schedules)
def test_a_second_round_trip_changes_nothing(steps, schedule):
    once, _, k = decode(encode(steps, schedule, 3))
    assert decode(encode(once, schedule, k))[0] == once


@settings(deadline=None)
@given(traces.filter(bool), st.data())
def test_any_flipped_byte_is_noticed(steps, data):
    blob = bytearray(encode(steps, (), 5))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        decode(bytes(blob))


@settings(deadline=None)
@given(traces.filter(bool), st.data())
def test_a_shortened_record_is_noticed(steps, data):
    blob = encode(steps, (), 5)
    with pytest.raises(Damaged):
        decode(blob[: data.draw(st.integers(0, len(blob) - 1))])


@settings(deadline=None)
@given(traces.filter(bool), st.data())
def test_what_is_opened_late_is_what_was_there(steps, data):
    again = decode(encode(decode(encode(steps, (), 5))[0], (), 5))[0]
    step = again[data.draw(st.integers(0, len(again) - 1))]
    listed, stages = tuple(step.top), tuple(step.stages)
    assert (step.top, step.stages) == (listed, stages) and (len(step.top), len(step.stages)) == (
        len(listed),
        len(stages),
    )
    assert step.top[1:] == listed[1:] and (not listed or step.top[0] == listed[0])
    assert hash(step) == hash(replace(step, top=listed, stages=stages))
    assert step == replace(step, top=listed, stages=stages) and step.top != list(listed)


def real(sampling: Sampling, history: list[int], count: int = 40) -> list[Step]:
    """Steps of made-up rows, drawn as a model's are."""
    random = np.random.default_rng(3)
    rows = (random.normal(0, 4, 300).astype(np.float32) for _ in range(count))
    return [sample(row, sampling, history, draw(9, t), 10) for t, row in enumerate(rows)]


def cold(temperature: float) -> list[Step]:
    return real(Sampling(temperature=temperature, top_k=0), [])


@pytest.mark.parametrize(("temperature", "bits"), [(1.0, 0), (0.5, 1), (0.1, 4)])
def test_the_colder_a_trace_the_finer_is_what_could_have_been_drawn(temperature: float, bits: int) -> None:
    steps = cold(temperature)
    columns = decode_columns(encode(steps, (), 10))[0]
    back = decode(encode(steps, (), 10))[0]
    assert columns is not None and (columns.candidate_rest is not None) == bool(bits)
    if columns.candidate_rest is not None:
        assert not (columns.candidate_rest % (PARTS >> (bits + 1))).any(), "no more bits than are needed"
    assert decode(encode(back, (), 10))[0] == back
    assert [step["top"] for step in step_values(columns)] == [
        [(c.id, c.logprob, c.removed_by) for c in step.top] for step in back
    ]


shares = st.sampled_from([(0.0, 0), (0.05, 0), (0.0, 40), (0.05, 40), (0.3, 3)])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0, 1.3, 2.0]),
    shares,
    st.sampled_from([0.5, 0.95, 1.0]),
    st.sampled_from([1.0, 0.8, 1.1, 1.5]),
    st.sampled_from([0.0, 0.5, -0.5]),
    st.sampled_from([(), ((7, 3.0),)]),
    st.lists(st.integers(0, 299), max_size=80),
)
def test_the_record_alone_gives_every_probability_to_a_thousandth(
    temperature, share, top_p, repetition, presence, bias, history
):
    min_p, top_k = share
    settings = Sampling(
        temperature=temperature, min_p=min_p, top_k=top_k, top_p=top_p, repetition_penalty=repetition,
        presence_penalty=presence, logit_bias=bias,
    )  # fmt: skip
    steps = real(settings, history, 12)
    for before, after in zip(steps, decode(encode(steps, (), 10, seed=9))[0], strict=True):
        one, two = read(before, settings, history), read(after, settings, history)
        assert np.abs(np.subtract(probabilities(one), probabilities(two))).max() <= 1e-3


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([0.1, 0.15, 0.2, 0.3, 0.5]),
    shares,
    st.sampled_from([0.5, 0.95, 1.0]),
    st.sampled_from([1.0, 1.1]),
    st.permutations(DEFAULT_STAGES),
    st.lists(st.integers(0, 299), max_size=80),
)
def test_and_whatever_the_order_of_the_stages(temperature, share, top_p, repetition, stages, history):
    min_p, top_k = share
    settings = Sampling(
        temperature=temperature, min_p=min_p, top_k=top_k, top_p=top_p, repetition_penalty=repetition,
        stages=tuple(stages),
    )  # fmt: skip
    steps = real(settings, history, 12)
    for before, after in zip(steps, decode(encode(steps, (), 10, seed=9))[0], strict=True):
        one, two = read(before, settings, history), read(after, settings, history)
        assert np.abs(np.subtract(probabilities(one), probabilities(two))).max() <= 1e-3


def probabilities(reading: Reading) -> list[float]:
    return [
        *(c.raw for c in reading.candidates), reading.raw_remainder,
        *(c.final for c in reading.candidates), reading.final_remainder,
    ]  # fmt: skip


def test_draws_of_the_seed_are_kept_as_the_seed() -> None:
    steps = cold(0.8)
    own, others = encode(steps, (), 10, seed=9), encode(steps, (), 10, seed=8)
    assert decode(own) == decode(others) == decode(encode(steps, (), 10))
    assert len(others) - len(own) > 3 * len(steps)
    assert decode(encode(steps[5:], (), 10, seed=9, first_step=5))[0] == decode(own)[0][5:]


@pytest.mark.parametrize("version", [1, 2])
def test_what_was_kept_before_is_still_read(version: int) -> None:
    kept = json.loads((Path(__file__).parent / "data" / "old_traces.json").read_text())
    blob = base64.b64decode(kept[str(version)])
    assert blob[2] == version < VERSION
    steps, schedule, k = decode(blob)
    made = cold(0.8 if version == 1 else 0.1)[:6]
    assert (schedule, k, len(steps)) == ((Run("many", 5), Run("one", 12)), 10, len(made))
    for before, after in zip(made, steps, strict=True):
        assert near(before.logprob, after.logprob, 1e6) and near(before.p_final, after.p_final, 1e6)
        assert_same(replace(before, logprob=after.logprob, p_final=after.p_final), after)
    finer = [not (c.logprob * NAT).is_integer() for step in steps for c in step.top]
    assert any(finer) == (version == 2)
