"""Messages between this program and a process it started: length in four bytes (big-endian), then a pickle.

Written by our own other side only: a pickle from anywhere else could do anything.
"""

import asyncio
import pickle
from typing import BinaryIO

_HEADER = 4
_SMALL = 256 * 1024
"""Bytes that are opened sooner than another thread is woken to do it."""


def packed(message: object) -> bytes:
    """What goes over the pipe."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_HEADER, "big") + data


def send(stream: BinaryIO, message: object) -> None:
    """In the started process: one message, at once."""
    stream.write(packed(message))
    stream.flush()


def receive(stream: BinaryIO) -> object | None:
    """In the started process: the next message; None at the end of the stream."""
    header = stream.read(_HEADER)
    if len(header) < _HEADER:
        return None
    message: object = pickle.loads(stream.read(int.from_bytes(header, "big")))  # noqa: S301 - our own parent wrote it
    return message


async def read(stream: asyncio.StreamReader) -> object:
    """In the program: the next answer. Raises IncompleteReadError where the process has ended."""
    data = await stream.readexactly(int.from_bytes(await stream.readexactly(_HEADER), "big"))
    answer: object = await asyncio.to_thread(pickle.loads, data) if len(data) > _SMALL else pickle.loads(data)  # noqa: S301
    return answer
