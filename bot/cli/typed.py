"""Lines a person types: from a terminal with history and multi-line editing, or from a pipe."""

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .terminal import at_terminal

FENCE = '"""'
"""A line of its own: everything up to the next such line is one message."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Typed:
    """What came as one. Between fences nothing is a command, whatever it begins with."""

    text: str
    fenced: bool = False

    @property
    def is_command(self) -> bool:
        return not self.fenced and self.text.startswith("/")


async def typed_messages() -> AsyncIterator[Typed]:
    """Messages as they come; ends with the input. Between fences a message has many lines.

    What was typed can be called back within a sitting and is kept nowhere: only the log holds conversations.
    """
    source = _from_terminal() if at_terminal() else _from_pipe()
    block: list[str] | None = None
    async for line in source:
        if line.strip() == FENCE:
            if block is None:
                block = []
            else:
                yield Typed("\n".join(block), fenced=True)
                block = None
        elif block is not None:
            block.append(line)
        elif line.strip():
            yield Typed(line)
    if block:
        yield Typed("\n".join(block), fenced=True)


async def _from_pipe() -> AsyncIterator[str]:
    """Lines of UTF-8; bytes that are none become lone surrogates, which are refused as a message.

    The mark that some editors put before everything (BOM) is no part of it.
    """
    rest, mark = b"", codecs.BOM_UTF8
    while chunk := await _read():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removeprefix(mark).removesuffix(b"\r").decode(errors="surrogateescape")
            mark = b""
    if rest:
        yield rest.removeprefix(mark).decode(errors="surrogateescape")


async def _read() -> bytes:
    """What comes next on standard input, nothing at its end.

    In a daemon thread and past Python's buffer: a read that never returns must not keep the program from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes) -> None:
        if not future.done():
            future.set_result(data)

    def work() -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:  # closed
            data = b""
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(settle, data)

    threading.Thread(target=work, daemon=True).start()
    return await future


async def _from_terminal() -> AsyncIterator[str]:
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - a pipe has no use for it
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent  # noqa: PLC0415

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        "you › ", multiline=True, key_bindings=keys, prompt_continuation="    · ", enable_suspend=True
    )
    while True:
        try:
            yield await session.prompt_async()
        except EOFError:
            return
        except KeyboardInterrupt:
            continue


@contextmanager
def unechoed() -> Iterator[None]:
    """On a terminal, what is typed meanwhile does not show: it would land in the middle of a reply."""
    if not (sys.stdin and sys.stdin.isatty()):
        yield
        return
    import termios  # noqa: PLC0415 - not on every system

    before = termios.tcgetattr(0)
    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)
