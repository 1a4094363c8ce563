"""A log that takes nothing: the reply reaches the person all the same, who is told."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from glasshead.chat import Chat, Done, Speaker
from glasshead.cli.chat import _as_json
from glasshead.cli.commands import require_whole
from glasshead.cli.sitting import Sitting
from glasshead.errors import UserError
from glasshead.store import Store, database
from small_disk import SmallDisk, small_disk

from .conftest import BRIEF
from .talking import Room

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def disk(tmp_path: Path) -> AsyncIterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "8m") as disk:
        yield disk


async def test_replies_on_a_full_disk(disk: SmallDisk, speaker: Speaker) -> None:
    store = await Store.open(disk.path / "log.db")
    room = Room(Chat(store, speaker, BRIEF), await store.start_session())
    before = (await room.say("Hello")).done
    disk.fill()
    heard = await room.say("Say much about this. " * 8, parent=before.message)
    while store.gap is None:  # what is free within the files is used up first
        heard = await room.say("Say much about this. " * 8, parent=before.message)
    again = await room.say("And then?", parent=heard.done.message)
    for done in (heard.done, again.done):
        assert done.text and done.status == "ok" and done.logged
        assert done.gap in ("the disk is full; it is tried again until it can",
                            "the disk failed; it is tried again until it can")  # fmt: skip
        with pytest.raises(UserError, match="could not be logged: the disk"):
            require_whole(done)
        assert _as_json(done, room.session)["logged"] is False
    assert again.text == again.done.text
    held = await room.turn(again.done.turn)
    assert heard.done.message in [span.message for span in held.prompt.spans]
    disk.free()
    await store.database.end_gap()
    whole = (await room.say("Hello again", parent=again.done.message)).done
    assert (whole.logged, whole.gap) == (True, None)
    await room.chat.aclose()
    await store.close()
    reopened = await Store.open(disk.path / "log.db", writable=False)
    assert await reopened.turn(again.done.turn) == held
    await reopened.close()


@pytest.fixture
async def locked(tmp_path: Path, speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    """One logged reply, then another program holds the log."""
    monkeypatch.setattr(database, "_WRITER", (*database._WRITER, "PRAGMA busy_timeout = 10"))
    store = await Store.open(tmp_path / "log.db")
    room = Room(Chat(store, speaker, BRIEF), await store.start_session())
    foreign = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    room.lock = lambda: foreign.execute("BEGIN IMMEDIATE")
    yield room
    foreign.close()
    await room.chat.aclose()
    await store.close()


async def test_a_turn_that_cannot_be_opened(locked: Room) -> None:
    question = await locked.ask("Hello")
    locked.lock()
    done = (await locked.answer(question)).done
    assert done.text and (done.turn, done.message, done.logged) == (0, None, False)
    assert done.gap == "another program holds the log locked; it cannot be explained"


async def test_a_message_that_cannot_be_logged(locked: Room) -> None:
    said: list[str] = []
    sitting = Sitting(locked.chat, "Be brief.", said.append, said.append, said.append)
    first = await sitting.say("My name is Ada.", 1)
    locked.lock()
    done = await sitting.say("What is my name?", 1)
    assert isinstance(done, Done) and done.text and done.turn == 0
    assert done.gap == "another program holds the log locked; it cannot be explained"
    assert sitting.turns == [first.turn]
