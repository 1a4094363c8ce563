"""One process writes; others hand their writes over, and say so when they cannot."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from glasshead.errors import UserError
from glasshead.store import Store, owner
from glasshead.store.lock import Owner, current_owner
from glasshead.store.owner import asking, own, take_writes, writer

from .making import ask

RATE = """
import asyncio, sys
from pathlib import Path
from glasshead.store.owner import writer
async def main():
    async with writer(Path(sys.argv[1])) as write:
        await write("rate", turn=1, stars=4)
asyncio.run(main())
"""


async def test_a_write_goes_through_the_owner(store: Store, path: Path):
    session = await store.start_session()
    await ask(store, session, "one")
    async with take_writes(store):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", RATE, str(path))
        assert await process.wait() == 0
        async with writer(path) as write:
            assert await write("add_note", turn=1, text="hm") == 1
            with pytest.raises(UserError, match="no turn 99"):
                await write("rate", turn=99, stars=1)
            with pytest.raises(UserError, match="another version"):
                await write("unheard_of")
            with pytest.raises(UserError, match="another version"):
                await write("rate", turn=1)
    assert (await store.marks(session))[1].stars == 4


async def test_without_an_owner_the_writer_becomes_it(path: Path):
    store = await Store.open(path)
    session = await store.start_session()
    await ask(store, session, "one")
    await store.close()
    assert current_owner(path) is None
    async with writer(path) as write:
        owner = current_owner(path)
        assert owner is not None and owner.pid > 0
        await write("add_tag", turn=1, name="odd")
    assert current_owner(path) is None


async def test_an_owner_that_takes_no_writes_is_named(store: Store, path: Path):
    with pytest.raises(UserError, match="in use by process"):
        async with writer(path):
            pass


OWN = """
import asyncio, sys
from pathlib import Path
from glasshead.store.owner import own
async def main():
    store = await own(Path(sys.argv[1]))
    print("owned", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await store.close()
asyncio.run(main())
"""


async def test_a_writer_waits_for_one_that_is_soon_done(store: Store, path: Path):
    session = await store.start_session()
    await ask(store, session, "one")
    await store.close()
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", OWN, str(path), **pipes)
    assert await process.stdout.readline() == b"owned\n"

    async def rate() -> None:
        async with writer(path) as write:
            await write("rate", turn=1, stars=4)

    rating = asyncio.create_task(rate())
    done, _ = await asyncio.wait([rating], timeout=0.2)
    assert not done
    process.stdin.write(b"\n")
    await rating
    assert await process.wait() == 0


LONG = """
import asyncio, sys
from pathlib import Path
from glasshead.store.owner import writer
async def main():
    async with writer(Path(sys.argv[1]), long=True):
        print("owned", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
"""


async def test_a_bot_waits_for_a_long_command_and_says_for_whom(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    await store.close()
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LONG, str(path), **pipes)
    assert await process.stdout.readline() == b"owned\n"
    monkeypatch.setattr(owner, "PATIENCE_S", 0.0)
    with pytest.raises(
        UserError, match=rf"in use by process {process.pid} .* since 20.*: wait for its end or stop it"
    ):
        await own(path)
    monkeypatch.setattr(owner, "PATIENCE_S", 60.0)
    monkeypatch.setattr(owner, "WAIT_S", 0.0)
    waiting = asyncio.create_task(own(path))
    while not caplog.records:
        await asyncio.sleep(0)
    assert f"{path} is in use by process {process.pid} (" in caplog.text and "waiting for its end" in caplog.text
    assert not waiting.done()
    process.stdin.write(b"\n")
    await (await waiting).close()
    assert await process.wait() == 0


async def test_a_long_writer_takes_what_others_write(store: Store, path: Path):
    session = await store.start_session()
    await ask(store, session, "one")
    await store.close()
    async with writer(path, long=True):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", RATE, str(path))
        assert await process.wait() == 0


async def test_an_owner_that_dies_while_it_is_asked_is_named(store: Store, path: Path):
    async def dying(reader: asyncio.StreamReader, writer_: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer_.transport.abort()

    server = await asyncio.start_unix_server(dying, path.with_name("s"))
    async with asking(path, Owner(7, "bot", str(path.with_name("s")))) as write:
        with pytest.raises(UserError, match=r"process 7.*ended before it had written"):
            await write("add_note", turn=1, text="x" * 10_000_000)
    server.close()


async def test_the_socket_is_private_and_goes_with_its_owner(store: Store, path: Path):
    async with take_writes(store):
        socket = Path(json.loads(path.with_name("log.db.lock").read_text())["socket"])
        assert socket.is_socket() and socket.stat().st_mode & 0o077 == 0
    assert not socket.exists()
