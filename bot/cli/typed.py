"""Lines a person types: from a terminal with history and multi-line editing, or from a pipe."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

FENCE = '"""'
"""A line of its own: everything up to the next such line is one message."""


async def typed_messages(history: Path) -> AsyncIterator[str]:
    """Messages as they come; ends with the input. Between fences a message has many lines."""
    source = _from_terminal(history) if sys.stdin.isatty() and sys.stdout.isatty() else _from_pipe()
    block: list[str] | None = None
    async for line in source:
        if line.strip() == FENCE:
            if block is None:
                block = []
            else:
                yield "\n".join(block)
                block = None
        elif block is not None:
            block.append(line)
        elif line.strip():
            yield line
    if block:
        yield "\n".join(block)


async def _from_pipe() -> AsyncIterator[str]:
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # a TextIOWrapper, whatever its type says
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.rstrip("\n")


async def _from_terminal(history: Path) -> AsyncIterator[str]:
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - a pipe has no use for it
    from prompt_toolkit.history import FileHistory  # noqa: PLC0415
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent  # noqa: PLC0415

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    history.parent.mkdir(parents=True, exist_ok=True)
    session: PromptSession[str] = PromptSession(
        "you › ", history=FileHistory(str(history)), multiline=True, key_bindings=keys, prompt_continuation="    · "
    )
    while True:
        try:
            yield await session.prompt_async()
        except EOFError:
            return
        except KeyboardInterrupt:
            continue
