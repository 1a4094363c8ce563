"""Ctrl-C while something runs stops that, and not the program; SIGTERM ends the program, but in good order."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer

from ..errors import UserError

T = TypeVar("T")


@contextmanager
def on_interrupt(action: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C calls ``action`` on the event loop."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, action)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Do ``work``; Ctrl-C cancels it, which is a UserError."""
    task = asyncio.create_task(work)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    with on_interrupt(stop):
        try:
            return await task
        except asyncio.CancelledError:
            if not stopped:
                raise
            raise UserError("stopped") from None


def run_until_told(work: Coroutine[Any, Any, None]) -> None:
    """``asyncio.run``, but SIGTERM cancels ``work``, so that what it has open is closed: a running reply is stopped
    and logged. The exit code then is the usual one of a program ended by that signal."""

    async def guarded() -> bool:
        task = asyncio.ensure_future(work)
        told = False

        def stop() -> None:
            nonlocal told
            if not told:  # a second one must not break off the closing
                told = True
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            await task
        except asyncio.CancelledError:
            if not told:
                raise
        return told

    if asyncio.run(guarded()):
        raise typer.Exit(128 + signal.SIGTERM)
