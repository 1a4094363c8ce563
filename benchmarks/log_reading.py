"""Reading a large log: lists, filters, searches, statistics, exports."""

import random
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import sqlalchemy as sa
from glasshead.review.almost import look
from glasshead.review.transcript import stretch
from glasshead.store import Store
from glasshead.store.clock import DAY_US, now_us
from glasshead.store.export import export
from glasshead.store.search_syntax import Query, parse
from glasshead.store.statistics import statistics
from glasshead.store.tables import session, trace, turn

from .log_figures import Figure, p95, shown, timed
from .log_generator import Words

Read = tuple[str, Callable[[int], Awaitable[object]], int, float]
PERSON = 10**17
"""The generator's persons are numbered from here."""


async def reading(store: Store) -> list[Figure]:
    """p95 of what a reviewer waits for."""
    rng = random.Random(7)
    last = await store.latest_turn() or 1
    sessions = [row.id for row in await store.sessions(limit=100)]
    sessions += [(await store.turn_rows([rng.randint(1, last)]))[0].session for _ in range(100)]
    turns = [rng.randint(1, last) for _ in range(200)]
    longest = sa.select(session.c.id).order_by(session.c.n_turns.desc()).limit(20)
    long = await store.database.read(lambda c: list(c.execute(longest).scalars()))
    words = Words(random.Random(1)).words

    async def search(text: str, order: str = "newest") -> object:
        return await store.search(parse(text), order=order, limit=50)

    async def opened(number: int) -> object:
        return await store.database.read(lambda c: stretch(c, number, None))

    async def year(by: str) -> object:
        today = now_us() // DAY_US
        return await store.database.read(lambda c: statistics(c, by, since=today - 365, until=today))

    reads: list[Read] = [
        ("list sessions", lambda i: store.sessions(limit=50), 100, 10),
        ("list sessions of a channel", lambda i: store.sessions(limit=50, channel_id=i + 1), 200, 10),
        ("filter: user", lambda i: search(f"user:{PERSON + 1 + i * 17}"), 100, 10),
        ("filter: user by name", lambda i: search(f"user:person{1 + i * 17}"), 100, 10),
        ("filter: channel", lambda i: search(f"channel:{i + 1}"), 100, 10),
        ("filter: channel and status", lambda i: search(f"channel:{i + 1} status:error"), 100, 10),
        ("filter: perplexity", lambda i: search(f"perplexity:>{i % 30 + i / 100}"), 100, 10),
        ("filter: perplexity and tokens", lambda i: search(f"perplexity:>{i % 30} tokens:>{i % 60 + 100}"), 99, 10),
        ("filter: perplexity and user", lambda i: search(f"perplexity:>{i % 10} user:{PERSON + 1 + i}"), 100, 10),
        ("filter: server, model, after", lambda i: search(f"server:{i % 20 + 1} model:b after:{i + 1}d"), 100, 10),
        ("filter: before", lambda i: search(f"before:{i * 3 + 1}d"), 100, 10),
        ("filter: tag, rating", lambda i: search(("tag:odd", "rating:5", "rating:<=2")[i % 3]), 60, 10),
        ("open a transcript", lambda i: opened(sessions[i]), 200, 10),
        ("open the longest transcripts", lambda i: opened(long[i % len(long)]), 100, 10),
        ("open a turn with its trace", lambda i: store.turn(turns[i]), 200, 10),
        ("search newest: the commonest words", lambda i: search(words[i % 20]), 100, 50),
        ("search newest: rare words", lambda i: search(words[-1 - i * 13]), 100, 50),
        ("search newest: two common words", lambda i: search(f"{words[i]} {words[i + 9]}"), 50, 50),
        ("search newest: a phrase", lambda i: search(f'"{words[i]} {words[i + 3]}"'), 50, 50),
        ("search newest: Japanese", lambda i: search(("東京都", "雨晴", "犬猫本", "海")[i % 4]), 40, 50),
        ("search newest: word and channel", lambda i: search(f"{words[i]} channel:{i + 1}"), 100, 50),
        ("search newest: word and user", lambda i: search(f"{words[i]} user:{PERSON + 1 + i * 7}"), 100, 50),
        ("search newest: word and before", lambda i: search(f"{words[i]} before:{i * 3 + 1}d"), 100, 50),
        ("search newest: word and perplexity", lambda i: search(f"{words[i * 5]} perplexity:>{i % 12}"), 100, 50),
        ("search newest: rare word and status", lambda i: search(f"{words[900 + i]} status:error"), 100, 50),
        ("search best: the commonest words", lambda i: search(words[i % 10], "best"), 20, 500),
        ("search best: rare words", lambda i: search(words[-1 - i], "best"), 30, 500),
        ("search best: word and channel", lambda i: search(f"{words[i]} channel:{i + 1}", "best"), 30, 500),
        *((f"statistics of a year by {by}", lambda i, by=by: year(by), 20, 100) for by in
          ("day", "model", "server", "user")),
    ]  # fmt: skip
    out = []
    for what, work, repeats, goal in reads:
        out.append(shown(Figure(f"{what}, p95", p95(await timed(work, repeats)), "ms", goal)))
    begun = time.perf_counter()
    found = await look(store, "yes", "", None)
    took = time.perf_counter() - begun
    out.append(shown(Figure("almost: replies looked through a second", found.looked_at / took, "/s")))
    return out


async def exporting(store: Store, seconds: float) -> list[Figure]:
    """Each format over the whole log, for so long; and what memory it takes between a fifth of that and the end."""
    out = []
    for name, format_, traces, goal in (
        ("jsonl without traces", "jsonl", False, 5000),
        ("jsonl with traces decoded", "jsonl", True, 300),
        ("openai without traces", "openai", False, None),
        ("openai with traces decoded", "openai", True, 300),
        ("csv", "csv", False, 5000),
        ("markdown", "markdown", False, None),
    ):
        done = [0]
        begun = time.perf_counter()
        early, size = 0.0, 0
        async with aclosing(export(store, format_, Query(), traces=traces, progress=done.append)) as pieces:
            async for piece in pieces:
                size += len(piece)
                spent = time.perf_counter() - begun
                if not early and spent > seconds / 5:
                    early = memory()
                if spent > seconds:
                    break
            rate = done[-1] / (time.perf_counter() - begun)
        out.append(
            Figure(
                f"export {name}",
                rate,
                "turns/s",
                goal,
                floor=True,
                detail=f"{size / done[-1] / 1000:.1f} kB a turn",
            )
        )
        out.append(Figure(f"memory it takes on top: {name}", memory() - (early or memory()), "MB", 20))
    return out


def memory() -> float:
    """The most the process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def sizes(store: Store, size: int) -> list[Figure]:
    async def one(query: sa.Executable) -> float:
        return float(await store.database.read(lambda c: c.execute(query).scalar() or 0))

    tokens = await one(sa.select(sa.func.sum(trace.c.n)))
    encoded = await one(sa.select(sa.func.sum(trace.c.size)))
    pages = await one(sa.text("SELECT count(*) * (SELECT * FROM pragma_page_size) FROM trace_part"))
    turns = await one(sa.select(sa.func.count()).select_from(turn))
    return [
        Figure(
            "disk for a token of trace, k = 10, real replies", pages / tokens, "bytes", 64, detail="whole pages"
        ),
        Figure("of that, encoded", encoded / tokens, "bytes"),
        Figure("the whole file, a turn", size / turns / 1000, "kB"),
    ]
