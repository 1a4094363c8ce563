"""What explaining costs, alone and beside running replies: `python -m benchmarks.explain [MODEL.gguf]`.

Writes ``benchmarks/results/explain.md`` and ``explain.svg``. The slow-down is read from windows of one long run of
eight replies: each busy window is set against the quiet ones around it, so that a drifting machine weighs on both;
and in a busy window the work comes several times as often as is asked for, and what it costs is divided again, so
that the cost stands out of the noise.
"""

import argparse
import asyncio
import datetime
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from glasshead.explain.explanation import explain
from glasshead.explain.json import explanation_json
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
from glasshead.store.codec import encode
from glasshead.store.traces import PART
from playwright.async_api import async_playwright

from .engine import DEFAULT_MODEL, RESULTS, ROOT

TOKENS = 500
STORY = "Tell me a long story about a lighthouse, a storm and a cat."
USABLE = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
"""Milliseconds from the start of loading until the page's script has run."""
PAGE = 4096
WINDOW = 3.0
PAIRS = 8
"""Busy windows of each kind."""
CORE_SHARE = 18.0
"""Milliseconds of processor time that 100 times a minute are 3 % of one core."""


@dataclass(frozen=True)
class Figure:
    """A number beside the one to reach."""

    what: str
    value: float
    unit: str
    limit: float
    detail: str = ""

    @property
    def reached(self) -> bool:
        return self.value <= self.limit


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=DEFAULT_MODEL)
    path = parser.parse_args().model
    load = os.getloadavg()[0]
    model = Model.load(path)
    engine = LocalEngine(model, EngineSettings(n_ctx=2048, max_running=8))
    renderer = Renderer(model.vocabulary, model.template, date=datetime.date.today())
    prompt = renderer.render((Message("user", STORY),), budget=400)
    ends = tuple((token, -1000.0) for token in range(engine.model.n_vocab) if model.vocabulary.is_end(token))
    endless = Sampling(max_tokens=TOKENS, logit_bias=ends)
    pictures = PictureProcess()
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "log.db")
        try:
            turn = await logged_reply(store, engine, model, prompt, endless)
            gc.collect()
            gc.freeze()  # as the bot does once it has started
            bench = Bench(store, turn, pictures, engine, prompt, endless)
            figures = [await oracle(bench, path, Path(folder)), await disk(bench), *await alone(bench)]
            figures += [*await html(bench, Path(folder)), await beside_four(bench), *await slow_down(bench)]
        finally:
            await pictures.aclose()
            await engine.aclose()
            await store.close()
    text = table(figures, path, load)
    print(text)
    (RESULTS / "explain.md").write_text(text)
    (RESULTS / "explain.svg").write_text(chart(figures))


@dataclass(frozen=True)
class Bench:
    """What the measurements run on."""

    store: Store
    turn: int
    pictures: PictureProcess
    engine: LocalEngine
    prompt: Prompt
    sampling: Sampling

    async def open(self) -> None:
        """The data of an explanation, from the log."""
        explanation = explain(await self.store.turn(self.turn))
        assert explanation.groups and explanation.whole.tokens == TOKENS
        explanation.step(0)

    async def panel(self, step: int) -> None:
        """What a first panel needs: the data, and its picture."""
        explanation = await asyncio.to_thread(explain, await self.store.turn(self.turn))
        await self.pictures.draw(await asyncio.to_thread(sheet, explanation, step))


async def logged_reply(store: Store, engine: LocalEngine, model: Model, prompt: Prompt, sampling: Sampling) -> int:
    """One turn of 500 tokens: end-of-turn tokens are biased away."""
    await store.save_vocabulary(engine.model, model.vocabulary.pieces())
    session = await store.start_session()
    question = await store.append_message(session, "user", STORY)
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


async def oracle(bench: Bench, model: Path, folder: Path) -> Figure:
    """What the record says against an independent program that follows its schedule."""
    record = folder / "turn.json"
    record.write_text(json.dumps(explanation_json(explain(await bench.store.turn(bench.turn))), allow_nan=False))
    command = [sys.executable, str(ROOT / "tests" / "oracle.py"), str(model), str(record)]
    told = await asyncio.to_thread(subprocess.check_output, command, stderr=subprocess.DEVNULL, text=True)
    report = json.loads(told)
    worst = 1.0 if report["wrong"] else max(report["worst"].values())
    detail = f"{report['steps']} steps, {report['bitwise']} rows bitwise, {len(report['wrong'])} disagree"
    return Figure("recorded numbers against an independent program, worst", worst, "", 1e-3, detail)


async def disk(bench: Bench) -> Figure:
    """What a token of trace takes at every temperature, with penalties and without, cut to the likeliest or not."""
    penal = {"repetition_penalty": 1.1, "presence_penalty": 0.3, "frequency_penalty": 0.2}
    uncut = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
    kinds: dict[str, dict[str, float]] = {"": {}, ", penalties": penal, ", uncut": uncut}

    async def size(warmth: float, kind: str) -> tuple[float, str]:
        sampling = replace(Sampling(temperature=warmth, max_tokens=150), **kinds[kind])  # type: ignore[arg-type]
        length, tokens = 0, 0
        for seed in (1, 2):
            generation = bench.engine.generate(bench.prompt.ids, sampling, seed, user=f"{warmth} {kind}")
            steps = [step async for step in generation]
            length += len(encode(steps, generation.schedule, 10, seed=seed))
            tokens += len(steps)
        return length / tokens * PAGE / PART, f"temperature {warmth:g}{kind}"

    settings = [(warmth, kind) for warmth in (0.0, 0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0) for kind in kinds]
    found = sorted(await asyncio.gather(*(size(warmth, kind) for warmth, kind in settings)))
    (least, where), (most, there) = found[0], found[-1]
    detail = f"{least:.1f} at {where}, {most:.1f} at {there}"
    return Figure(f"disk for a token, k = 10, the most of {len(found)} settings", most, "bytes", 64, detail)


async def alone(bench: Bench) -> list[Figure]:
    await bench.pictures.warm_up()
    explanation = explain(await bench.store.turn(bench.turn))
    step = iter(range(10**9))

    async def draw() -> None:
        await bench.pictures.draw(sheet(explanation, next(step) * 7 % TOKENS))

    opened, drawn = await timed(bench.open, 60), await timed(draw, 60)
    spent = await timed(bench.open, 60, time.process_time)
    return [
        Figure("opening 500 tokens from the log, data, median", statistics.median(opened), "ms", 20, said(opened)),
        Figure("the same, processor time", statistics.median(spent), "ms", CORE_SHARE, said(spent)),
        Figure("the picture, another process, warm, p95", p95(drawn), "ms", 200, said(drawn)),
    ]


async def html(bench: Bench, folder: Path) -> list[Figure]:
    """The page's size, and how soon it can be used in Chromium."""
    explanation = explain(await bench.store.turn(bench.turn))
    started = time.perf_counter()
    data = page(explanation).encode()
    written = 1000 * (time.perf_counter() - started)
    path = folder / "turn.html"
    path.write_bytes(data)
    figures = [
        Figure("HTML file of 500 tokens, k = 10", len(data) / 1000, "KB", 500, f"written in {written:.0f} ms")
    ]
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        return figures
    times = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for _ in range(5):
            tab = await browser.new_page()
            await tab.goto(path.as_uri())
            await tab.wait_for_selector("html[data-ready]")
            times.append(await tab.evaluate(USABLE))
            await tab.close()
        await browser.close()
    usable = statistics.median(times)
    return [*figures, Figure("the same, interactive in Chromium, median", usable, "ms", 200, said(times))]


async def beside_four(bench: Bench) -> Figure:
    """Data and picture of a panel, from the click on, while four replies are written."""
    times = []
    async with Running(bench, 4):
        for step in range(0, 100, 5):
            started = time.perf_counter()
            await bench.panel(step)
            times.append(1000 * (time.perf_counter() - started))
            await asyncio.sleep(0.2)
    return Figure("first panel beside 4 running replies, worst", max(times), "ms", 1000, said(times))


@dataclass(frozen=True)
class Load:
    """Something done so many times a minute beside the replies; measured ``times`` as often."""

    work: Callable[[int], Awaitable[None]]
    a_minute: int
    times: int
    limit: float

    async def run(self) -> None:
        started = time.perf_counter()
        for number in range(10**6):
            await self.work(number)
            due = started + (number + 1) * 60 / self.a_minute / self.times
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def slow_down(bench: Bench) -> list[Figure]:
    kinds = {
        "100 explanations a minute, as data": Load(lambda _: bench.open(), 100, 10, 3.0),
        "20 panels a minute": Load(lambda number: bench.panel(number % TOKENS), 20, 4, 15.0),
    }
    slower: dict[str, list[float]] = {name: [] for name in kinds}
    async with Running(bench, 8) as running:
        await running.window()
        before = await running.window()
        for number in range(len(kinds) * PAIRS):
            name = list(kinds)[number % len(kinds)]
            working = asyncio.create_task(kinds[name].run())
            busy = await running.window()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            after = await running.window()
            slower[name].append(100 * ((before + after) / 2 / busy - 1) / kinds[name].times)
            before = after
    return [
        Figure(
            f"slow-down of 8 running replies, {name}",
            statistics.median(slower[name]),
            "%",
            load.limit,
            spread(slower[name]),
        )
        for name, load in kinds.items()
    ]


class Running:
    """Replies that go on until the block is left; their tokens are counted."""

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        self._count = count
        self._tokens = 0
        self._begun = [asyncio.Event() for _ in range(count)]

    async def __aenter__(self) -> "Running":
        self._replies = [asyncio.create_task(self._reply(seed)) for seed in range(self._count)]
        await asyncio.gather(*(event.wait() for event in self._begun))
        return self

    async def __aexit__(self, *_: object) -> None:
        for reply in self._replies:
            reply.cancel()
        await asyncio.gather(*self._replies, return_exceptions=True)

    async def _reply(self, seed: int) -> None:
        bench = self._bench
        sampling = Sampling(max_tokens=1900, logit_bias=bench.sampling.logit_bias)
        for again in range(1000):  # a quick machine has written it before all is measured
            generation = bench.engine.generate(bench.prompt.ids, sampling, seed + 8 * again, user=str(seed))
            try:
                async for _ in generation:
                    self._tokens += 1
                    self._begun[seed].set()
            finally:
                with suppress(asyncio.CancelledError):
                    await generation.aclose()

    async def window(self) -> float:
        """Tokens a second over one window."""
        counted, started = self._tokens, time.perf_counter()
        await asyncio.sleep(WINDOW)
        assert not any(reply.done() for reply in self._replies), "a reply ended before the measurement"
        return (self._tokens - counted) / (time.perf_counter() - started)


async def timed(
    work: Callable[[], Awaitable[None]], count: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    await work()
    times = []
    for _ in range(count):
        started = clock()
        await work()
        times.append(1000 * (clock() - started))
    return times


def spread(values: list[float]) -> str:
    low, _, high = statistics.quantiles(values, n=4)
    return f"{len(values)} windows, the middle half from {low:+.1f} to {high:+.1f}"


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def said(times: list[float]) -> str:
    return f"median {statistics.median(times):.1f}, worst {max(times):.1f} ms of {len(times)}"


def table(figures: list[Figure], model: Path, load: float) -> str:
    rows = []
    for figure in figures:
        value, limit = (
            f"{number} {figure.unit}".strip() for number in (f"{figure.value:.3g}", f"≤ {figure.limit:g}")
        )
        reached = "yes" if figure.reached else "**no**"
        rows.append(f"| {figure.what} | {value} | {limit} | {reached} | {figure.detail} |")
    return "\n".join(
        [
            "# What explaining costs",
            "",
            f"{model.name}, {platform.machine()}, {os.cpu_count()} cores. Load average before: {load:.1f}. "
            f"Windows of {WINDOW:g} s: what the middle half of them spans is the noise of a slow-down.",
            "",
            "| measured | value | to reach | | detail |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            "![Each figure as a share of its limit](explain.svg)",
            "",
        ]
    )


def chart(figures: list[Figure]) -> str:
    """A bar for each figure: its share of the limit, which is the line."""
    height = 46 * len(figures) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="640" height="{height}" fill="white"/>',
        '<text x="20" y="24" font-size="15">Each figure as a share of its limit (the line)</text>',
    ]
    for number, figure in enumerate(figures):
        y = 44 + 46 * number
        share = max(0.0, min(1.25, figure.value / figure.limit))
        colour = "#0072B2" if figure.reached else "#D55E00"
        parts += [
            f'<text x="20" y="{y + 12}">{figure.what}: {figure.value:.3g} {figure.unit}</text>',
            f'<rect x="20" y="{y + 18}" width="{480 * share:.1f}" height="14" fill="{colour}"/>',
        ]
    parts.append(f'<path d="M500 40V{height - 14}" stroke="#555" stroke-dasharray="4 3"/></svg>')
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    asyncio.run(main())
