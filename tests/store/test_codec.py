"""The trace codec gives back what went in, to the precision it states, and notices damage."""

from dataclasses import replace

import numpy as np
import pytest
from glasshead.predict.draw import draw
from glasshead.predict.sampler import sample
from glasshead.predict.sampling import Sampling
from glasshead.predict.step import Step
from glasshead.store import finer
from glasshead.store.codec import FINER, VERSION, decode, decode_columns, encode
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


def real(temperature: float) -> list[Step]:
    """Steps of made-up rows, drawn as a model's are."""
    random = np.random.default_rng(3)
    sampling = Sampling(temperature=temperature, top_k=0)
    rows = (random.normal(0, 4, 300).astype(np.float32) for _ in range(40))
    return [sample(row, sampling, [], draw(9, t), 10) for t, row in enumerate(rows)]


def test_a_cold_trace_keeps_finer_what_could_have_been_drawn() -> None:
    steps = real(0.1)
    back = decode(encode(steps, (), 10))[0]
    fine = [
        abs(a.logprob - b.logprob)
        for one, two in zip(steps, back, strict=True)
        if one.p_final < 0.999
        for a, b in zip(one.top, two.top, strict=True)
        if a.removed_by is None and a.id != one.id
    ]
    assert 0 < len(fine) < 10 * len(steps)
    assert max(fine) <= 1 / (NAT * PARTS)
    assert decode(encode(back, (), 10))[0] == back
    assert [step["top"] for step in step_values(decode_columns(encode(steps, (), 10))[0])] == [
        [(c.id, c.logprob, c.removed_by) for c in step.top] for step in back
    ]


def test_what_was_kept_before_reads_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    assert encode(real(0.8), (), 10)[2] == VERSION and encode(real(0.1), (), 10)[2] == FINER
    monkeypatch.setattr(finer, "needed", lambda slope: False)
    old = encode(real(0.1), (), 10)
    monkeypatch.undo()
    assert old[2] == VERSION
    back = decode(old)[0]
    assert all((c.logprob * NAT).is_integer() for step in back for c in step.top)
