"""Pages of an export as text, in order: the first few here, a long export on every core of the machine."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
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
        for written_here in await store.database.read(lambda c, page=page: list(WRITERS[kind](c, page, traces))):  # type: ignore[misc]
            yield written_here
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
        async with aclosing(_in_order(processes, pages, traces)) as next_ones:
            async for process in next_ones:
                piece: Piece = ""
                while not isinstance(piece, PageEnd):
                    piece = await _piece(process)
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
) -> AsyncGenerator[Process]:
    """For each page, the process that writes it."""
    waiting: deque[Process] = deque()
    count = 0
    async for page in pages:
        process = processes[count % len(processes)]
        assert process.stdin is not None
        process.stdin.write(packed((page, traces)))
        waiting.append(process)
        count += 1
        if len(waiting) == AHEAD * len(processes):
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


async def _piece(process: Process) -> Piece:
    assert process.stdout is not None
    try:
        return cast(Piece, await read(process.stdout))
    except asyncio.IncompleteReadError:
        raise StoreError("io", "a process of the export has ended before its time: try again") from None
