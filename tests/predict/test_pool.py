"""Several models in one memory budget."""

import asyncio
import threading
from dataclasses import replace

import pytest
from glasshead.predict import pool as pool_module
from glasshead.predict.engine import EngineError
from glasshead.predict.local import EngineSettings
from glasshead.predict.pool import ModelChoice, ModelPool, footprint
from glasshead.predict.spill import Spill

from .replies import WILD, read

PROMPT = tuple(range(100, 130))


@pytest.fixture
def choice(shallow_path) -> ModelChoice:
    return ModelChoice(shallow_path, EngineSettings(n_ctx=256, max_running=1, threads=2))


@pytest.fixture
async def pool(choice):
    two_fit = 2 * footprint(choice) + 1000
    pool = ModelPool({name: choice for name in ("ann", "bob", "eve")}, two_fit)
    yield pool
    await pool.aclose()


def test_the_footprint_is_weights_and_kv(choice, model_path):
    whole = replace(choice, path=model_path)
    kv = 2 * 256 * 30 * 2 * 3 * 64 * 2  # streams, positions, layers, K and V, heads of 64, f16
    assert footprint(whole) - kv == pytest.approx(model_path.stat().st_size, rel=0.03)


async def made_by(pool, name, sampling=WILD):
    async with pool.use(name) as engine:
        return await read(PROMPT, engine.generate(PROMPT, sampling, 1))


async def test_the_longest_unused_makes_room(pool):
    async with pool.use("ann") as ann, pool.use("bob") as bob:
        pass
    async with pool.use("ann") as again:
        assert again is ann
    async with pool.use("eve"):
        with pytest.raises(EngineError, match="not running"):
            bob.generate(PROMPT, WILD, 1)
        async with pool.use("ann") as again:
            assert again is ann
    assert (await made_by(pool, "ann")).finish == "length"


async def test_models_in_use_stay_also_before_and_after_their_replies(pool):
    async with pool.use("ann") as ann, pool.use("bob"):
        for _ in range(2):
            with pytest.raises(EngineError, match="at work"):
                async with pool.use("eve"):
                    pass
            assert (await read(PROMPT, ann.generate(PROMPT, WILD, 1))).finish == "length"
    async with pool.use("eve"):
        pass


async def test_unloading_ends_its_replies_with_a_reason_and_no_others(pool):
    begun = asyncio.Event()

    async def told(name):
        async with pool.use(name) as engine:
            reply = engine.generate(PROMPT, replace(WILD, max_tokens=200), 1)
            await anext(reply)
            begun.set()
            made = await read(PROMPT, reply)
            return made.error, engine.vocabulary.detokenise(step.id for step in made.steps)

    mine = asyncio.create_task(told("ann"))
    await begun.wait()
    other = asyncio.create_task(made_by(pool, "bob"))
    await asyncio.sleep(0)
    await pool.unload("ann")
    error, _ = await mine
    assert error.reason == "model_unloaded"
    assert (await other).finish == "length"


async def test_one_that_is_loaded_does_not_wait_while_another_is_being_loaded(pool, monkeypatch):
    async with pool.use("ann"):
        pass
    go_on, load = threading.Event(), pool_module.load_model
    monkeypatch.setattr(pool_module, "load_model", lambda *args: go_on.wait() and load(*args))
    loading = asyncio.create_task(made_by(pool, "bob"))
    while not pool._lock.locked():
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(20):
            assert (await made_by(pool, "ann")).finish == "length"
        assert not loading.done()
    finally:
        go_on.set()
    assert (await loading).finish == "length"


async def test_what_is_forgotten_while_a_model_is_unloaded_is_on_the_disk_before(choice, tmp_path, monkeypatch):
    begun, read_to_its_end = asyncio.Event(), asyncio.Event()
    settings = replace(choice.settings, spill_folder=tmp_path)
    pool = ModelPool({"ann": replace(choice, settings=settings)}, 10**9)

    async def reading():
        async with pool.use("ann") as engine:
            await read(PROMPT, engine.generate(PROMPT, WILD, 1))
            begun.set()
            await read_to_its_end.wait()

    kept = threading.Event()
    write = Spill._write
    monkeypatch.setattr(Spill, "_write", lambda *args: kept.wait() and write(*args))
    tasks = [asyncio.create_task(reading())]
    await begun.wait()
    tasks.append(asyncio.create_task(pool.unload("ann")))
    while pool._loaded:
        await asyncio.sleep(0)
    forgetting = asyncio.create_task(pool.forget())
    await asyncio.sleep(0.05)
    too_soon = forgetting.done()
    kept.set()
    await forgetting
    assert not too_soon, "what is being written then would stay on the disk"
    read_to_its_end.set()
    await asyncio.gather(*tasks)


async def test_a_model_too_large_takes_no_others_place(pool, choice):
    async with pool.use("ann") as ann:
        pass
    large = replace(choice.settings, n_ctx=8192, max_running=64)
    pool._choices = {**pool._choices, "big": replace(choice, settings=large)}
    with pytest.raises(EngineError, match="big takes"):
        await made_by(pool, "big")
    async with pool.use("ann") as again:
        assert again is ann


async def test_an_unknown_model_and_one_too_large_are_refused(pool, choice):
    with pytest.raises(EngineError, match="there are ann, bob, eve"):
        await made_by(pool, "joe")
    with pytest.raises(EngineError, match="of the 30 MB"):
        await made_by(ModelPool({"ann": choice}, 30 << 20), "ann")
