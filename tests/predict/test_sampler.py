"""Sampling: stages against llama.cpp's own samplers on real rows, intervals and draws against arithmetic."""

import ctypes
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from glasshead.errors import UserError
from glasshead.predict.draw import TICKETS, draw
from glasshead.predict.logits import Logits, Scratch
from glasshead.predict.sampler import check, sample
from glasshead.predict.sampling import DEFAULT_STAGES, Sampling, StageName
from glasshead.predict.step import Step
from hypothesis import given, settings
from hypothesis import strategies as st

NEUTRAL = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
TEXT = b"<|im_start|>user\nWrite a short poem about the sea.<|im_end|>\n<|im_start|>assistant\nThe sea is a"


@pytest.fixture(scope="module")
def real_rows(model_path: Path) -> list[tuple[list[int], Logits]]:
    """Rows of the real model: after each of the last positions of a text, with the ids up to there."""
    params = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(str(model_path).encode(), params)
    context_params = llama_cpp.llama_context_default_params()
    context_params.n_ctx, context_params.n_threads, context_params.n_threads_batch = 256, 1, 1
    context = llama_cpp.llama_init_from_model(model, context_params)
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    ids = (llama_cpp.llama_token * 256)()
    n = llama_cpp.llama_tokenize(vocabulary, TEXT, len(TEXT), ids, 256, True, True)
    batch = llama_cpp.llama_batch_init(n, 0, 1)
    batch.n_tokens = n
    for i in range(n):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = ids[i], i, 1, 1
        batch.seq_id[i][0] = 0
    assert llama_cpp.llama_decode(context, batch) == 0
    n_vocab = llama_cpp.llama_vocab_n_tokens(vocabulary)
    rows = [
        (list(ids[: i + 1]), np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (n_vocab,)).copy())
        for i in range(n)
    ]
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return rows


# -- against llama.cpp -------------------------------------------------------------------------------------------


def llamacpp_samplers(sampling: Sampling, n_vocab: int, history: Sequence[int]) -> Iterator[object]:
    """llama.cpp's samplers for our stages, in our order; those of penalties have accepted the history."""
    for name in sampling.stages:
        if name == "logit_bias":
            biases = (llama_cpp.llama_logit_bias * len(sampling.logit_bias))(*sampling.logit_bias)
            yield llama_cpp.llama_sampler_init_logit_bias(n_vocab, len(sampling.logit_bias), biases)
        elif name == "penalties":
            window = len(history) if sampling.penalty_window == -1 else sampling.penalty_window
            penalties = llama_cpp.llama_sampler_init_penalties(
                n_vocab,
                window,
                sampling.repetition_penalty,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            )
            for token in history:
                llama_cpp.llama_sampler_accept(penalties, token)
            yield penalties
        elif name == "top_k":
            yield llama_cpp.llama_sampler_init_top_k(sampling.top_k)
        elif name == "top_p":
            yield llama_cpp.llama_sampler_init_top_p(sampling.top_p, 0)
        elif name == "min_p":
            yield llama_cpp.llama_sampler_init_min_p(sampling.min_p, 0)
        else:
            yield llama_cpp.llama_sampler_init_temp(sampling.temperature)


def by_llamacpp(row: Logits, sampling: Sampling, history: Sequence[int]) -> dict[int, float]:
    """Survivors and their probabilities when llama.cpp's samplers do the work."""
    data = (llama_cpp.llama_token_data * row.size)()
    view = np.frombuffer(data, dtype=[("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
    view["id"], view["logit"] = np.arange(row.size), row
    array = llama_cpp.llama_token_data_array(data, row.size, -1, False)
    for sampler in llamacpp_samplers(sampling, row.size, history):
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
        llama_cpp.llama_sampler_free(sampler)
    left = np.ctypeslib.as_array(ctypes.cast(array.data, ctypes.POINTER(ctypes.c_byte)), (array.size * 12,))
    left = left.view(view.dtype)
    left = left[left["logit"] > -np.inf]
    weights = np.exp(left["logit"].astype(np.float64) - left["logit"].max())
    return dict(zip(left["id"].tolist(), (weights / weights.sum()).tolist(), strict=True))


def by_us(row: Logits, sampling: Sampling, history: Sequence[int]) -> tuple[dict[int, float], Step]:
    """Survivors and their probabilities by ours, read off the step and its intervals by asking every survivor."""
    probabilities: dict[int, float] = {}
    ticket = 0
    while ticket < TICKETS:
        step = sample(row, sampling, history, ticket / TICKETS, 50)
        probabilities[step.id] = step.p_final
        ticket = round(step.interval[1] * TICKETS)
    return probabilities, step


SETTINGS = {
    "default": Sampling(),
    "top_p alone": replace(NEUTRAL, top_p=0.95),
    "small top_p": replace(NEUTRAL, top_p=0.3),
    "min_p alone": replace(NEUTRAL, min_p=0.02),
    "top_k alone": replace(NEUTRAL, top_k=7),
    "large top_k": replace(NEUTRAL, top_k=150, temperature=0.7),
    "top_k of everything": replace(NEUTRAL, top_k=1_000_000, top_p=0.5),
    "hot": Sampling(temperature=1.7, top_k=0, top_p=0.9, min_p=0.01),
    "cold": Sampling(temperature=0.2),
    "greedy": Sampling(temperature=0.0),
    "repetition": Sampling(repetition_penalty=1.3, penalty_window=-1),
    "all penalties, short window": Sampling(
        repetition_penalty=1.1, presence_penalty=0.4, frequency_penalty=0.3, penalty_window=8
    ),
    "rewarded repetition": Sampling(repetition_penalty=0.8, presence_penalty=-0.5),
    "bias": Sampling(logit_bias=((28, 5.0), (253, -math.inf), (49_151, 20.0))),
    "temperature first": Sampling(
        stages=("temperature", "min_p", "top_p", "top_k", "penalties", "logit_bias"),
        repetition_penalty=1.2,
        logit_bias=((28, 2.0),),
        temperature=1.4,
    ),
    "greedy first": Sampling(
        stages=("temperature", "penalties", "top_k"), temperature=0.0, repetition_penalty=5.0, top_k=3
    ),
    "penalties last": Sampling(
        stages=("top_k", "top_p", "temperature", "penalties"), repetition_penalty=1.5, frequency_penalty=0.2
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_llamacpps_samplers(name: str, real_rows: list[tuple[list[int], Logits]]) -> None:
    sampling = SETTINGS[name]
    compared = 0
    for history, row in real_rows:
        theirs = by_llamacpp(row, sampling, history)
        if len(theirs) > 1000:
            continue
        ours, step = by_us(row, sampling, history)
        assert step.p_final > 0
        if set(ours) == {token for token, p in theirs.items() if p > 2 / TICKETS or token in ours}:
            compared += 1
            for token, p in ours.items():
                assert p == pytest.approx(theirs[token], abs=1e-4)
        else:
            assert_differ_only_at_the_border(row, sampling, history, ours, theirs)
    assert compared >= len(real_rows) // 2


def assert_differ_only_at_the_border(
    row: Logits, sampling: Sampling, history: Sequence[int], ours: dict[int, float], theirs: dict[int, float]
) -> None:
    """llama.cpp adds up f32: near a threshold of top_p it may keep another number than exact sums would."""
    near = [by_llamacpp(row, replace(sampling, top_p=sampling.top_p + shift), history) for shift in (-3e-4, 3e-4)]
    assert set(min(near, key=len)) <= set(ours) <= set(max(near, key=len))
    assert set(min(near, key=len)) <= set(theirs) <= set(max(near, key=len))


# -- arithmetic --------------------------------------------------------------------------------------------------

some_sampling = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 0.8, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, 40]),
    top_p=st.sampled_from([0.1, 0.9, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.7]),
    presence_penalty=st.sampled_from([0.0, 0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.2]),
    penalty_window=st.sampled_from([-1, 0, 3, 64]),
    logit_bias=st.sampled_from([(), ((3, 4.0),), ((0, -50.0), (5, 1.0), (5, 1.0))]),
    stages=st.permutations(DEFAULT_STAGES).map(tuple),
)
some_rows = st.tuples(st.integers(8, 300), st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 6.0])).map(
    lambda a: (np.random.default_rng(a[1]).normal(0, a[2], a[0])).astype(np.float32)
)


def by_arithmetic(row: Logits, sampling: Sampling, history: Sequence[int]) -> dict[int, float]:
    """The plainest possible sampler, in f64 over sorted pairs."""
    pool = {token: float(logit) for token, logit in enumerate(row)}
    for stage in sampling.stages:
        pool = {token: logit for token, logit in pool.items() if logit > -math.inf}
        order = sorted(pool, key=lambda token: (-pool[token], token))
        p = softmax(pool)
        if stage == "logit_bias":
            for token, bias in sampling.logit_bias:
                if token in pool:
                    pool[token] += bias
        elif stage == "penalties":
            window = len(history) if sampling.penalty_window == -1 else sampling.penalty_window
            for token, count in Counter(history[-window:] if window else []).items():
                if token in pool:
                    logit, r = pool[token], sampling.repetition_penalty
                    logit = logit * r if logit <= 0 else logit / r
                    pool[token] = logit - count * sampling.frequency_penalty - sampling.presence_penalty
        elif stage == "top_k" and sampling.top_k:
            pool = {token: pool[token] for token in order[: sampling.top_k]}
        elif stage == "top_p" and sampling.top_p < 1:
            kept, mass = 0, 0.0
            while kept < len(order) and (kept == 0 or mass < sampling.top_p):
                mass += p[order[kept]]
                kept += 1
            pool = {token: pool[token] for token in order[:kept]}
        elif stage == "min_p" and sampling.min_p:
            least = pool[order[0]] + math.log(sampling.min_p)
            pool = {token: logit for token, logit in pool.items() if logit >= least}
        elif stage == "temperature" and sampling.temperature == 0:
            pool = {order[0]: pool[order[0]]}
        elif stage == "temperature":
            pool = {token: logit / sampling.temperature for token, logit in pool.items()}
    return softmax({token: logit for token, logit in pool.items() if logit > -math.inf})


def softmax(pool: dict[int, float]) -> dict[int, float]:
    top = max(pool.values())
    weights = {token: math.exp(logit - top) for token, logit in pool.items()}
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


@given(some_rows, some_sampling, st.lists(st.integers(0, 7), max_size=12))
@settings(max_examples=300, deadline=None)
def test_equals_the_plainest_sampler(row: Logits, sampling: Sampling, history: list[int]) -> None:
    """Whatever the order of stages: the same survivors and probabilities, but for one survivor where the mass is
    at the threshold but for rounding."""
    expected = by_arithmetic(row, sampling, history)
    ours, step = by_us(row, sampling, history)
    survivors = step.stages[-1].survivors if step.stages else row.size
    if survivors == len(expected):
        for token, p in ours.items():
            assert p == pytest.approx(expected[token], abs=1e-5)
    else:
        assert abs(survivors - len(expected)) == 1
        assert 0 < sampling.top_p < 1


@given(some_rows, some_sampling, st.lists(st.integers(0, 7), max_size=12))
@settings(max_examples=200, deadline=None)
def test_intervals_share_the_unit_interval(row: Logits, sampling: Sampling, history: list[int]) -> None:
    """Walking from interval to interval reaches 1 exactly, in order of final probability, then id; each width is
    its probability to within a ticket."""
    ticket, walked = 0, []
    while ticket < TICKETS:
        step = sample(row, sampling, history, ticket / TICKETS, 10)
        low, high = (round(end * TICKETS) for end in step.interval)
        assert low == ticket < high
        last = sample(row, sampling, history, (high - 1) / TICKETS, 10)
        assert (last.id, last.interval) == (step.id, step.interval)
        assert (high - low) / TICKETS == pytest.approx(step.p_final, abs=1e-6)
        walked.append((-step.p_final, step.id))
        ticket = high
    assert ticket == TICKETS
    assert walked == sorted(walked)


def test_draws_follow_the_probabilities(real_rows: list[tuple[list[int], Logits]]) -> None:
    history, row = real_rows[-1]
    expected, _ = by_us(row, Sampling(top_k=8, temperature=1.0), history)
    n = 4000
    counts = Counter(sample(row, Sampling(top_k=8, temperature=1.0), history, draw(3, t), 1).id for t in range(n))
    for token, p in expected.items():
        assert abs(counts[token] / n - p) < 5 * math.sqrt(p * (1 - p) / n)


def test_what_it_records_of_the_row(real_rows: list[tuple[list[int], Logits]]) -> None:
    history, row = real_rows[20]
    before, scratch = row.copy(), Scratch(row.size)
    step = sample(row, Sampling(repetition_penalty=1.2), history, 0.7, 10, scratch=scratch)
    assert np.array_equal(row, before)
    assert step == sample(row, Sampling(repetition_penalty=1.2), history, 0.7, 10)
    exact = row.astype(np.float64)
    log_normaliser = exact.max() + math.log(np.exp(exact - exact.max()).sum())
    order = np.lexsort((np.arange(row.size), -row))
    assert [c.id for c in step.top] == order[:10].tolist()
    assert step.log_normaliser == pytest.approx(log_normaliser, abs=1e-6)
    assert step.logprob == pytest.approx(exact[step.id] - log_normaliser, abs=1e-6)
    assert step.rank == order.tolist().index(step.id) + 1
    assert step.interval[0] <= step.u < step.interval[1]


def test_names_the_stage_that_removed_a_candidate() -> None:
    row = np.log(np.array([0.5, 0.2, 0.15, 0.1, 0.03, 0.02], np.float32))
    sampling = replace(NEUTRAL, top_k=5, top_p=0.9, min_p=0.25, logit_bias=((1, -math.inf),))
    step = sample(row, sampling, [], 0.0, 6)
    assert [c.removed_by for c in step.top] == [None, "logit_bias", None, "min_p", "top_p", "top_p"]
    assert [(s.name, s.survivors) for s in step.stages] == [
        ("logit_bias", 5),
        ("top_k", 5),
        ("top_p", 3),
        ("min_p", 2),
    ]


def test_neutral_settings_record_no_stage() -> None:
    row = np.arange(100, dtype=np.float32)
    assert sample(row, NEUTRAL, [1, 2, 3], 0.5, 5).stages == ()
    assert sample(row, replace(NEUTRAL, repetition_penalty=2.0, penalty_window=0), [1], 0.5, 5).stages == ()


@pytest.mark.parametrize("stages", [DEFAULT_STAGES, ("temperature", "top_p")])
def test_temperature_0_takes_the_favourite_whatever_the_draw(stages: tuple[StageName, ...]) -> None:
    row = np.array([1, 3, 3, 2], np.float32)
    for u in (0.0, 0.5, 1 - 1 / TICKETS):
        step = sample(row, Sampling(temperature=0.0, stages=stages), [], u, 4)
        assert (step.id, step.interval, step.p_final) == (1, (0.0, 1.0), 1.0)


def test_penalties_can_overrule_the_favourite_at_temperature_0() -> None:
    row = np.array([1, 3, 2.9, 2], np.float32)
    step = sample(row, Sampling(temperature=0.0, repetition_penalty=1.5), [1], 0.5, 4)
    assert (step.id, step.rank) == (2, 2)


def test_all_stages_orders_keep_somebody() -> None:
    row = np.random.default_rng(0).normal(0, 3, 200).astype(np.float32)
    sampling = Sampling(top_k=3, top_p=0.01, min_p=1.0, repetition_penalty=2.0, logit_bias=((1, 3.0),))
    for stages in permutations(DEFAULT_STAGES):
        step = sample(row, replace(sampling, stages=stages), [1, 2, 3], 0.999, 3)
        assert step.stages[-1].survivors >= 1


def test_everything_banned_is_named() -> None:
    with pytest.raises(UserError, match="no token"):
        sample(np.zeros(2, np.float32), replace(NEUTRAL, logit_bias=((0, -math.inf), (1, -math.inf))), [], 0.5, 1)
    with pytest.raises(UserError, match="no token"):
        late = replace(NEUTRAL, top_k=1, stages=("top_k", "logit_bias"), logit_bias=((0, -math.inf),))
        sample(np.zeros(2, np.float32), late, [], 0.5, 1)


@pytest.mark.parametrize(
    ("sampling", "word"),
    [
        (Sampling(temperature=-1), "temperature"),
        (Sampling(temperature=math.nan), "temperature"),
        (Sampling(temperature=1e-9), "temperature"),
        (Sampling(top_k=-3), "top_k"),
        (Sampling(top_p=1.5), "top_p"),
        (Sampling(min_p=-0.1), "min_p"),
        (Sampling(repetition_penalty=0), "repetition_penalty"),
        (Sampling(penalty_window=-2), "penalty_window"),
        (Sampling(max_tokens=0), "max_tokens"),
        (Sampling(logit_bias=((100, 1.0),)), "token 100"),
        (Sampling(logit_bias=((1, math.inf),)), "logit_bias"),
        (Sampling(stages=("top_k", "top_k")), "twice"),
    ],
)
def test_check_names_what_makes_no_sense(sampling: Sampling, word: str) -> None:
    with pytest.raises(UserError, match=word):
        check(sampling, 100)


def test_check_accepts_the_default() -> None:
    check(Sampling(), 100)
