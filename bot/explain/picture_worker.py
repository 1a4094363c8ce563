"""The process that draws: sheets in on standard input, PNGs out on standard output, one at a time.

A reply is (True, png) or (False, what went wrong).
"""

import os
import sys

from ..pickled import receive, send

POLITE = 5
"""How much less of a busy processor it asks for than the process that writes replies (see nice(2))."""


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
