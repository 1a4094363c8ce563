"""Large pieces of memory and files, handled beside the engine without taking a core from it."""

import time
from collections.abc import Callable, Iterator

PIECE = 512 << 10
PAUSE = 3
"""A pause is so many times as long as what came before it."""


def gently(size: int, hurry: Callable[[], bool] = lambda: False) -> Iterator[slice]:
    """Slices of so many bytes in order, with a pause after each, unless there is a ``hurry``.

    Memory and pages of files that are new to the machine cost it several times what copying them does, and the
    model's threads wait for each other hundreds of times a step: one that finds its core taken holds up all.
    """
    for start in range(0, size, PIECE):
        began = time.monotonic()
        yield slice(start, min(start + PIECE, size))
        if not hurry():
            time.sleep(PAUSE * (time.monotonic() - began))
