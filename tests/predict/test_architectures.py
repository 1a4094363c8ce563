"""Every kind of decoder: it loads, it answers, its bits are kept, and its cache is used as far as it can be."""

import asyncio
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from glasshead.predict import replay, window
from glasshead.predict.context import Context, Place
from glasshead.predict.governor import Governor
from glasshead.predict.logits import Scratch, hash_row, scan
from glasshead.predict.model import Model
from glasshead.predict.schedule import Run

from .architectures import ARCHITECTURES, CONTEXT, HYBRID, RECURRENT
from .replies import WILD, Made, read
from .tiny import quantize, tiny

BRIEF = replace(WILD, max_tokens=10)
TRIMMABLE = [name for name in ARCHITECTURES if name not in (*RECURRENT, *HYBRID)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("tiny")

    def make(architecture: str, quantization: str = "F32") -> Path:
        path = folder / f"{architecture}.gguf"
        if not path.exists():
            tiny(path, architecture)
        return (
            path
            if quantization == "F32"
            else quantize(path, folder / f"{architecture}.{quantization}.gguf", quantization)
        )

    return make


async def crowd(engine, seed: int, talks: int = 4) -> list[Made]:
    """Conversations of several turns at once: some broken off, some going back, all beside each other."""
    rng = random.Random(seed)
    shared = [rng.randrange(3, 250) for _ in range(60)]

    async def one(number: int) -> list[Made]:
        prompt = (*shared[: rng.choice([0, 21, 60])], *(rng.randrange(3, 250) for _ in range(rng.randrange(1, 40))))
        out = []
        for turn in range(3):
            at_most = rng.choice([3, 10**9])
            out.append(await read(prompt, engine.generate(prompt, BRIEF, 10 * number + turn), at_most=at_most))
            kept = out[-1].ids[: rng.choice([len(out[-1].ids), len(out[-1].ids) - 5])]
            prompt = (*kept, *(rng.randrange(3, 250) for _ in range(rng.randrange(1, 20))))
        return out

    return [reply for several in await asyncio.gather(*map(one, range(talks))) for reply in several]


def rows_of(walk) -> list[int]:
    return [hash_row(row) for _, row in walk]


@pytest.mark.parametrize(
    "quantization",
    ["F32", *(pytest.param(name, marks=pytest.mark.soak) for name in ("F16", "Q4_0", "Q4_1", "Q8_0"))],
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
async def test_a_crowd_is_replayed_bitwise(architecture, quantization, made, start, tmp_path):
    path = made(architecture, quantization)
    engine = await start(path, max_running=9, cache_bytes=200_000, spill_folder=tmp_path)
    replies = await crowd(engine, seed=len(architecture))
    assert [reply.error for reply in replies] == [None] * len(replies)
    assert architecture not in TRIMMABLE or any(reply.n_cached for reply in replies)
    with Model.load(path) as model:
        for number, reply in enumerate(replies):
            given = (model, reply.ids, len(reply.prompt), reply.schedule)
            assert rows_of(replay.follow(*given, threads=1 + number % 2)) == reply.hashes
            if number % 5 == 0:
                steps = (0, len(reply.steps) - 1)
                again = replay.again(*given, steps, hashes=reply.hashes, threads=1)
                assert rows_of(again) == [reply.hashes[n] for n in steps]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
async def test_a_cache_is_used_as_far_as_the_model_can(architecture, made, start):
    engine = await start(made(architecture))
    assert (engine.n_ctx, engine.model.n_ctx_train) == (512, CONTEXT)
    prompt = tuple(range(3, 83))  # longer than the sliding windows, which are 32
    first = await read(prompt, engine.generate(prompt, WILD, 1))
    onward = (*first.ids, 7, 8, 9)
    assert (await read(onward, engine.generate(onward, BRIEF, 1))).n_cached == len(first.ids) - 1
    back = (*first.ids[:70], 7, 8, 9)
    branch = await read(back, engine.generate(back, BRIEF, 1))
    assert branch.n_cached == (70 if architecture in TRIMMABLE else 0)
    with Model.load(made(architecture)) as model:
        assert model.is_recurrent == (architecture not in TRIMMABLE)
        assert ("cannot be taken back" in model.limits[0]) == model.is_recurrent
        assert rows_of(replay.follow(model, branch.ids, len(back), branch.schedule, threads=1)) == branch.hashes
        forced = list(replay.forced(model, branch.ids, len(back), threads=1))
    scores = await engine.score(branch.ids, first=len(back))
    assert [step for step, _ in forced] == list(range(len(scores)))
    scratch = Scratch(engine.model.n_vocab)
    for (_, row), score in zip(forced, scores, strict=True):
        assert float(row[score.id]) - scan(row, 1, scratch)[0] == pytest.approx(score.logprob, abs=0.05)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "qwen35"])
async def test_attention_split_over_threads_is_replayed_bitwise(architecture, made, start, monkeypatch):
    monkeypatch.setattr(Governor, "observe", lambda self, key, seconds: self.threads)
    engine = await start(made(architecture), threads=2)
    prompt = tuple(3 + 7 * i % 240 for i in range(250))
    reply = await read(prompt, engine.generate(prompt, WILD, 1))
    assert len(reply.steps) > 8
    with Model.load(made(architecture)) as model:
        for threads in (1, 2):
            assert rows_of(replay.follow(model, reply.ids, 250, reply.schedule, threads=threads)) == reply.hashes
        last = [len(reply.steps) - 1]
        given = (model, reply.ids, 250, reply.schedule, last)
        assert rows_of(replay.again(*given, hashes=reply.hashes, threads=1)) == reply.hashes[-1:]
        unsplit = tuple(Run("one", run.count) if run.rows == "split" else run for run in reply.schedule)
        rows = rows_of(replay.follow(model, reply.ids, 250, unsplit, threads=1))
    assert [run.rows for run in reply.schedule][-2:] == ["one", "split"]
    assert reply.schedule[-1].threads == 2
    assert rows[:6] == reply.hashes[:6]
    assert rows != reply.hashes


@pytest.mark.parametrize("size", [0, 11, 4000, -1])
def test_a_state_of_another_form_is_refused(made, size):
    with (
        Model.load(made("gemma3")) as model,
        closing(Context(model, n_ctx=256, streams=3, threads=1, n_batch=64)) as context,
    ):
        context.decode([Place(token, token - 3, 1, False) for token in range(3, 63)])
        whole = context.snapshot(1)
    start, cache = window.windowed(whole)
    assert (cache.first, len(cache.cells), cache.streams) == (0, 60, (3, 1))
    assert window.join(whole, start, [cache]).tobytes() == whole.tobytes()
    with pytest.raises(window.Unknown):
        window.windowed(whole[:size])
