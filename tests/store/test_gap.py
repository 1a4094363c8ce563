"""A full disk: turns go on in memory, can be read, and are in the file once there is room."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from glasshead.errors import UserError
from glasshead.store import Store, StoreError, database, gap
from glasshead.store.backup import check
from small_disk import LimitedFiles, SmallDisk, small_disk

from .making import MODEL, PIECES, ask


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


async def opened(disk: SmallDisk) -> tuple[Store, int]:
    """A log with one turn on a disk that is then full."""
    store = await Store.open(disk.path / "log.db")
    await store.save_vocabulary(MODEL, PIECES)
    session = await store.start_session()
    await ask(store, session, "before")
    disk.fill()
    return store, session


async def until_full(store: Store, session: int) -> int:
    """Turns until the disk takes no more; the last one's number."""
    turn = 0
    while store.gap is None:
        _, turn, _ = await ask(store, session, "many words " * 200)
    return turn


def in_file(disk: SmallDisk) -> list[str]:
    """The prompts of all turns, as another process sees them."""
    connection = sqlite3.connect(f"file:{disk.path / 'log.db'}?mode=ro", uri=True)
    try:
        query = "SELECT m.text FROM turn JOIN message m ON m.id = prompt_message_id ORDER BY turn.id"
        return [text for (text,) in connection.execute(query)]
    finally:
        connection.close()


async def test_turns_are_held_and_written_when_there_is_room(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "GAP_S", 0.01)
    store, session = await opened(disk)
    await until_full(store, session)
    assert store.gap.reason in ("full", "io")
    message, turn, said = await ask(store, session, "during", "held", person=5)
    await store.link_discord(turn, [501])
    assert "during" not in in_file(disk)
    held = await store.turn(turn)
    assert (held.reply, held.status, len(held.trace.steps)) == ("held", "ok", 12)
    assert await store.turn_of_discord_message(501) == turn
    assert [part.id for part in await store.conversation(said)] == [message, said]
    assert (await store.turns(session))[-1].id == turn
    before = len(in_file(disk))
    disk.free()
    async with asyncio.timeout(30):
        while store.gap is not None:
            await asyncio.sleep(0.01)
    assert in_file(disk)[-1] == "during" and len(in_file(disk)) > before
    assert await store.turn(turn) == held  # under the same number
    _, last, _ = await ask(store, session, "after", parent=said)
    await store.close()
    assert check(disk.path / "log.db") == [] and last == turn + 1


async def test_each_failed_attempt_holds_everything(disk: SmallDisk):
    store, session = await opened(disk)
    await until_full(store, session)
    turns = []
    for i in range(3):
        turns.append((await ask(store, session, f"number {i}"))[1])
        with pytest.raises(StoreError):
            await store.database.end_gap()
    with pytest.raises(UserError, match="no message"):
        await store.append_message(session, "user", "an orphan", parent=9999)
    assert [(await store.turn(turn)).status for turn in turns] == ["ok"] * 3
    disk.free()
    await store.database.end_gap()
    assert in_file(disk)[-3:] == ["number 0", "number 1", "number 2"]
    await store.close()


async def test_what_nobody_waits_for_is_refused(disk: SmallDisk):
    """A reviewer's mark, or an erasure: who asks for it is told."""
    store, session = await opened(disk)
    await until_full(store, session)
    with pytest.raises(StoreError):
        await store.rename_session(session, "never")
    with pytest.raises((StoreError, OSError)):
        await store.erase_person(5)
    assert (await store.session(session)).title == ""
    disk.free()
    await store.rename_session(session, "now")
    assert store.gap is None and (await store.session(session)).title == "now"
    await store.close()


async def test_what_is_held_at_the_end_is_lost_and_said(disk: SmallDisk, caplog: pytest.LogCaptureFixture):
    store, session = await opened(disk)
    turn = await until_full(store, session)
    await store.close()
    assert "what was held in memory is lost" in caplog.text
    disk.free()
    assert check(disk.path / "log.db") == []
    again = await Store.open(disk.path / "log.db")
    assert all(row.status in ("ok", "interrupted") for row in await again.turns(session))
    assert (await again.turns(session))[-1].id <= turn
    await again.close()


async def test_only_so_much_is_held(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gap, "KEPT", 8)
    store, session = await opened(disk)
    await until_full(store, session)
    with pytest.raises(StoreError, match="8 writes wait in memory"):
        for _ in range(8):
            await ask(store, session, "one more")
    disk.free()
    await store.database.end_gap()
    await ask(store, session, "again")
    assert in_file(disk)[-1] == "again"
    await store.close()


async def test_a_limit_on_files_is_a_full_disk_too(tmp_path: Path):
    disk = LimitedFiles(tmp_path)
    store, session = await opened(disk)
    try:
        turn = await until_full(store, session)
    finally:
        disk.free()
    await store.database.end_gap()
    assert (await store.turn(turn)).status == "ok"
    await store.close()


async def test_where_nothing_can_be_held_the_writer_is_told(store: Store):
    """The limit is SQLite's own: no transaction gets past it."""
    session = await store.start_session()
    pages = await store.database.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    await store.database.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreError, match="the disk is full"):
        await store.append_message(session, "user", "as large as it takes " * 2000)
    assert store.gap is None
    await store.database.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1000000"))
    assert await store.append_message(session, "user", "as large as it takes " * 2000) == 1


async def test_an_error_of_the_database_in_the_gap_undoes_only_itself(disk: SmallDisk):
    store, session = await opened(disk)
    turn = await until_full(store, session)
    with pytest.raises(sa.exc.IntegrityError):
        await store.database.write(lambda c: c.exec_driver_sql("INSERT INTO turn (id) VALUES (1)"), keep=True)
    assert (await store.turn(turn)).status == "ok" and store.gap is not None
    disk.free()
    await store.close()
    assert "many words" in in_file(disk)[-1]
