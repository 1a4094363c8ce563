"""Pictures drawn in a process of their own, so that neither the event loop nor a reply waits for one."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from typing import cast

from ..errors import UserError
from ..pickled import packed, read
from .sheet import Sheet

PATIENCE = 20.0
"""Seconds after which a picture is given up: a hundred times what one takes."""


class PictureProcess:
    """Starts with the first picture, starts again after a crash, ends with `aclose`. One picture at a time."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def warm_up(self) -> None:
        """Start now, so that the first picture is as quick as the others."""
        async with self._turn:
            await asyncio.wait_for(self._started(), PATIENCE)

    async def draw(self, sheet: Sheet) -> bytes:
        """The sheet as a PNG. Raises UserError when it cannot be drawn."""
        data = await asyncio.to_thread(packed, sheet)
        async with self._turn:
            try:
                ok, result = await asyncio.wait_for(self._exchange(data), PATIENCE)
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                await self._kill()
                raise UserError(f"the picture could not be drawn ({type(error).__name__}): try again") from error
            except asyncio.CancelledError:
                await self._kill()  # its answer would be taken for the next one's
                raise
        if not ok:
            raise UserError(f"the picture could not be drawn: {result!r}")
        return cast(bytes, result)

    async def aclose(self) -> None:
        async with self._turn:
            await self._kill()

    async def _exchange(self, data: bytes) -> tuple[bool, object]:
        process = await self._started()
        assert process.stdin is not None
        process.stdin.write(data)
        await process.stdin.drain()
        return await _read(process)

    async def _started(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"{__package__}.picture_worker", stdin=PIPE, stdout=PIPE
            )
            await _read(self._process)  # it says when its fonts are open
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


async def _read(process: Process) -> tuple[bool, object]:
    assert process.stdout is not None
    return cast(tuple[bool, object], await read(process.stdout))
