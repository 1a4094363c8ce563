"""The process that draws: sheets in on standard input, PNGs out on standard output, one at a time.

Each message is its length in four bytes (big-endian) and a pickle, written by our own other side only. A reply is
(True, png) or (False, what went wrong).
"""

import os
import pickle
import sys
from typing import BinaryIO

HEADER = 4
POLITE = 5
"""How much less of a busy processor it asks for than the process that writes replies (see nice(2))."""


def send(stream: BinaryIO, message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(len(data).to_bytes(HEADER, "big") + data)
    stream.flush()


def receive(stream: BinaryIO) -> object | None:
    """The next message; None at the end of the stream."""
    header = stream.read(HEADER)
    if len(header) < HEADER:
        return None
    message: object = pickle.loads(stream.read(int.from_bytes(header, "big")))  # noqa: S301 - our own parent wrote it
    return message


def main() -> None:
    os.nice(POLITE)
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing a library prints may get between the messages
    from .picture import Painter  # noqa: PLC0415 - after the streams are safe
    from .sheet import Sheet  # noqa: PLC0415

    painter = Painter()
    send(output, (True, b"ready"))
    while (message := receive(sys.stdin.buffer)) is not None:
        assert isinstance(message, Sheet)
        try:
            send(output, (True, painter.paint(message)))
        except Exception as error:
            send(output, (False, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
