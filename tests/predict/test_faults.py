"""Faults as they happen: each ends the reply it befalls with a named reason, and harms no other."""

import asyncio
import math
import resource
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from glasshead.predict import local, replay, rounds
from glasshead.predict.context import Context, DecodeFailed, Place
from glasshead.predict.draw import draw
from glasshead.predict.engine import EngineError
from glasshead.predict.halt import Halt
from glasshead.predict.logits import hash_row
from glasshead.predict.model import Model
from glasshead.predict.prefix import PrefixCache
from glasshead.predict.sampler import sample
from glasshead.predict.worker import MOST_FAULTS

from .replies import WILD, read, settled
from .tiny import tiny

POISON = 200
SOUND = replace(WILD, logit_bias=((POISON, -math.inf),))
BRIEF = replace(SOUND, max_tokens=12)
GOOD = tuple(range(3, 33))
BAD = (*range(3, 40), POISON, *range(50, 90))


@pytest.mark.parametrize("architecture", ["gpt-oss", "qwen2moe", "rwkv7"])
async def test_a_weight_of_nan_harms_only_the_reply_that_meets_it(architecture, start, tmp_path):
    # The output has weights of its own: only what was given the token is spoilt, but all of that, for good.
    path = tiny(tmp_path / "tiny.gguf", architecture, poison=POISON)
    engine = await start(path, spill_folder=tmp_path / "kv")
    before = await read(GOOD, engine.generate(GOOD, BRIEF, 1))
    beside = asyncio.create_task(read(GOOD, engine.generate(GOOD, replace(SOUND, max_tokens=80), 2)))
    spoilt = await read(BAD, engine.generate(BAD, BRIEF, 3))
    assert (spoilt.finish, spoilt.error.reason, spoilt.steps) == ("error", "bad_logits", ())
    assert (await beside).error is None
    again = await read(GOOD, engine.generate(GOOD, BRIEF, 1))
    assert (again.error, again.hashes) == (None, before.hashes)
    with pytest.raises(EngineError, match="NaN"):
        await engine.score(BAD)
    assert len(await engine.score(GOOD)) == len(GOOD) - 1


def test_a_decode_that_llama_cpp_refuses_leaves_the_streams_as_they_were(tmp_path):
    with Model.load(tiny(tmp_path / "tiny.gguf")) as model:
        context = Context(model, n_ctx=256, streams=2, threads=1, n_batch=64)
        prompts = [[Place(token, i, stream, i == 29) for i, token in enumerate(GOOD)] for stream in (0, 1)]
        for prompt in prompts:
            context.decode(prompt)
        onward = Place(5, 30, 1, True)
        context._length[0] = 7  # less than there is: llama.cpp refuses to write over it
        with pytest.raises(DecodeFailed) as refused:
            context.decode([Place(5, 7, 0, True), onward])
        assert refused.value.reason == "decode_failed"
        assert (context.length(0), context.length(1)) == (7, 30)
        context.decode([onward])
        row = hash_row(context.row(0))
        context.trim(1, 30)
        context.decode([onward])
        assert hash_row(context.row(0)) == row
        context.close()


def halted_where(monkeypatch, is_due):
    """Every decode for which ``is_due(context, rows)`` holds is broken off half way."""
    halt, decode = Halt(), Context.decode

    def halted(self, rows):
        if is_due(self, rows):
            halt.call()
        try:
            decode(self, rows)
        finally:
            halt._flag.value = b""

    monkeypatch.setattr(local, "Context", partial(Context, halt=halt))
    monkeypatch.setattr(Context, "decode", halted)


@pytest.mark.parametrize("architecture", ["rwkv7", "jamba"])
async def test_a_failed_step_costs_no_other_reply_its_state(architecture, start, monkeypatch, tmp_path):
    """What llama.cpp leaves half done, such a model cannot take back: it is computed again, with the same bits."""
    failing = [
        (1, 35, 3),
        (1, 35, 1),
        (0, 0, 2),
    ]  # a shared step, its culprit alone, one the others share

    def is_due(_, rows):
        stream, first, together = failing[0] if failing else (0, 0, 0)
        due = len(rows) == together and any(row.stream == stream and row.position >= first for row in rows)
        if due:
            failing.pop(0)
        return due

    halted_where(monkeypatch, is_due)
    path = tiny(tmp_path / "tiny.gguf", architecture)
    engine = await start(path)
    prompts = [tuple(range(first, first + 30)) for first in (3, 50, 90)]
    made = await asyncio.gather(*(read(p, engine.generate(p, BRIEF, i)) for i, p in enumerate(prompts)))
    assert not failing
    assert [reply.error and reply.error.reason for reply in made] == [None, "decode_failed", None]
    assert [len(reply.steps) for reply in made] == [12, 6, 12]
    with Model.load(path) as model:
        for reply in made:
            rows = replay.follow(model, reply.ids, 30, reply.schedule, threads=1)
            assert [hash_row(row) for _, row in rows] == reply.hashes


async def test_replies_go_on_while_the_state_of_another_is_computed_again(start, monkeypatch, tmp_path):
    failing, done = [True], []

    def is_due(context, rows):
        due = bool(failing) and len(rows) == 3 and rows[0].position > 320
        if due:
            failing.clear()
        done.append((context, len(rows)))
        return due

    halted_where(monkeypatch, is_due)
    path = tiny(tmp_path / "tiny.gguf", "rwkv7")
    engine = await start(path)
    prompts = [tuple(3 + (first + i) % 190 for i in range(300)) for first in (3, 50, 90)]
    longer = replace(SOUND, max_tokens=60)
    made = await asyncio.gather(*(read(p, engine.generate(p, longer, i)) for i, p in enumerate(prompts)))
    assert not failing and [reply.error for reply in made] == [None] * 3
    of_engine = done[0][0]
    pieces = [n for n, (context, _) in enumerate(done) if context is not of_engine]
    assert max(done[n][1] for n in pieces) < 128
    second = next(n for n in pieces if done[n][0] is not done[pieces[0]][0])
    between = [n for n in range(second, pieces[-1]) if done[n][0] is of_engine]
    assert len(between) > 30, "one that is there again makes a step after each piece of the others"
    with Model.load(path) as model:
        for reply in made:
            rows = replay.follow(model, reply.ids, 300, reply.schedule, threads=1)
            assert [hash_row(row) for _, row in rows] == reply.hashes


@contextmanager
def no_file_above(size: int):
    """The operating system refuses to let a file grow further, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_costs_the_cache_and_nothing_else(start, tmp_path: Path):
    folder = tmp_path / "kv"
    engine = await start(tiny(tmp_path / "tiny.gguf"), spill_folder=folder, cache_bytes=30_000)
    prompts = [tuple(range(3 + 40 * n, 43 + 40 * n)) for n in range(5)]
    with no_file_above(4096):
        made = [await read(prompt, engine.generate(prompt, BRIEF, 1)) for prompt in prompts]
        again = [await read(prompt, engine.generate(prompt, BRIEF, 1)) for prompt in prompts]
        assert [reply.error for reply in (*made, *again)] == [None] * 10
        assert [reply.hashes for reply in again] == [reply.hashes for reply in made]
        assert 0 in [reply.n_cached for reply in again]
        await engine.aclose()
        assert list(folder.iterdir()) == []


def unforeseen(*_, **__):
    raise RuntimeError("unforeseen")


def failing_once(call):
    faults = iter([RuntimeError("unforeseen")])

    def fails(*args, **options):
        for fault in faults:
            raise fault
        return call(*args, **options)

    return fails


FAULTS = [(PrefixCache, "find"), (Context, "snapshot"), (Context, "trim"), (Context, "decode")]


@pytest.mark.parametrize(("what", "name"), FAULTS)
async def test_after_a_fault_of_our_own_the_next_reply_finds_an_engine_made_anew(start, monkeypatch, what, name):
    engine = await start(max_running=2, n_ctx=256)
    before = await read(GOOD, engine.generate(GOOD, BRIEF, 1))
    await settled(engine)
    # A snapshot is made when one ends: another has to be running then.
    wanted = (BRIEF, replace(SOUND, max_tokens=200)) if name == "snapshot" else (WILD, WILD)
    with monkeypatch.context() as broken:
        replies = [engine.generate(GOOD, sampling, n) for n, sampling in enumerate(wanted)]
        scoring = asyncio.create_task(engine.score(GOOD * 6))
        broken.setattr(what, name, failing_once(getattr(what, name)))
        async with asyncio.timeout(20):
            made = await asyncio.gather(*(read(GOOD, reply) for reply in replies))
        assert {reply.error and reply.error.reason for reply in made} <= {"engine_failed", None}
        failed = [reply.error for reply in made if reply.error]
        assert failed and "unforeseen" in str(failed[0])
    await asyncio.gather(scoring, return_exceptions=True)
    assert engine.trouble.startswith("failed at") and "RuntimeError: unforeseen" in engine.trouble
    again = await read(GOOD, engine.generate(GOOD, BRIEF, 1))
    assert (again.error, again.hashes) == (None, before.hashes)
    assert len(await engine.score(GOOD)) == len(GOOD) - 1


async def test_an_engine_that_fails_again_and_again_stays_off_and_says_so(start, monkeypatch, tmp_path):
    close, closing = PrefixCache.close, threading.Event()

    def slow(self):
        if faults == MOST_FAULTS:
            closing.wait()
        close(self)

    monkeypatch.setattr(PrefixCache, "find", unforeseen)
    monkeypatch.setattr(PrefixCache, "close", slow)
    engine = await start(tiny(tmp_path / "tiny.gguf"), max_running=1)
    async with asyncio.timeout(20):
        for faults in range(1, MOST_FAULTS + 1):
            replies = [engine.generate(GOOD, BRIEF, n) for n in range(1 if faults < MOST_FAULTS else 3)]
            made = await asyncio.gather(*(read(GOOD, reply) for reply in replies))
            assert {(reply.finish, reply.error.reason) for reply in made} == {("error", "engine_failed")}
        assert engine.trouble.startswith("off since")
        with pytest.raises(EngineError, match=r"not running: it failed 3 times .* start the program anew"):
            engine.generate(GOOD, BRIEF, 1)  # though its thread still writes
        with pytest.raises(EngineError, match="not running"):
            await engine.score(GOOD)
        forgetting = asyncio.create_task(engine.forget())
        await asyncio.sleep(0.01)
        assert not forgetting.done(), "what is being written then is not left on the disk"
        closing.set()
        await forgetting


async def test_what_cannot_be_forgotten_for_a_fault_is_forgotten_by_the_next_engine(start, monkeypatch, tmp_path):
    engine = await start(tiny(tmp_path / "tiny.gguf"), spill_folder=tmp_path / "kv")
    await read(GOOD, engine.generate(GOOD, BRIEF, 1))
    clear, failures = PrefixCache.clear, iter([1, 2])
    monkeypatch.setattr(
        PrefixCache, "clear", lambda self, of: unforeseen() if next(failures, 0) else clear(self, of)
    )
    async with asyncio.timeout(20):
        await engine.forget()
    assert list((tmp_path / "kv").iterdir()) == []
    assert (await read(GOOD, engine.generate(GOOD, BRIEF, 1))).n_cached == 0


async def test_a_token_that_cannot_be_drawn_ends_its_reply_alone(start, monkeypatch, tmp_path):
    monkeypatch.setattr(rounds, "sample", lambda *args, **kw: unforeseen() if args[3] == u else sample(*args, **kw))
    u = draw(2, 3)
    engine = await start(tiny(tmp_path / "tiny.gguf"))
    made = await asyncio.gather(*(read(GOOD, engine.generate(GOOD, BRIEF, seed)) for seed in (1, 2)))
    assert [reply.error and reply.error.reason for reply in made] == [None, "draw_failed"]
    assert (len(made[1].steps), engine.trouble) == (3, None)


async def test_a_state_that_llama_cpp_does_not_take_hides_no_other(start, tmp_path: Path):
    engine = await start(tiny(tmp_path / "tiny.gguf"))
    bad, good, newcomer = ((*GOOD, *range(first, first + n)) for first, n in ((40, 1), (50, 9), (60, 4)))
    for prompt in (good, bad):
        await read(prompt, engine.generate(prompt, replace(BRIEF, max_tokens=1), 1))
    await settled(engine)
    shorter = engine._worker.rounds._cache._in_memory[bad]  # which is looked at first
    shorter.data[:] = 0
    assert (await read(newcomer, engine.generate(newcomer, BRIEF, 1))).n_cached == len(GOOD)


async def test_a_spilled_file_of_another_layout_is_only_a_loss_of_time(start, tmp_path: Path):
    """Of an engine with fewer streams: llama.cpp would not take its states, so it is not even looked at."""
    path = tiny(tmp_path / "tiny.gguf")
    before = await start(path, max_running=2, spill_folder=tmp_path / "kv")
    made = await read(GOOD, before.generate(GOOD, BRIEF, 1))
    await before.aclose()
    after = await start(path, max_running=5, spill_folder=tmp_path / "kv")
    assert not after._worker.rounds._cache._on_disk
    again = await read(GOOD, after.generate(GOOD, BRIEF, 1))
    assert (again.error, again.hashes) == (None, made.hashes)
