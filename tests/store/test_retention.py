"""Limits of age and size, and the sums of the statistics."""

import sqlite3
from pathlib import Path

import pytest
from glasshead.store import Store, marks
from glasshead.store.clock import DAY_US, now_us
from glasshead.store.retention import TURN_BYTES, Limit, Limits, prune
from glasshead.store.statistics import statistics

from .making import MODEL, SAMPLING, ask, prompt


async def test_old_sessions_go_by_the_limit_of_their_server(store: Store, path: Path):
    for guild in (None, 1, 2):
        for _ in range(2):
            session = await store.start_session(guild_id=guild)
            for i in range(15):
                await ask(store, session, f"q {i}", "a", n=1)
    sessions = [row.id for row in await store.sessions()][::-1]
    with sqlite3.connect(path) as other:
        for old in sessions[::2]:
            other.execute("UPDATE turn SET created_us = ? WHERE session_id = ?", (now_us() - 40 * DAY_US, old))
    limits = Limits(Limit(days=30), {1: Limit(days=100), 2: Limit(days=10)})
    assert await prune(store.database, limits) == [1, 5]
    assert [row.id for row in await store.sessions()][::-1] == [2, 3, 4, 6]
    assert await prune(store.database, limits) == []
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM trace_part").fetchone()[0] <= 60
        assert other.execute("SELECT count(*) FROM trace").fetchone() == (60,)
        assert other.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_the_oldest_go_until_the_rest_fits(store: Store):
    for _ in range(5):
        await ask(store, await store.start_session(), "q", "a", n=1)
    limit = Limits(Limit(bytes=3 * (TURN_BYTES + 400)))
    assert await prune(store.database, limit) == [1, 2]
    assert [row.id for row in await store.sessions()] == [5, 4, 3]


async def test_a_session_being_answered_stays(store: Store):
    session = await store.start_session()
    await ask(store, session, "q", None)
    assert await prune(store.database, Limits(Limit(days=1)), now=now_us() + 9 * DAY_US) == []


@pytest.mark.parametrize("how", ["a message", "a turn"])
async def test_a_session_that_goes_on_meanwhile_stays(store: Store, monkeypatch: pytest.MonkeyPatch, how: str):
    """Looked at long before its turn to go comes."""
    first, second = [await store.start_session() for _ in range(2)]
    for session in (first, second):
        question, _, reply = await ask(store, session, "q", "a", n=1)
    write, done = store.database.write, False

    async def after_it(work, **options):
        nonlocal done
        if not done:
            done = True
            if how == "a message":
                await store.append_message(second, "user", "and now?", parent=reply)
            else:
                await store.open_turn(
                    session=second, prompt_message=question, prompt=prompt("q", question), model=MODEL,
                    sampling=SAMPLING, seed=2, k=10,
                )  # fmt: skip
        return await write(work, **options)

    monkeypatch.setattr(store.database, "write", after_it)
    assert await prune(store.database, Limits(Limit(days=1)), now=now_us() + 9 * DAY_US) == [first]
    assert [row.id for row in await store.sessions()] == [second]
    assert [row.reply for row in await store.turns(second)][:1] == ["a"]


async def test_statistics(store: Store):
    session = await store.start_session(guild_id=7)
    await ask(store, session, "q", "a", person=5, author="Ann", n=11)
    await ask(store, session, "q", "a", person=6, status="stopped", n=11)
    await ask(store, session, "q", "a", person=5, author="Ann", status="error", n=11)
    await store.database.write(lambda c: marks.rate(c, 1, 2))
    await store.database.write(lambda c: marks.rate(c, 1, 5))
    await store.set_feedback(1, person=6, value=1)
    await store.set_feedback(1, person=6, value=-1)
    today = now_us() // DAY_US
    (day,) = await store.database.read(lambda c: statistics(c, "day", since=today - 1, until=today))
    assert (day.turns, day.tokens, day.stopped, day.errors, day.stars) == (3, 33, 1, 1, 5.0)
    assert (day.thumbs_up, day.thumbs_down, day.ttft_ms, day.tokens_per_second) == (0, 1, 200.0, 10.0)
    rows = await store.turns(session)
    assert abs(day.perplexity - rows[0].perplexity) < 1e-9
    by_user = await store.database.read(lambda c: statistics(c, "user", since=today, until=today))
    assert [(row.key, row.turns) for row in by_user] == [("Ann", 2), ("6", 1)]
    by_server = await store.database.read(lambda c: statistics(c, "server", since=today, until=today))
    assert [(row.key, row.turns) for row in by_server] == [("7", 3)]
    assert await store.database.read(lambda c: statistics(c, "model", since=0, until=1)) == []
    await store.erase_person(5)
    by_user = await store.database.read(lambda c: statistics(c, "user", since=today, until=today))
    assert [(row.key, row.turns) for row in by_user] == [("(none)", 2), ("6", 1)]
