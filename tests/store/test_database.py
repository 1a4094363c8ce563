"""Transactions: whole or not at all, durable, shared commits, locks held by others."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from glasshead.errors import UserError
from glasshead.store import Store, StoreError, database
from glasshead.store.settings import set_setting
from glasshead.store.work import Work

from .making import ask


async def test_writes_that_wait_share_a_commit_and_fail_apart(store: Store):
    begun, go_on = threading.Event(), threading.Event()
    holding = asyncio.create_task(store.database.write(lambda c: (begun.set(), go_on.wait())))
    await asyncio.to_thread(begun.wait)
    commits: list[int] = []
    sa.event.listen(store.database._writer, "commit", lambda connection: commits.append(1))

    def broken(connection: sa.Connection) -> None:
        set_setting(connection, "server", 3, "x", 1)
        raise UserError("no")

    waiting = [asyncio.create_task(store.set_setting("server", i, "x", i)) for i in (1, 2)]
    waiting.append(asyncio.create_task(store.database.write(broken)))
    waiting.append(asyncio.create_task(store.set_setting("server", 4, "x", 4)))
    while len(store.database._waiting) < 4:
        await asyncio.sleep(0.001)
    go_on.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await holding
    assert [type(result) for result in results] == [type(None), type(None), UserError, type(None)]
    assert [await store.settings("server", i) for i in (1, 2, 3, 4)] == [{"x": 1}, {"x": 2}, {}, {"x": 4}]
    assert len(commits) == 2  # the one held with the first two, which are short; the others together


async def test_what_replies_write_joins_the_commit_under_way(store: Store):
    begun, go_on = threading.Event(), threading.Event()
    commits: list[list[int]] = []
    done: list[int] = []
    sa.event.listen(store.database._writer, "commit", lambda connection: commits.append(done.copy()))

    def hold(connection: sa.Connection) -> None:
        begun.set()
        go_on.wait()

    def write(number: int, *, keep: bool) -> asyncio.Task[None]:
        return asyncio.create_task(store.database.write(lambda connection: done.append(number), keep=keep))

    writing = [asyncio.create_task(store.database.write(hold, keep=True))]
    await asyncio.to_thread(begun.wait)
    writing += [write(1, keep=True), write(2, keep=True), write(3, keep=False), write(4, keep=True)]
    while len(store.database._waiting) < 4:
        await asyncio.sleep(0.001)
    go_on.set()
    await asyncio.gather(*writing)
    assert commits == [[1, 2], [1, 2, 3, 4]]


async def test_an_error_of_the_database_in_one_does_not_take_the_others(store: Store):
    begun, go_on = threading.Event(), threading.Event()
    holding = asyncio.create_task(store.database.write(lambda c: (begun.set(), go_on.wait())))
    await asyncio.to_thread(begun.wait)
    waiting = [
        asyncio.create_task(store.set_setting("server", 1, "x", 1)),
        asyncio.create_task(store.database.write(lambda c: c.exec_driver_sql("INSERT INTO turn (id) VALUES (1)"))),
        asyncio.create_task(store.set_setting("server", 2, "x", 2)),
    ]
    while len(store.database._waiting) < 3:
        await asyncio.sleep(0.001)
    go_on.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await holding
    assert isinstance(results[1], sa.exc.IntegrityError) and results[0] is None and results[2] is None
    assert [await store.settings("server", i) for i in (1, 2)] == [{"x": 1}, {"x": 2}]


class HeldUp:
    """Makes something to write, but not before it may go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> Work[None]:
        self.begun.set()
        self.go_on.wait()
        return lambda connection: set_setting(connection, "server", 1, "x", 1)


async def test_what_is_made_apart_is_written_also_when_nobody_waits(store: Store):
    make = HeldUp()
    asking = asyncio.create_task(store.database.write_made(make))
    await asyncio.to_thread(make.begun.wait)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    make.go_on.set()
    await store.database.write_made(lambda: lambda connection: set_setting(connection, "server", 2, "x", 2))
    while await store.settings("server", 1) != {"x": 1}:
        await asyncio.sleep(0.001)
    assert await store.settings("server", 2) == {"x": 2}


async def test_what_cannot_be_made_is_told(store: Store):
    def make():
        raise ValueError("not on the grid")

    with pytest.raises(ValueError, match="not on the grid"):
        await store.database.write_made(make)


async def test_closing_waits_for_what_is_being_made(path: Path):
    store = await Store.open(path)
    make = HeldUp()
    making = asyncio.create_task(store.database.write_made(make))
    await asyncio.to_thread(make.begun.wait)
    closing = asyncio.create_task(store.close())
    make.go_on.set()
    await asyncio.gather(making, closing)
    store = await Store.open(path)
    assert await store.settings("server", 1) == {"x": 1}
    await store.close()


async def test_a_foreign_writer_is_waited_for(store: Store, path: Path):
    foreign = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    foreign.execute("BEGIN IMMEDIATE")
    session = asyncio.create_task(store.start_session())
    assert await store.sessions() == []  # reading goes on
    threading.Timer(1.0, foreign.rollback).start()
    assert await session == 1
    foreign.close()


async def test_a_foreign_writer_that_never_ends_is_named(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "_WRITER", (*database._WRITER, "PRAGMA busy_timeout = 50"))
    store = await Store.open(path)
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another program holds the database locked") as refused:
        await store.start_session()
    assert refused.value.reason == "busy"
    foreign.rollback()
    foreign.close()
    assert await store.start_session() == 1
    await store.close()


async def test_the_event_loop_does_not_wait_for_the_disk(store: Store, path: Path):
    session = await store.start_session()
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    asking = asyncio.create_task(ask(store, session, "one"))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(50):
        await asyncio.sleep(0)
    assert loop.time() - begun < 1 and not asking.done()
    foreign.rollback()
    foreign.close()
    await asking


async def test_a_reader_nobody_waits_for_is_stopped(store: Store):
    begun = threading.Event()
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + begin() FROM n) SELECT max(i) FROM n"

    def work(connection: sa.Connection) -> None:
        connection.connection.driver_connection.create_function("begin", 0, lambda: begun.set() or 1)
        connection.exec_driver_sql(endless).all()

    reading = asyncio.create_task(store.database.read(work))
    await asyncio.to_thread(begun.wait)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await store.sessions() == []  # by the same connection, and the fixture waits for it when it closes


async def test_a_log_left_open_does_not_keep_the_program(path: Path):
    program = (
        "import asyncio, pathlib, sys; from glasshead.store import Store\n"
        "async def main(): store = await Store.open(pathlib.Path(sys.argv[1])); print(await store.sessions())\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n")


async def test_a_closed_log_says_so(path: Path):
    store = await Store.open(path)
    assert await store.sessions() == []
    await store.close()
    for use in (store.sessions, store.start_session):
        with pytest.raises(RuntimeError, match="closed"):
            await use()


async def test_a_clock_set_back_changes_no_order(store: Store, monkeypatch: pytest.MonkeyPatch):
    from glasshead.store import clock, sessions, turns

    session = await store.start_session()
    await ask(store, session, "before")
    earlier = clock.now_us() - clock.DAY_US
    for module in (sessions, turns):
        monkeypatch.setattr(module, "now_us", lambda: earlier)
    await ask(store, session, "after")
    assert [row.prompt for row in await store.turns(session)] == ["before", "after"]
    assert await store.latest_turn() == 2
    other = await store.start_session()
    await ask(store, other, "newest")
    assert [row.id for row in await store.sessions()] == [other, session]
