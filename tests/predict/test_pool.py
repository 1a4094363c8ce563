"""Several models in one memory budget."""

import asyncio
from dataclasses import replace

import pytest
from glasshead.predict.engine import EngineError
from glasshead.predict.local import EngineSettings
from glasshead.predict.pool import ModelChoice, ModelPool, footprint

from .replies import WILD, read

PROMPT = tuple(range(100, 130))


@pytest.fixture
def choice(model_path) -> ModelChoice:
    return ModelChoice(model_path, EngineSettings(n_ctx=256, max_running=1, threads=2))


@pytest.fixture
async def pool(choice):
    two_fit = 2 * footprint(choice) + 1000
    pool = ModelPool({name: choice for name in ("ann", "bob", "eve")}, two_fit)
    yield pool
    await pool.aclose()


def test_the_footprint_is_weights_and_kv(choice):
    kv = 2 * 256 * 30 * 2 * 3 * 64 * 2  # streams, positions, layers, K and V, heads of 64, f16
    assert footprint(choice) - kv == pytest.approx(choice.path.stat().st_size, rel=0.03)


async def test_the_longest_unused_makes_room(pool):
    ann, bob = await pool.get("ann"), await pool.get("bob")
    assert await pool.get("ann") is ann
    await pool.get("eve")
    with pytest.raises(EngineError, match="not running"):
        bob.generate(PROMPT, WILD, 1)
    assert await pool.get("ann") is ann
    assert (await read(PROMPT, ann.generate(PROMPT, WILD, 1))).finish == "length"


async def test_models_at_work_stay(pool):
    ann, bob = await pool.get("ann"), await pool.get("bob")
    long = replace(WILD, max_tokens=200)
    running = [engine.generate(PROMPT, long, 1) for engine in (ann, bob)]
    await asyncio.gather(*(anext(reply) for reply in running))
    with pytest.raises(EngineError, match="at work"):
        await pool.get("eve")
    await asyncio.gather(*(reply.aclose() for reply in running))
    await pool.get("eve")


async def test_unloading_ends_its_replies_with_a_reason_and_no_others(pool):
    ann, bob = await pool.get("ann"), await pool.get("bob")
    mine, other = (asyncio.create_task(read(PROMPT, engine.generate(PROMPT, WILD, 1))) for engine in (ann, bob))
    await asyncio.sleep(0)
    await pool.unload("ann")
    assert (await mine).error.reason == "model_unloaded"
    assert (await other).finish == "length"


async def test_an_unknown_model_and_one_too_large_are_refused(pool, choice):
    with pytest.raises(EngineError, match="there are ann, bob, eve"):
        await pool.get("joe")
    with pytest.raises(EngineError, match="of the 50 MB"):
        await ModelPool({"ann": choice}, 50 << 20).get("ann")
