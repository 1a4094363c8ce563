"""One process writes; others hand it what they want written, over a local socket beside the database.

A request is a line of JSON, {"call": name, "args": {…}}; the answer is {"result": …} or {"error": words}. The
socket and its name in the lock file may be used by the owner's user only. An owner with a model takes requests
that need it, too.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import UserError
from .lock import Owned, Owner
from .store import Store
from .writes import WRITES

log = logging.getLogger(__name__)

WAIT_S = 3.0
"""For an owner that takes no requests: most write a mark and are done, or have just begun."""
PATIENCE_S = 3600.0
"""For a command that takes long: an import of a large log, say."""
LINE = 256 * 1024 * 1024
"""Longest request: an imported session with its traces is one line."""
Write = Callable[..., Awaitable[Any]]
"""``await write("rate", turn=3, stars=5)``: one of WRITES by name, or of what the owner takes besides."""


@asynccontextmanager
async def take_writes(store: Store, also: Mapping[str, Write] | None = None) -> AsyncIterator[None]:
    """While this is open, other processes may write through ``store``, and ask for what is in ``also``."""
    calls = {name: partial(work, store) for name, work in WRITES.items()} | dict(also or {})
    path = _socket_path(store.database.path)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(lambda r, w: _serve(calls, r, w), path, limit=LINE)
    finally:
        os.umask(before)
    store.announce(str(path))
    try:
        yield
    finally:
        store.announce("")
        server.close()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _socket_path(database: Path) -> Path:
    """Beside the database; where that is too long for a socket, in a private folder for temporary files."""
    beside = database.with_name(database.name + ".socket")
    if len(os.fsencode(beside)) < 100:
        return beside
    folder = Path(tempfile.gettempdir()) / f"glasshead-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to somebody else: remove it")
    return folder / hashlib.sha256(os.fsencode(database)).hexdigest()[:16]


async def _serve(calls: Mapping[str, Write], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await _answer(calls, line)).encode() + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError) as error:
        log.warning("a program that writes through this one went away: %s", error)
    finally:
        writer.close()


async def _answer(calls: Mapping[str, Write], line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        return {"result": await calls[request["call"]](**request["args"])}
    except UserError as error:
        return {"error": str(error)}
    except (KeyError, TypeError, ValueError):
        log.exception("a request to write that is not understood")
        return {"error": "the running program does not know this request: is it of another version?"}


async def own(path: Path, caches: tuple[Path, ...] = (), *, passing: bool = False) -> Store:
    """A store that owns the log, after one that has it for a moment; if not ``passing``, after a command that takes
    long, too, and says so meanwhile. Raises Owned where another goes on."""
    started = time.monotonic()
    told = False
    while True:
        try:
            return await Store.open(path, caches=caches, passing=passing)
        except Owned as owned:
            owner = owned.owner
            ours = owner is not None and owner.pid == os.getpid()
            waited = time.monotonic() - started
            if owner is not None and owner.passing and not ours and not passing and waited < PATIENCE_S:
                if waited > WAIT_S and not told:
                    log.warning("%s is in use by %s: waiting for its end", path, owner)
                    told = True
            elif ours or (owner is not None and owner.socket) or waited > WAIT_S:
                raise
        await asyncio.sleep(0.5 if told else 0.05)


@asynccontextmanager
async def writer(path: Path, caches: tuple[Path, ...] = (), *, long: bool = False) -> AsyncIterator[Write]:
    """Write to a log: as its owner (if ``long``, others may write, too), or through the process that owns it."""
    try:
        store = await own(path, caches, passing=True)
    except Owned as owned:
        async with asking(path, owned.owner) as write:
            yield write
        return
    try:

        async def directly(call: str, **args: Any) -> Any:
            return await WRITES[call](store, **args)

        async with take_writes(store) if long else contextlib.nullcontext():
            yield directly
    finally:
        await store.close()


@asynccontextmanager
async def asking(path: Path, owner: Owner | None) -> AsyncIterator[Write]:
    """Have the process that owns a log do it. Raises Owned if it takes no requests."""
    if owner is None or not owner.socket:
        raise Owned(path, owner)
    try:
        reader, writer_ = await asyncio.open_unix_connection(owner.socket, limit=LINE)
    except OSError as error:
        raise UserError(f"process {owner.pid} owns {path} and does not answer: {error.strerror}") from None

    async def send(call: str, **args: Any) -> Any:
        line = b""
        with contextlib.suppress(ConnectionError):
            writer_.write(json.dumps({"call": call, "args": args}).encode() + b"\n")
            await writer_.drain()
            line = await reader.readline()
        if not line:
            raise UserError(f"process {owner.pid}, which owns {path}, ended before it had written")
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer["result"]

    try:
        yield send
    finally:
        writer_.close()
        with contextlib.suppress(ConnectionError):
            await writer_.wait_closed()
