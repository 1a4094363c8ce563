"""Pages of an export as text, in order: the first few here, a long export on every core of the machine."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

from ..pickled import packed, read
from .export_worker import WRITERS, Kind
from .faults import StoreError
from .store import Store
from .written import PageEnd, Piece

HERE = 4
"""Pages written in this process: most exports are no longer, and a process takes a second to start."""
MOST = 4
"""Processes, however many cores there are: the bot runs beside them."""
AHEAD = 2
"""Pages each process has before it: one in work, one waiting."""


async def written(store: Store, kind: Kind, pages: AsyncIterator[list[int]], traces: bool) -> AsyncGenerator[Piece]:
    """What the writer of a format makes of each page, in pieces."""
    here = 0
    cores = min(os.cpu_count() or 1, MOST)
    async for page in pages:
        for piece in await store.database.read(lambda c, page=page: list(WRITERS[kind](c, page, traces))):  # type: ignore[misc]
            yield piece
        here += 1
        # What is held in memory while the disk is full is seen by this process alone.
        if here >= HERE and cores > 1 and store.database.gap is None:
            break
    else:
        return
    processes: list[Process] = []
    try:
        while len(processes) < cores:
            processes.append(await _start(store, kind))
        async for piece in _in_order(processes, pages, traces):
            yield piece
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()  # an answer nobody reads would keep `wait` waiting


async def _start(store: Store, kind: Kind) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"{__package__}.export_worker", store.database.path, kind, stdin=PIPE, stdout=PIPE
    )


async def _in_order(
    processes: list[Process], pages: AsyncIterator[list[int]], traces: bool
) -> AsyncIterator[Piece]:
    waiting: deque[Process] = deque()
    count = 0
    async for page in pages:
        process = processes[count % len(processes)]
        assert process.stdin is not None
        process.stdin.write(packed((page, traces)))
        waiting.append(process)
        count += 1
        if len(waiting) == AHEAD * len(processes):
            async for piece in _answer(waiting.popleft()):
                yield piece
    while waiting:
        async for piece in _answer(waiting.popleft()):
            yield piece


async def _answer(process: Process) -> AsyncIterator[Piece]:
    """The pieces of a page, up to its end."""
    assert process.stdout is not None
    piece: Piece = ""
    while not isinstance(piece, PageEnd):
        try:
            piece = cast(Piece, await read(process.stdout))
        except asyncio.IncompleteReadError:
            raise StoreError("io", "a process of the export has ended before its time: try again") from None
        yield piece
