"""The engine as a server: queue, cancellation, limits and faults; each fault ends one reply and harms no other."""

import asyncio
import gc
import itertools
import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from glasshead.errors import UserError
from glasshead.predict import gap
from glasshead.predict.batch import BLOCK, LEAST_CHUNK, TILE
from glasshead.predict.context import Context, DecodeFailed
from glasshead.predict.engine import EngineError, QueueFull
from glasshead.predict.generation import LocalGeneration
from glasshead.predict.governor import Governor
from glasshead.predict.local import MOST_SCORING
from glasshead.predict.mailbox import Mailbox
from glasshead.predict.pieces import gently
from glasshead.predict.queue import FairQueue
from glasshead.predict.reply import End, Reply
from glasshead.predict.rounds import Rounds
from glasshead.predict.sampling import Sampling

from .replies import WILD, read, settled
from .tiny import tiny

LONG = replace(WILD, max_tokens=400)
ENDLESS = replace(LONG, logit_bias=((2, -math.inf),))
PROMPT = tuple(range(100, 130))


async def test_a_reply_is_what_was_asked_for(start):
    engine = await start(k=7)
    made = await read(PROMPT, engine.generate(PROMPT, Sampling(temperature=0, max_tokens=5), 1))
    assert made.finish == "length"
    assert len(made.steps) == 5
    assert all(step.rank == 1 and len(step.top) == 7 and step.top[0].id == step.id for step in made.steps)


async def test_an_end_token_is_the_last_step(start, shallow_model):
    engine = await start()
    end = next(token for token in range(49152) if shallow_model.vocabulary.is_end(token))
    sampling = Sampling(logit_bias=((end, 100.0),))
    made = await read(PROMPT, engine.generate(PROMPT, sampling, 1))
    assert (made.finish, [step.id for step in made.steps]) == ("stop", [end])


async def test_a_stop_string_ends_the_reply_across_tokens(start, loaded):
    engine = await start(loaded)
    longer = replace(WILD, max_tokens=24)
    whole = await read(PROMPT, engine.generate(PROMPT, longer, 4))
    pieces = [loaded.vocabulary.piece(step.id) for step in whole.steps]
    at = next(i for i in range(3, 20) if pieces[i][-1:].isalpha() and pieces[i + 1][:1].isalpha())
    stop = (pieces[at][-1:] + pieces[at + 1][:1]).decode()
    first = next(i for i in range(len(pieces)) if stop.encode() in b"".join(pieces[: i + 1]))
    made = await read(PROMPT, engine.generate(PROMPT, replace(longer, stop=(stop,)), 4))
    assert (made.finish, len(made.steps)) == ("stop", first + 1)


async def test_a_full_context_ends_the_reply(start):
    engine = await start(n_ctx=128)
    prompt = tuple(range(100, 222))
    made = await read(prompt, engine.generate(prompt, LONG, 1))
    assert made.finish == "length"
    assert len(made.ids) == 128 + 1  # the last one drawn needs no place
    full = tuple(range(100, 228))
    assert len((await read(full, engine.generate(full, LONG, 1))).steps) == 1
    assert len(await engine.score(made.ids)) == 128


@pytest.mark.parametrize(
    ("prompt", "settings", "reason"),
    [
        ((), {}, "bad_request"),
        ((1, 49152), {}, "bad_token"),
        ((1, -1), {}, "bad_token"),
        (tuple(range(513)), {}, "prompt_too_long"),
        ((1,), {"seed": 2**53}, "bad_request"),
        ((1,), {"seed": -1}, "bad_request"),
        ((1,), {"first_step": -1}, "bad_request"),
    ],
)
async def test_what_cannot_be_done_is_said_at_once(start, prompt, settings, reason):
    engine = await start()
    with pytest.raises(EngineError) as caught:
        engine.generate(prompt, WILD, **({"seed": 1} | settings))
    assert caught.value.reason == reason
    with pytest.raises(UserError):
        engine.generate((1,), Sampling(temperature=math.nan), 1)


async def test_closing_stops_within_one_step_and_frees_the_stream(start, monkeypatch):
    decoded = itertools.count()
    decode = Context.decode
    monkeypatch.setattr(Context, "decode", lambda self, rows: (next(decoded), decode(self, rows))[1])
    engine = await start(max_running=1)
    running = engine.generate(PROMPT, LONG, 1)
    waiting = engine.generate(PROMPT, WILD, 2)
    await anext(running)
    before = next(decoded)
    await running.aclose()
    assert next(decoded) - before <= 1 + 1 + 1  # at most the step under way, and the newcomer's first chunk
    assert running.finish == "stopped"
    with pytest.raises(StopAsyncIteration):
        await anext(running)
    assert (await read(PROMPT, waiting)).finish == "length"


async def test_a_waiting_reply_knows_its_place_and_can_leave(start):
    engine = await start(max_running=1)
    first = engine.generate(PROMPT, LONG, 1, user="ann")
    await anext(first)
    ann, bob, eve = (engine.generate(PROMPT, WILD, 2, user=user) for user in ("ann", "bob", "eve"))
    ann_again = engine.generate(PROMPT, WILD, 2, user="ann")
    assert [g.place for g in (first, ann, bob, eve, ann_again)] == [0, 1, 2, 3, 4]
    await bob.aclose()
    assert bob.finish == "stopped"
    assert [g.place for g in (ann, eve, ann_again)] == [1, 2, 3]
    await first.aclose()
    await anext(eve)
    assert (ann.place, eve.place) == (0, 0)


async def test_limits_answer_and_are_lifted_again(start):
    engine = await start(max_running=1, max_waiting=2, max_per_user=2)
    running = engine.generate(PROMPT, LONG, 1, user="ann")
    await anext(running)
    second = engine.generate(PROMPT, WILD, 1, user="ann")
    with pytest.raises(QueueFull):
        engine.generate(PROMPT, WILD, 1, user="ann")
    engine.generate(PROMPT, WILD, 1, user="bob")  # dropped at once, so it leaves the queue
    gc.collect()
    await running.aclose()
    assert (await read(PROMPT, second)).finish == "length"
    assert (await read(PROMPT, engine.generate(PROMPT, WILD, 1, user="ann"))).finish == "length"


async def test_an_abandoned_reply_makes_room(start):
    engine = await start(max_running=1)
    abandoned = engine.generate(PROMPT, ENDLESS, 1)
    await anext(abandoned)
    del abandoned
    gc.collect()
    assert (await asyncio.wait_for(read(PROMPT, engine.generate(PROMPT, WILD, 2)), 60)).finish == "length"


@pytest.mark.parametrize("ended", [True, False])
def test_the_garbage_collector_may_drop_a_reply_at_any_moment(ended):
    """Also while this very thread looks at the queue."""
    loop = asyncio.new_event_loop()
    queue, woken = FairQueue(9, 9, 1), []
    queue.put(reply := Reply([1], Sampling(), 0, 0, "", lambda news: None))

    def collect():
        generation = LocalGeneration(queue, lambda: woken.append(True), loop)
        generation.attach(reply)
        if ended:
            generation.receive(End("error", EngineError("a_fault", "a fault")))
        with queue._lock:
            del generation

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert (reply.cancelled, queue.waiting, woken) == (not ended, [reply] if ended else [], [])


async def test_shutdown_ends_all_with_a_reason_and_keeps_what_was_made(start):
    engine = await start(max_running=8)
    replies = [engine.generate(PROMPT, LONG, seed) for seed in range(10)]
    reading = [asyncio.create_task(read(PROMPT, reply)) for reply in replies]
    scoring = asyncio.create_task(engine.score(tuple(range(100))))
    while not all(reply.timings.gen_us for reply in replies[:8]):
        await asyncio.sleep(0.005)  # a loop that spins would keep the interpreter from the engine
    await engine.aclose()
    made = await asyncio.gather(*reading)
    assert {(m.finish, m.error.reason) for m in made} == {("error", "engine_closed")}
    assert all(len(m.steps) >= 2 for m in made[:8])
    assert isinstance((await asyncio.gather(scoring, return_exceptions=True))[0], EngineError | list)
    with pytest.raises(EngineError):
        engine.generate(PROMPT, WILD, 1)
    with pytest.raises(EngineError):
        await engine.score(PROMPT)


async def test_nan_logits_end_one_reply_with_a_reason(start, monkeypatch):
    poisoned = 45
    row, decode, batch, done = Context.row, Context.decode, [], []

    def spy(self, rows):
        batch[:] = rows
        decode(self, rows)

    def poison(self, i):
        out = row(self, i).copy()
        if batch[i].stream == 1 and batch[i].position == poisoned and not done:
            done.append(True)
            out[5] = np.nan
        return out

    monkeypatch.setattr(Context, "decode", spy)
    monkeypatch.setattr(Context, "row", poison)
    engine = await start()
    sampling = replace(LONG, max_tokens=24)
    made = await asyncio.gather(*(read(PROMPT, engine.generate(PROMPT, sampling, seed)) for seed in range(3)))
    assert [m.error and m.error.reason for m in made] == [None, "bad_logits", None]
    assert len(made[1].steps) == poisoned - len(PROMPT) + 1
    assert [len(m.steps) for m in (made[0], made[2])] == [24, 24]


@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_a_failing_decode_ends_only_the_reply_that_fails(start, monkeypatch, phase):
    decode = Context.decode

    def fail(self, rows):
        place = (1, 41 if phase == "decode" else 8)
        if any((row.stream, row.position) == place for row in rows) and next(failures) < 2:
            raise DecodeFailed("out_of_kv", "llama_decode failed with code 1")
        decode(self, rows)

    failures = itertools.count(0 if phase == "decode" else 1)  # a shared step is tried again, each row alone
    engine = await start(cache_bytes=0)
    whole = await read(PROMPT, engine.generate(PROMPT, LONG, 0), at_most=16)
    await settled(engine)
    monkeypatch.setattr(Context, "decode", fail)
    prompts = [PROMPT, tuple(range(500, 530)), tuple(range(900, 930))]
    sampling = replace(LONG, max_tokens=16)
    made = await asyncio.gather(*(read(p, engine.generate(p, sampling, i)) for i, p in enumerate(prompts)))
    assert [m.error and m.error.reason for m in made] == [None, "out_of_kv", None]
    assert len(made[1].steps) == (41 - 30 + 1 if phase == "decode" else 0)
    assert made[0].hashes == whole.hashes


async def test_a_spilled_conversation_is_there_after_a_restart(start, tmp_path):
    before = await start(spill_folder=tmp_path)
    prompt = tuple(range(100, 190))
    made = await read(prompt, before.generate(prompt, WILD, 1))
    await before.aclose()
    after = await start(spill_folder=tmp_path)
    again = (*made.ids, 5, 6, 7)
    cached = (await read(again, after.generate(again, WILD, 1))).n_cached
    assert cached == len(made.ids) - 1


async def test_of_a_private_reply_nothing_is_kept(start, tmp_path):
    engine = await start(spill_folder=tmp_path)
    prompt = tuple(range(100, 190))
    await read(prompt, engine.generate(prompt, WILD, 1, private=True))
    assert (await read(prompt, engine.generate(prompt, WILD, 1, private=True))).n_cached == 0
    await engine.aclose()
    assert list(tmp_path.glob("*.kv")) == []


async def test_while_a_state_is_read_from_disk_others_go_on(start, tmp_path, monkeypatch):
    before = await start(spill_folder=tmp_path)
    prompt = tuple(range(500, 590))
    await read(prompt, before.generate(prompt, WILD, 1))
    await before.aclose()
    slow, fromfile = threading.Event(), np.fromfile
    monkeypatch.setattr(np, "fromfile", lambda *given: (slow.wait(60), fromfile(*given))[1])
    engine = await start(spill_folder=tmp_path)
    running = engine.generate(PROMPT, ENDLESS, 1)
    await anext(running)
    onward = (*prompt, 5, 6, 7)
    newcomer = engine.generate(onward, WILD, 1)
    for _ in range(12):
        await anext(running)
    assert (newcomer.place, newcomer.timings.gen_us, newcomer.n_cached) == (0, 0, 0)
    await running.aclose()
    slow.set()
    made = await read(onward, newcomer)
    assert (made.n_cached, made.finish) == (len(prompt), "length")


async def test_states_are_copied_one_at_a_time_between_steps(start, monkeypatch, tmp_path):
    events: list[str] = []

    def noted(name):
        do = getattr(Context, name)
        monkeypatch.setattr(Context, name, lambda self, *args: (events.append(name), do(self, *args))[1])

    engine = await start(tiny(tmp_path / "tiny.gguf"), max_running=6)
    prompts = [tuple(range(first, first + 30)) for first in (3, 43, 83)]
    ending = [engine.generate(prompt, replace(WILD, max_tokens=8), 1) for prompt in prompts]
    running = engine.generate(PROMPT, ENDLESS, 1)  # above them: it moves
    await anext(running)
    for name in ("decode", "snapshot"):
        noted(name)
    await asyncio.gather(*(read(prompt, reply) for prompt, reply in zip(prompts, ending, strict=True)))
    while events.count("snapshot") < len(prompts) + 1:
        await anext(running)
    assert all((a, b) != ("snapshot", "snapshot") for a, b in itertools.pairwise(events))
    await running.aclose()
    for prompt in prompts:
        again = await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=1), 1))
        assert again.n_cached == len(prompt) - 1


async def test_newcomers_share_what_another_is_just_computing(start):
    engine = await start()
    shared = tuple(range(100, 180))
    made = await asyncio.gather(
        *(read(p, engine.generate(p, WILD, 1)) for p in ((*shared, 7 * i, 8 * i, 9 * i) for i in range(1, 5)))
    )
    assert sorted(m.n_cached for m in made)[0] == 0
    assert all(m.n_cached >= len(shared) - 8 for m in made[1:])


async def test_a_long_newcomer_goes_in_chunks_between_steps(start, monkeypatch):
    batches: list[tuple[int, float]] = []
    decode = Context.decode

    def spy(self, rows):
        began = time.monotonic()
        decode(self, rows)
        batches.append((len(rows), time.monotonic() - began))

    monkeypatch.setattr(Context, "decode", spy)
    engine = await start(n_ctx=1024, max_running=2)
    running = engine.generate(PROMPT, ENDLESS, 1)
    await anext(running)
    prompt = tuple(range(100, 1000))
    newcomer = asyncio.create_task(read(prompt, engine.generate(prompt, replace(WILD, max_tokens=1), 2)))
    while not newcomer.done():
        await anext(running)
    await running.aclose()

    chunks = [i for i, (rows, _) in enumerate(batches) if rows >= BLOCK][1:]  # the first was the running one's own
    assert len(chunks) > 2
    assert all(b - a >= 2 for a, b in itertools.pairwise(chunks))  # a step of the running reply in between
    paces: dict[bool, float] = {}  # of tiles and of what is below: seconds a row of the last one
    left = len(prompt)
    for rows, seconds in (batches[i] for i in chunks):
        is_tile = rows >= TILE
        may_take = gap.FELT_S if left <= gap.LITTLE else gap.GAP_S
        assert rows <= max(8, may_take / paces.get(is_tile, 1e-9))
        paces[is_tile] = seconds / rows
        left -= rows
    assert len(paces) < len(chunks)  # some of a kind followed another


async def test_newcomers_take_turns_until_one_has_little_left_and_goes_on(start, no_time, batches):
    engine = await start(n_ctx=1024, max_running=3)
    running = engine.generate(PROMPT, ENDLESS, 1)
    await anext(running)
    batches.clear()
    ann, bob = (tuple(range(first, first + 2 * gap.LITTLE)) for first in (300, 600))
    one_token = replace(WILD, max_tokens=1)
    newcomers = [asyncio.create_task(read(ids, engine.generate(ids, one_token, 2))) for ids in (ann, bob)]
    while not all(newcomer.done() for newcomer in newcomers):
        await anext(running)
    await running.aclose()

    read_from = [rows[0].token for rows in batches if len(rows) >= BLOCK]  # of each chunk
    whose = ["ann" if token in ann else "bob" for token in read_from]
    goes_on, ends = read_from.index(ann[gap.LITTLE]), len(whose) - whose[::-1].index("ann")
    assert (set(whose[:goes_on:2]), set(whose[1:goes_on:2])) == ({"ann"}, {"bob"})
    assert set(whose[goes_on:ends]) == {"ann"}


@pytest.mark.parametrize(("steps", "at_once"), [(0, False), (10**6, True)])
async def test_a_brief_newcomer_is_read_at_once_where_that_takes_no_more_than_a_few_steps(
    start, monkeypatch, no_time, batches, steps, at_once
):
    monkeypatch.setattr(gap, "BRIEF_STEPS", steps)
    engine = await start(n_ctx=1024, max_running=2)
    running = engine.generate(PROMPT, ENDLESS, 1)
    await anext(running)
    prompts = tuple(range(300, 340)), tuple(range(400, 400 + 2 * gap.LITTLE))
    made = []
    for prompt in prompts:  # one is brief, one is not
        batches.clear()
        await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=1), 2))
        made.append(max(map(len, batches)))
    await running.aclose()
    assert [rows > LEAST_CHUNK for rows in made] == [at_once, False]


async def test_scoring_has_limits_that_answer(start):
    engine = await start()
    tokens = tuple(range(100, 110))
    users = ["ann", *[""] * (MOST_SCORING - 1)]
    scoring = [asyncio.create_task(engine.score(tokens, user=user)) for user in users]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="a text of yours"):
        await engine.score(tokens, user="ann")
    with pytest.raises(QueueFull, match="8 texts"):
        await engine.score(tokens, user="bob")
    await asyncio.gather(*scoring)
    assert len(await engine.score(tokens, user="ann")) == len(tokens) - 1


async def test_positions_that_need_not_be_scored_again_do_not_count_as_quick_ones(start, monkeypatch):
    measured: list[int] = []
    monkeypatch.setattr(Rounds, "_measure", lambda self, kind, depth, rows, began: measured.append(rows))
    engine = await start()
    tokens = tuple(range(100, 300))
    await engine.score(tokens, first=190)
    assert sum(measured) == len(tokens) - 1
    await engine.score(tokens, first=190)
    assert sum(measured) <= len(tokens) - 1 + 16


async def test_where_nothing_runs_scoring_tells_the_governor_how_long_whole_chunks_take(start, monkeypatch):
    told = []

    def observe(self, key, seconds):
        told.append(key)
        return self.threads

    monkeypatch.setattr(Governor, "observe", observe)
    engine = await start()
    await engine.score(tuple(range(100, 300)), first=130)
    assert told == [("score", 0), ("score", 0), ("score", 1)]  # 60, 60; 8 to the border; 60, and what is left


async def test_forgetting_leaves_nothing_of_what_was_and_what_runs(start, tmp_path):
    engine = await start(spill_folder=tmp_path, cache_bytes=1_500_000)  # holds one of them; the other is on disk
    earlier = [tuple(range(100 * i, 100 * i + 40)) for i in (1, 2)]
    for prompt in earlier:
        await read(prompt, engine.generate(prompt, WILD, 1))
    running_prompt = tuple(range(500, 540))
    running = engine.generate(running_prompt, LONG, 1)
    await anext(running)
    await engine.forget()
    assert list(tmp_path.glob("*.kv")) == []
    await running.aclose()
    for prompt in (*earlier, running_prompt):
        assert (await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=1), 1))).n_cached == 0


async def test_of_other_sessions_what_was_kept_stays(start, tmp_path):
    engine = await start(spill_folder=tmp_path, cache_bytes=1_500_000)  # of the four, most are on disk
    prompts = {of: tuple(range(first, first + 40)) for of, first in ((1, 100), (2, 200), (3, 300), (None, 400))}
    for of, prompt in prompts.items():
        await read(prompt, engine.generate(prompt, WILD, 1, session=of))
    running = {of: (tuple(range(600 + 100 * of, 640 + 100 * of)), []) for of in (1, 2)}
    for of, (prompt, made) in running.items():
        made.append(engine.generate(prompt, LONG, 1, session=of))
        await anext(made[0])
    await engine.forget([1, 3])
    for _, made in running.values():
        await made[0].aclose()
    await settled(engine)
    brief = replace(WILD, max_tokens=1)
    cached = {}
    for of, prompt in (*prompts.items(), *((10 * of, prompt) for of, (prompt, _) in running.items())):
        cached[of] = (await read(prompt, engine.generate(prompt, brief, 1, private=True))).n_cached > 0
    assert cached == {1: False, 2: True, 3: False, None: False, 10: False, 20: True}


async def test_replies_go_on_while_what_is_forgotten_comes_off_the_disk(start, tmp_path, monkeypatch):
    written = threading.Event()

    def held(size, hurry):
        written.wait()
        yield from gently(size, hurry)

    monkeypatch.setattr("glasshead.predict.spill.gently", held)
    engine = await start(spill_folder=tmp_path, cache_bytes=0)
    await read(PROMPT, engine.generate(PROMPT, WILD, 1))
    await settled(engine)
    forgetting = asyncio.create_task(engine.forget())
    assert (await read(PROMPT, engine.generate(PROMPT, WILD, 1, private=True))).n_cached == 0
    assert not forgetting.done()
    written.set()
    await forgetting
    assert list(tmp_path.iterdir()) == []


async def test_steps_that_follow_at_once_are_sent_together_and_what_is_urgent_takes_them_along():
    got: list[int] = []
    mailbox = Mailbox(asyncio.get_running_loop())
    arrived = asyncio.Event()

    def note(number: int) -> None:
        got.append(number)
        arrived.set()

    mailbox.post(note, 1, urgent=True)
    mailbox.send(hold=3600)
    await arrived.wait()
    for number in (2, 3):
        mailbox.post(note, number, urgent=False)
        mailbox.send(hold=3600)
    arrived.clear()
    assert (got, len(mailbox._posted)) == ([1], 2)
    mailbox.post(note, 4)
    mailbox.send(hold=3600)
    await arrived.wait()
    assert got == [1, 2, 3, 4]
    mailbox.post(note, 5, urgent=False)
    arrived.clear()
    mailbox.send()
    await arrived.wait()
    mailbox.close()
    assert got == [1, 2, 3, 4, 5]


async def test_of_what_waits_while_all_is_forgotten_nothing_is_kept(start):
    engine = await start(max_running=1)
    running = engine.generate(PROMPT, LONG, 1)
    await anext(running)
    prompt = tuple(range(500, 540))
    waiting = engine.generate(prompt, replace(WILD, max_tokens=4), 1)
    scoring = asyncio.create_task(engine.score(tuple(range(100, 200)), first=50))
    await asyncio.sleep(0)
    await engine.forget()
    await running.aclose()
    await read(prompt, waiting)
    await scoring
    assert (await read(prompt, engine.generate(prompt, replace(WILD, max_tokens=1), 1))).n_cached == 0
    assert engine._worker.rounds._scorer._held == []
