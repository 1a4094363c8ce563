"""`glasshead review` as a process of its own, alone and beside a bot that owns the log."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from glasshead.predict.engine import ModelIdentity
from glasshead.predict.prompt import Prompt, Span
from glasshead.predict.sampling import Sampling
from glasshead.store import Store
from glasshead.store.owner import take_writes
from glasshead.store.tables import erasure

MODEL = ModelIdentity("none", "0" * 64, "Q4_1", 8, 64, "0" * 64, "test")


@contextmanager
def review(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GLASSHEAD_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "glasshead", "review", "--no-browser", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(address: str, path: str, cookie: str = "", form: dict[str, str] | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST" if form else "GET", path, urlencode(form) if form else None, headers)
    return connection.getresponse()


async def make(folder: Path) -> tuple[Store, int]:
    """A log with one finished turn, open for writing."""
    store = await Store.open(folder / "data" / "glasshead.db")
    session = await store.start_session()
    message = await store.append_message(session, "user", "Anybody there?")
    prompt = Prompt((1,), (Span(0, 1, "typed", "user", message),))
    await store.save_vocabulary(MODEL, [b"x"] * 8)
    turn = await store.open_turn(
        session=session, prompt_message=message, prompt=prompt, model=MODEL, sampling=Sampling(), seed=1, k=1
    )
    await store.finish_turn(turn, steps=(), schedule=(), reply="", finish="stopped", status="stopped")
    return store, turn


def come_in(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The address and the cookie."""
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    answer = ask(address, f"/enter?{urlsplit(address).query}")
    assert answer.status == 200
    return address, answer.headers["Set-Cookie"].split(";")[0]


async def test_alone_it_reads_marks_and_ends_when_told(tmp_path: Path) -> None:
    store, turn = await make(tmp_path)
    await store.close()
    with review(tmp_path, "--port", "0") as process:
        address, cookie = come_in(process)
        assert "Anybody there?" in ask(address, "/", cookie).read().decode()
        page = ask(address, f"/turn/{turn}", cookie).read().decode()
        assert "glasshead model pull" in page and "Prove it</button>" not in page
        secret = page.split('name="csrf" value="')[1].split('"')[0]
        assert ask(address, f"/turn/{turn}/rate", cookie, {"csrf": secret, "stars": "4"}).status == 303
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    store = await Store.open(tmp_path / "data" / "glasshead.db", writable=False)
    assert (await store.marks(1))[turn].stars == 4
    await store.close()


async def test_an_erasure_that_was_cut_short_is_finished_with_the_first_mark(tmp_path: Path) -> None:
    store, turn = await make(tmp_path)
    asked = {"subject_hmac": b"x", "subject": "person:4711", "requested_us": 1}
    await store.database.write(lambda c: c.execute(erasure.insert().values(asked)))
    await store.close()
    saved = tmp_path / "data" / "kv" / f"{'0' * 16}-{'a' * 32}.kv"
    saved.parent.mkdir()
    saved.write_text("what they said")
    with review(tmp_path, "--port", "0") as process:
        address, cookie = come_in(process)
        page = ask(address, f"/turn/{turn}", cookie).read().decode()
        secret = page.split('name="csrf" value="')[1].split('"')[0]
        assert ask(address, f"/turn/{turn}/rate", cookie, {"csrf": secret, "stars": "4"}).status == 303
        assert not saved.exists()


async def test_beside_the_owner_it_hands_its_marks_in(tmp_path: Path) -> None:
    store, turn = await make(tmp_path)
    async with take_writes(store):
        with review(tmp_path, "--port", "0") as process:
            address, cookie = await asyncio.to_thread(come_in, process)
            page = (await asyncio.to_thread(ask, address, f"/turn/{turn}", cookie)).read().decode()
            secret = page.split('name="csrf" value="')[1].split('"')[0]
            form = {"csrf": secret, "name": "kept"}
            assert (await asyncio.to_thread(ask, address, f"/turn/{turn}/tag", cookie, form)).status == 303
            assert (await store.marks(1))[turn].tags[0].name == "kept"
    await store.close()


async def test_without_a_log_or_a_port_it_says_so(tmp_path: Path) -> None:
    with review(tmp_path) as process:
        assert process.wait(60) == 2
        assert "there is no log at data/glasshead.db yet" in process.communicate()[1]
    store, _ = await make(tmp_path)
    await store.close()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        review(tmp_path, "--port", str(taken.getsockname()[1])) as process,
    ):
        assert process.wait(60) == 2
        assert "Address already in use" in process.communicate()[1]
