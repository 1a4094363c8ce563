"""What explaining costs, alone and beside running replies: `python benchmarks/explain.py MODEL.gguf`.

Prints one line a figure. The slow-down runs alternate between quiet and busy rounds, so that a drifting machine
weighs on both alike.
"""

import argparse
import asyncio
import datetime
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from glasshead.explain.explanation import explain
from glasshead.explain.page import page
from glasshead.explain.picture_process import PictureProcess
from glasshead.explain.sheet import sheet
from glasshead.predict.local import EngineSettings, LocalEngine
from glasshead.predict.message import Message
from glasshead.predict.model import Model
from glasshead.predict.prompt import Prompt
from glasshead.predict.render import Renderer
from glasshead.predict.sampling import Sampling
from glasshead.store import Store

TOKENS = 500
STORY = "Tell me a long story about a lighthouse, a storm and a cat."


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="quiet and busy rounds of 8 replies")
    arguments = parser.parse_args()
    model = Model.load(arguments.model)
    engine = LocalEngine(model, EngineSettings(n_ctx=1024, max_running=8, max_per_user=8))
    renderer = Renderer(model.vocabulary, model.template, date=datetime.date.today())
    prompt = renderer.render((Message("user", STORY),), budget=400)
    pictures = PictureProcess()
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "log.db")
        try:
            turn = await logged_reply(store, engine, model, prompt)
            await figures(store, turn, pictures)
            await slow_down(store, turn, pictures, engine, prompt, arguments.rounds)
        finally:
            await pictures.aclose()
            await engine.aclose()
            await store.close()


async def logged_reply(store: Store, engine: LocalEngine, model: Model, prompt: Prompt) -> int:
    """One turn of 500 tokens: end-of-turn tokens are biased away."""
    await store.save_vocabulary(engine.model, model.vocabulary.pieces())
    session = await store.start_session()
    question = await store.append_message(session, "user", STORY)
    ends = tuple((token, -1000.0) for token in range(engine.model.n_vocab) if model.vocabulary.is_end(token))
    sampling = Sampling(max_tokens=TOKENS, logit_bias=ends)
    turn = await store.open_turn(
        session=session,
        prompt_message=question,
        prompt=prompt,
        model=engine.model,
        sampling=sampling,
        seed=1,
        k=10,
    )
    generation = engine.generate(prompt.ids, sampling, 1)
    steps = tuple([step async for step in generation])
    await store.finish_turn(
        turn,
        steps=steps,
        schedule=generation.schedule,
        reply=model.vocabulary.detokenise(step.id for step in steps).decode("utf-8", "replace"),
        reasoning="",
        finish="length",
        status="ok",
        n_cached=0,
        timings=generation.timings,
    )
    return turn


async def figures(store: Store, number: int, pictures: PictureProcess) -> None:
    async def open_data() -> None:
        explanation = explain(await store.turn(number))
        assert explanation.groups and explanation.whole.tokens == TOKENS
        explanation.step(0)

    explanation = explain(await store.turn(number))
    await pictures.warm_up()
    step = iter(range(10**9))

    async def draw() -> None:
        await pictures.draw(sheet(explanation, next(step) * 7 % TOKENS))

    await timed("open 500 tokens from the log, data", open_data, 60)
    await timed("picture, warm, another process", draw, 60)
    started = time.perf_counter()
    size = len(page(explanation).encode())
    print(f"page of 500 tokens: {size:,} bytes, written in {1000 * (time.perf_counter() - started):.0f} ms")


async def timed(name: str, work: Callable[[], Awaitable[None]], count: int) -> None:
    await work()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        await work()
        times.append(1000 * (time.perf_counter() - started))
    p95 = statistics.quantiles(times, n=20)[-1]
    print(f"{name}: median {statistics.median(times):.1f} ms, p95 {p95:.1f} ms")


async def slow_down(
    store: Store, number: int, pictures: PictureProcess, engine: LocalEngine, prompt: Prompt, rounds: int
) -> None:
    """Eight replies, quiet and beside explaining; seconds for all eight."""

    async def eight() -> float:
        async def one(seed: int) -> None:
            async for _ in engine.generate(prompt.ids, Sampling(max_tokens=120), seed, user=str(seed)):
                pass

        started = time.perf_counter()
        await asyncio.gather(*(one(seed) for seed in range(8)))
        return time.perf_counter() - started

    async def hundred_opened() -> None:
        for _ in range(100):
            explain(await store.turn(number)).step(0)
            await asyncio.sleep(0.05)

    async def twenty_panels_a_minute() -> None:
        while True:
            await pictures.draw(sheet(explain(await store.turn(number)), 100))
            await asyncio.sleep(3)

    await eight()
    for name, beside in (("100 opened", hundred_opened), ("20 pictures a minute", twenty_panels_a_minute)):
        quiet, busy = [], []
        for _ in range(rounds):
            quiet.append(await eight())
            working = asyncio.create_task(beside())
            busy.append(await eight())
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        slower = statistics.median(busy) / statistics.median(quiet) - 1
        print(
            f"8 replies beside {name}: {100 * slower:+.1f} % "
            f"(quiet {statistics.median(quiet):.1f} s, beside it {statistics.median(busy):.1f} s)"
        )


if __name__ == "__main__":
    asyncio.run(main())
