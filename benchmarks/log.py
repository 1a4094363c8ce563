"""The log's figures on a generated log: `python -m benchmarks.log_generator FILE`, `python -m benchmarks.log FILE`.

Reading is measured on FILE; what writes is measured on a copy beside it, which is removed.
"""

import argparse
import asyncio
import json
import random
import resource
import shutil
import statistics as averages
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import sqlalchemy as sa
from glasshead.predict.engine import ModelIdentity, Timings
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.sampling import Sampling
from glasshead.predict.schedule import Run
from glasshead.store import Store
from glasshead.store.clock import DAY_US, now_us
from glasshead.store.export import export
from glasshead.store.search_syntax import Query, parse
from glasshead.store.statistics import statistics
from glasshead.store.tables import person, session, trace, trace_part, turn

from .log_generator import Words, steps

MODEL = ModelIdentity("model-0", f"{0:064x}", "Q4_1", 49_152, 2048, "c" * 64, "b1")
Work = Callable[[], Awaitable[object]]


async def timed(work: Callable[[int], Awaitable[object]], repeats: int) -> list[float]:
    """Milliseconds of each call."""
    out = []
    for i in range(repeats):
        begun = time.perf_counter()
        await work(i)
        out.append((time.perf_counter() - begun) * 1000)
    return out


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


class Report:
    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def add(self, what: str, value: float, unit: str, goal: str) -> None:
        self.rows.append({"what": what, "value": round(value, 2), "unit": unit, "goal": goal})
        print(f"{what:<58} {value:>12.2f} {unit:<10} (to reach: {goal})", flush=True)


async def reading(store: Store, report: Report) -> None:
    rng = random.Random(7)
    last = await store.latest_turn() or 1
    sessions = [row.id for row in await store.sessions(limit=200)]
    sessions += [(await store.turn_rows([rng.randint(1, last)]))[0].session for _ in range(100)]
    turns = [rng.randint(1, last) for _ in range(200)]
    channels = [channel for channel in range(1, 401) for _ in range(1)]
    words = Words(random.Random(1)).words

    async def search(text: str, order: str = "newest") -> object:
        return await store.search(parse(text), order=order, limit=50)

    reads: list[tuple[str, Callable[[int], Awaitable[object]], int, str]] = [
        ("list sessions, p95", lambda i: store.sessions(limit=50), 100, "10 ms"),
        ("list sessions of a channel, p95",
         lambda i: store.sessions(limit=50, channel_id=channels[i]), 200, "10 ms"),
        ("filter user, p95", lambda i: search(f"user:{10**17 + 1 + i * 17}"), 100, "10 ms"),
        ("filter channel and status, p95", lambda i: search(f"channel:{i + 1} status:error"), 100, "10 ms"),
        ("filter perplexity:>20, tokens:>150, p95",
         lambda i: search(f"perplexity:>{i % 30} tokens:>{100 + i % 60}"), 100, "10 ms"),
        ("filter tag, rating, p95", lambda i: search(("tag:odd", "rating:5", "rating:<=2")[i % 3]), 60, "10 ms"),
        ("open a transcript, p95", lambda i: store.turns(sessions[i]), 200, "10 ms"),
        ("its messages, p95", lambda i: store.messages(sessions[i]), 200, "10 ms"),
        ("open a turn with its trace, p95", lambda i: store.turn(turns[i]), 200, "10 ms"),
        ("search newest, the commonest words, p95", lambda i: search(words[i % 20]), 100, "50 ms"),
        ("search newest, rare words, p95", lambda i: search(words[-1 - i * 13]), 100, "50 ms"),
        ("search newest, two common words, p95", lambda i: search(f"{words[i]} {words[i + 9]}"), 50, "50 ms"),
        ("search newest, a phrase, p95", lambda i: search(f'"{words[i]} {words[i + 3]}"'), 50, "50 ms"),
        ("search newest, Japanese, p95", lambda i: search(("東京都", "雨晴", "犬猫本")[i % 3]), 40, "50 ms"),
        ("search newest, word and channel, p95", lambda i: search(f"{words[i]} channel:{i + 1}"), 50, "50 ms"),
        ("search best first, the commonest words, p95", lambda i: search(words[i % 10], "best"), 20, "500 ms"),
        ("search best first, rare words, p95", lambda i: search(words[-1 - i], "best"), 30, "500 ms"),
    ]  # fmt: skip
    for what, work, repeats, goal in reads:
        await work(0)
        report.add(what, p95(await timed(work, repeats)), "ms", f"<= {goal}")
    today = now_us() // DAY_US
    for by in ("day", "model", "server", "user"):
        year = await timed(
            lambda _, by=by: store.database.read(lambda c: statistics(c, by, since=today - 365, until=today)), 10
        )
        report.add(f"statistics of a year by {by}, p95", p95(year), "ms", "<= 100 ms")


async def exporting(store: Store, report: Report, turns: int) -> None:
    last = await store.latest_turn() or 1
    query = Query(before_us=(await store.turn_rows([min(turns, last)]))[0].created_us)
    done: list[int] = []
    for name, format_, traces, goal in (
        ("export csv (no traces)", "csv", False, ">= 5,000"),
        ("export jsonl without steps", "jsonl", False, "(decodes all the same)"),
        ("export jsonl with traces decoded", "jsonl", True, ">= 300"),
        ("export openai with traces decoded", "openai", True, ">= 300"),
    ):
        done.clear()
        begun = time.perf_counter()
        size = 0
        async for piece in export(store, format_, query, traces=traces, progress=done.append):
            size += len(piece)
            if time.perf_counter() - begun > 30:
                break
        took = time.perf_counter() - begun
        report.add(name, (done or [0])[-1] / took, "turns/s", goal)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report.add("peak memory so far", peak, "MB", "flat")


async def sizes(store: Store, path: Path, report: Report) -> None:
    async def one(query: sa.Select[tuple[float]]) -> float:
        return float(await store.database.read(lambda c: c.execute(query).scalar() or 0))

    tokens = await one(sa.select(sa.func.sum(trace.c.n)))
    blobs = await one(sa.select(sa.func.sum(sa.func.length(trace_part.c.data))))
    pages = sa.text("SELECT sum(pgsize) FROM dbstat WHERE name IN ('trace', 'trace_part')")
    try:
        disk = float(await store.database.read(lambda c: c.execute(pages).scalar() or 0))
        report.add("disk for a token of trace, pages of its tables", disk / tokens, "bytes", "<= 64")
    except sa.exc.OperationalError:
        print("this SQLite has no dbstat: pages are not counted")
    report.add("encoded trace, a token", blobs / tokens, "bytes", "<= 64")
    turns = await one(sa.select(sa.func.count()).select_from(turn))
    report.add("whole file, a turn", (await asyncio.to_thread(path.stat)).st_size / turns / 1024, "KiB", "")


async def writing(path: Path, report: Report, seconds: float) -> None:
    """Durable turns with traces, 8 conversations at once; then erasing a user of 10,000 turns beside one."""
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    store = await Store.open(copy)
    try:
        made = [steps(80, seed) for seed in range(4)]
        sessions = [await store.start_session() for _ in range(8)]
        count = [0]
        waits: list[float] = []

        async def talk(session: int, until: float, person_id: int | None) -> None:
            parent = None
            while time.perf_counter() < until:
                text = f"a question of moderate length {count[0]}"
                begun = time.perf_counter()
                message = await store.append_message(session, "user", text, parent=parent, person=person_id)
                ids = tuple(range(200))
                prompt = Prompt(ids, (Span(0, 10, "marker", "user"), Span(10, 200, "typed", "user", message)))
                opened = await store.open_turn(
                    session=session, prompt_message=message, prompt=prompt, model=MODEL, sampling=Sampling(),
                    seed=1, requester=person_id, k=10,
                )  # fmt: skip
                parent = await store.finish_turn(
                    opened, steps=made[count[0] % 4], schedule=(Run("tile", 200),), reply="so it is " * 40,
                    finish="stop", status="ok", timings=Timings(1, 2, 3),
                )  # fmt: skip
                waits.append((time.perf_counter() - begun) * 1000)
                count[0] += 1

        begun = time.perf_counter()
        await asyncio.gather(*(talk(s, begun + seconds, None) for s in sessions))
        report.add("logging, whole turns durable, 8 at once", count[0] / seconds, "turns/s", ">= 200")
        busiest = (
            sa.select(person.c.discord_id, sa.func.count())
            .join(turn, turn.c.requester_id == person.c.id)
            .group_by(person.c.id)
            .having(sa.func.count() <= 11_000)
            .order_by(sa.func.count().desc())
        )
        who, turns = (await store.database.read(lambda c: c.execute(busiest).first())) or (0, 0)
        waits.clear()
        chat = asyncio.create_task(talk(sessions[0], float("inf"), None))
        lag = asyncio.create_task(longest_lag())
        begun = time.perf_counter()
        receipt = await store.erase_person(who)
        took = time.perf_counter() - begun
        chat.cancel()
        lag.cancel()
        print(f"erased {receipt}")
        report.add(f"erasing a user with {turns} turns", took, "s", "<= 60")
        report.add("a whole logged turn meanwhile, median", averages.median(waits), "ms", "unharmed")
        report.add("a whole logged turn meanwhile, p95", p95(waits), "ms", "unharmed")
        report.add("longest block of the event loop meanwhile", max(LAGS), "ms", "<= 50")
    finally:
        await store.close()
        for old in copy.parent.glob("copy.db*"):
            old.unlink()


LAGS: list[float] = [0.0]


async def longest_lag() -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        LAGS.append((time.perf_counter() - begun) * 1000 - 5)


async def run(options: argparse.Namespace) -> None:
    report = Report()
    store = await Store.open(options.path, writable=False)
    count = await store.database.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(session)).scalar())
    print(f"{options.path}: {await store.latest_turn()} turns in {count} sessions")
    await reading(store, report)
    await sizes(store, options.path, report)
    await exporting(store, report, options.export)
    await store.close()
    if options.write:
        await writing(options.path, report, options.seconds)
    if options.json:
        options.json.write_text(json.dumps(report.rows, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--export", type=int, default=5000, help="turns to export")
    parser.add_argument("--seconds", type=float, default=10, help="of logging")
    parser.add_argument("--no-write", dest="write", action="store_false")
    parser.add_argument("--json", type=Path)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
