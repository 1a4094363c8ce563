"""Ctrl-C while something runs stops that, and not the program; SIGTERM ends the program, but in good order."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import typer

from ..errors import UserError

T = TypeVar("T")


class _Told(Exception):
    """The signal came."""


@contextmanager
def _on_signal(number: int, action: Callable[[], object]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
        signal.signal(number, before)


def on_interrupt(action: Callable[[], object]) -> AbstractContextManager[None]:
    """Ctrl-C calls ``action`` on the event loop."""
    return _on_signal(signal.SIGINT, action)


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Do ``work``; Ctrl-C cancels it, which is a UserError."""
    try:
        return await _cancelled_by(signal.SIGINT, work)
    except _Told:
        raise UserError("stopped") from None


def run_until_told(work: Coroutine[Any, Any, None]) -> None:
    """``asyncio.run``, but SIGTERM cancels ``work``, so that what it has open is closed: a running reply is stopped
    and logged. The exit code then is the usual one of a program ended by that signal."""
    try:
        asyncio.run(_cancelled_by(signal.SIGTERM, work))
    except _Told:
        typer.echo(err=True)  # what comes next in the terminal is not of the line that was broken off
        raise typer.Exit(128 + signal.SIGTERM) from None


async def _cancelled_by(number: int, work: Coroutine[Any, Any, T]) -> T:
    """Do ``work``; the signal cancels it, and raises _Told."""
    task = asyncio.create_task(work)
    told = False

    def stop() -> None:
        nonlocal told
        if not told:  # a second one must not break off the closing
            told = True
            task.cancel()

    with _on_signal(number, stop):
        try:
            return await task
        except asyncio.CancelledError:
            if not told:
                raise
            raise _Told from None
