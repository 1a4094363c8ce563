"""A recurrent model: its state is reused whole or not at all, and the bits are kept all the same."""

import asyncio
import random

import pytest
from glasshead.predict import replay
from glasshead.predict.logits import hash_row
from glasshead.predict.model import Model

from .replies import WILD, Made, read
from .tiny import mamba


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return mamba(tmp_path_factory.mktemp("tiny") / "mamba.gguf")


def replayed(model: Model, made: Made) -> list[int]:
    rows = replay.follow(model, made.ids, len(made.prompt), made.schedule, threads=1)
    return [hash_row(row) for _, row in rows]


async def test_a_crowd_is_replayed_bitwise(path, start, tmp_path):
    engine = await start(path, max_running=9, spill_folder=tmp_path, cache_bytes=100_000)
    rng = random.Random(3)

    async def conversation(seed: int) -> list[Made]:
        prompt, made = tuple(rng.randrange(3, 250) for _ in range(rng.randrange(1, 80))), []
        for _ in range(3):
            made.append(await read(prompt, engine.generate(prompt, WILD, seed)))
            prompt = (*made[-1].ids, *(rng.randrange(3, 250) for _ in range(rng.randrange(1, 20))))
        return made

    replies = [made for several in await asyncio.gather(*map(conversation, range(12))) for made in several]
    assert all(made.error is None for made in replies)
    with Model.load(path) as model:
        assert model.is_recurrent
        for made in replies:
            assert replayed(model, made) == made.hashes


async def test_only_a_whole_state_is_reused(path, start):
    engine = await start(path)
    prompt = tuple(range(3, 63))
    made = await read(prompt, engine.generate(prompt, WILD, 1))
    again = (*made.ids, 7, 8, 9)
    continued = await read(again, engine.generate(again, WILD, 1))
    assert continued.n_cached == len(made.ids) - 1
    changed = (*made.ids[:-5], 7, 8, 9)
    assert (await read(changed, engine.generate(changed, WILD, 1))).n_cached == 0


async def test_every_token_from_nothing_and_in_one_pass(path, start):
    engine = await start(path)
    prompt = tuple(range(3, 50))
    made = await read(prompt, engine.generate(prompt, WILD, 1))
    scores = await engine.score(made.ids, first=len(prompt))
    with Model.load(path) as model:
        steps = range(len(made.steps))
        rows = replay.again(model, made.ids, len(prompt), made.schedule, steps, threads=1)
        assert [hash_row(row) for _, row in rows] == made.hashes
        assert len(list(replay.forced(model, made.ids, len(prompt), threads=1))) == len(scores) == len(steps)
    for score, step in zip(scores, made.steps, strict=True):
        assert score.logprob == pytest.approx(step.logprob, abs=1e-3)
