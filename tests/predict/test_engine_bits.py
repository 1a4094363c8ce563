"""A reply's bits: whatever else is served, cached, cancelled or moved, the replay gives the same rows."""

import asyncio
import ctypes
import math
import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import llama_cpp
import pytest
from glasshead.predict import replay
from glasshead.predict.context import Context, Place
from glasshead.predict.logits import hash_row
from glasshead.predict.model import Model
from glasshead.predict.pace import Pace
from glasshead.predict.schedule import Run

from .replies import WILD, Made, read

QUANTIZATIONS = {
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "F16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16,
}


@pytest.fixture(scope="session")
def quantized(model_path: Path, tmp_path_factory: pytest.TempPathFactory):
    """Copies of the model in other quantizations, made when asked for."""

    def make(name: str) -> Path:
        path = tmp_path_factory.getbasetemp() / f"{name}.gguf"
        if not path.exists():
            params = llama_cpp.llama_model_quantize_default_params()
            params.ftype = QUANTIZATIONS[name]
            params.allow_requantize = True
            code = llama_cpp.llama_model_quantize(
                str(model_path).encode(), str(path).encode(), ctypes.byref(params)
            )
            assert code == 0
        return path

    return make


async def crowd(engine, rng: random.Random, n: int = 7, longest: int = 40) -> list[Made]:
    """Replies that arrive, leave and share beginnings in random order."""
    brief = replace(WILD, max_tokens=10)
    shared = [rng.randrange(5, 49000) for _ in range(longest)]

    async def one(number: int) -> list[Made]:
        prompt = (
            *shared[: rng.choice([0, 16, longest])],
            *(rng.randrange(5, 49000) for _ in range(rng.choice([1, 6, 24]))),
        )
        made = []
        for _ in range(rng.choice([1, 2])):
            at_most = rng.choice([3, 10**9])
            reply = await read(
                prompt, engine.generate(prompt, brief, number, user=str(number % 3)), at_most=at_most
            )
            made.append(reply)
            prompt = (*reply.ids, *(rng.randrange(5, 49000) for _ in range(rng.choice([1, 9]))))
        return made

    running = []
    for number in range(n):
        running.append(asyncio.create_task(one(number)))
        for _ in range(rng.randrange(2)):
            await engine.score([rng.randrange(5, 49000) for _ in range(12)])  # time passes, and another kernel runs
    return [made for replies in await asyncio.gather(*running) for made in replies]


def wrong_rows(model: Model, made: Made, *, threads: int) -> list[int]:
    """Steps whose replayed row (level A) has other bits."""
    rows = replay.follow(model, made.ids, len(made.prompt), made.schedule, threads=threads)
    return [step for step, row in rows if hash_row(row) != made.steps[step].row_hash]


SOAK = [pytest.param(name, marks=pytest.mark.soak) for name in ("Q4_0", "Q8_0", "Q4_K_M", "F16")]
"""Their kernels tell rows as those of the others do."""


@pytest.mark.parametrize("name", ["default", *SOAK])
async def test_every_row_of_a_crowd_is_replayed_bitwise(name, start, quantized, model_path, tmp_path):
    path = model_path if name == "default" else quantized(name)
    most = 2 if name == "default" else 1  # threads; the soak runs the others with two
    engine = await start(path, max_running=9, cache_bytes=3 << 20, spill_folder=tmp_path, threads=most)
    replies = await crowd(engine, random.Random(name), n=5 if name == "default" else 9)

    assert all(made.error is None for made in replies)
    assert any(made.n_cached for made in replies)
    with Model.load(path) as model:
        for number, made in enumerate(replies):
            assert wrong_rows(model, made, threads=1 + number % most) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", ["default", "Q4_0", "Q8_0", "Q4_K_M", "F16"])
async def test_two_hundred_arrivals_and_long_prompts_are_replayed_bitwise(
    name, start, quantized, model_path, tmp_path
):
    path = model_path if name == "default" else quantized(name)
    engine = await start(
        path, n_ctx=3200, max_running=9, cache_bytes=300 << 20, spill_folder=tmp_path, max_waiting=200, threads=2
    )
    replies = await crowd(engine, random.Random(name), n=200, longest=3000)

    assert all(made.error is None for made in replies)
    with Model.load(path) as model:
        for number, made in enumerate(replies):
            if len(made.prompt) < 500 or number % 4 == 0:
                assert wrong_rows(model, made, threads=1 + number % 2) == []
            if number % 20 == 0:
                steps = [0, len(made.steps) - 1]
                given = (model, made.ids, len(made.prompt), made.schedule, steps)
                rows = replay.again(*given, hashes=made.hashes, threads=2)
                assert [hash_row(row) for _, row in rows] == [made.hashes[step] for step in steps]


async def test_a_prompt_that_was_filled_up_to_a_tile_is_replayed_bitwise(start, loaded, monkeypatch):
    monkeypatch.setattr(Pace, "is_quicker_as_tile", lambda self, part, depth, threads: part.kind == "some")
    engine = await start(loaded, threads=1)
    prompt = tuple(range(100, 130))
    made = await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=6), 1))
    assert made.schedule == (Run("tile", len(prompt)), Run("one", 5))
    assert wrong_rows(loaded, made, threads=1) == []


async def test_where_rows_are_slow_chunks_are_of_four_and_are_replayed_bitwise(
    start, shallow_model, no_time, batches
):
    engine = await start(n_ctx=256, max_running=2)
    running = engine.generate((5, 6, 7), replace(WILD, max_tokens=200, logit_bias=((2, -math.inf),)), 1)
    await anext(running)
    batches.clear()
    prompt = tuple(range(100, 150))
    made = await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=6), 2))
    await running.aclose()
    assert {len(rows) for rows in batches if len(rows) > 2} == {4}
    assert made.schedule == (Run("some", len(prompt)), Run("one", 5))
    assert wrong_rows(shallow_model, made, threads=1) == []


def test_records_from_before_flash_attention_are_replayed_bitwise(shallow_model):
    ids, first = tuple(range(100, 130)), 25
    made: list[int] = []
    with closing(
        Context(shallow_model, n_ctx=256, streams=2, threads=1, n_batch=64, flash=False)
    ) as context:  # as the first version did: chunks of any size, then step by step
        for start, stop in ((0, 16), (16, first), *((i, i + 1) for i in range(first, len(ids) - 1))):
            context.decode([Place(ids[i], i, 1, i == stop - 1) for i in range(start, stop)])
            made.append(hash_row(context.row(stop - start - 1)))
    old = (Run("many", first), Run("one", len(ids) - 1 - first))
    for threads in (1, 2):
        rows = replay.follow(shallow_model, ids, first, old, threads=threads)
        assert [hash_row(row) for _, row in rows] == made[1:]
    now = (Run("some", first), Run("one", len(ids) - 1 - first))
    rows = replay.follow(shallow_model, ids, first, now, threads=1)
    assert hash_row(next(rows).row) != made[1]


async def test_nothing_is_carried_from_token_to_token(start, loaded):
    engine = await start(loaded)
    prompt = tuple(range(100, 130))
    short = replace(WILD, max_tokens=5)
    first, _ = await asyncio.gather(
        read(prompt, engine.generate(prompt, short, 1)), read(prompt, engine.generate(prompt, short, 2))
    )
    again = (*first.ids, 17, 18, 19)
    made = await read(again, engine.generate(again, short, 3))
    assert made.n_cached >= len(first.ids) - 1

    steps = replay.choose(len(again), len(made.steps), every=False)
    assert steps == list(range(len(made.steps)))
    rows = replay.again(loaded, made.ids, len(again), made.schedule, steps, hashes=made.hashes, threads=1)
    assert [hash_row(row) for _, row in rows] == made.hashes


async def test_what_was_decoded_row_by_row_is_given_again_in_chunks_while_the_bits_are_the_same(
    start, shallow_model, batches
):
    engine = await start(threads=1)
    prompt = tuple(range(100, 130))
    made = await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=9), 1))
    assert made.schedule[-1] == Run("one", 8)
    given = (shallow_model, made.ids, len(prompt), made.schedule, range(9))

    batches.clear()
    rows = list(replay.again(*given, hashes=made.hashes, threads=1))
    assert [hash_row(row) for _, row in rows] == made.hashes
    assert len(batches) == 9  # one for each step

    batches.clear()
    others = [*made.hashes[:4], 0, *made.hashes[5:]]
    rows = list(replay.again(*given, hashes=others, threads=1))
    assert [(step, hash_row(row)) for step, row in rows] == list(enumerate(made.hashes))
    assert sum(len(batch) == 1 for batch in batches) == 4 + 5 + 6 + 7 + 8  # from the fifth on as it was made


async def test_teacher_forcing_is_near_and_a_score_is_of_one_class(start, shallow_model):
    engine = await start()
    prompt = tuple(range(100, 130))
    made = await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=6), 1))
    scores = await engine.score(made.ids, first=len(prompt))

    some = (Run("some", len(made.ids) - 1),)
    rows = replay.follow(shallow_model, made.ids, len(prompt), some, threads=1)
    assert [hash_row(row) for _, row in rows] == [score.row_hash for score in scores]
    forced = [list(replay.forced(shallow_model, made.ids, len(prompt), threads=n)) for n in (1, 2)]
    assert [hash_row(row) for _, row in forced[0]] == [hash_row(row) for _, row in forced[1]]
    assert [step for step, _ in forced[0]] == list(range(len(made.steps)))
    for step, row in forced[0]:
        assert abs(float(row[made.steps[step].id]) - made.steps[step].logprob - made.steps[step].log_normaliser) < 5
    assert [score.id for score in scores] == [step.id for step in made.steps]
    for score, step in zip(scores, made.steps, strict=True):
        assert score.logprob == pytest.approx(step.logprob, abs=2.0)


async def test_scores_do_not_depend_on_where_scoring_begins(start):
    engine = await start()
    ids = [7 * i % 40000 + 5 for i in range(70)]
    whole = await engine.score(ids)
    assert len(whole) == len(ids) - 1
    for first in (2, 60, 61, 69):
        assert [s.row_hash for s in await engine.score(ids, first=first)] == [
            s.row_hash for s in whole[first - 1 :]
        ]


async def test_the_same_prompt_and_seed_give_the_same_reply_warm_and_cold(start):
    engine = await start()
    prompt = tuple(range(200, 260))
    cold = await read(prompt, engine.generate(prompt, WILD, 5))
    warm = await read(prompt, engine.generate(prompt, WILD, 5))
    assert (cold.n_cached, warm.n_cached) == (0, len(prompt) - 1)
    assert warm.hashes == cold.hashes
    assert warm.schedule == cold.schedule


async def test_continuing_a_reply_draws_what_it_would_have_drawn(start):
    engine = await start()
    prompt = tuple(range(300, 330))
    whole = await read(prompt, engine.generate(prompt, WILD, 9))
    begun = (*prompt, *(step.id for step in whole.steps[:5]))
    rest = await read(begun, engine.generate(begun, WILD, 9, first_step=5))
    assert [step.u for step in rest.steps[:7]] == [step.u for step in whole.steps[5:]]


def test_level_b_steps_are_all_up_to_512_and_16_of_the_rest():
    assert replay.choose(10, 40, every=False) == list(range(40))
    chosen = replay.choose(500, 400, every=False)
    assert chosen[:12] == list(range(12))
    assert len(chosen) == 12 + 16 and chosen[-1] == 399 and chosen == sorted(set(chosen))
    assert replay.choose(500, 400, every=True) == list(range(400))
    assert len(replay.choose(600, 100, every=False)) == 16
