"""A process that writes pages of an export: which pages, in on standard input; their text, on standard output."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, cast

import sqlalchemy as sa

from ..pickled import packed, receive
from . import jsonl, openai
from .database import reader_engine
from .written import Piece

POLITE = 2
"""How much less of a busy processor it asks for than the process that writes replies (see nice(2))."""

Kind = Literal["jsonl", "openai"]
Request = tuple[Sequence[int], bool]
"""A page, and whether with traces."""
WRITERS: dict[Kind, Callable[[sa.Connection, Sequence[int], bool], Iterator[Piece]]] = {
    "jsonl": jsonl.written,
    "openai": openai.written,
}
SHORT = 32_768
"""Characters sent at once. Long texts would leave holes in the memory of who reads them, for good."""


def main(path: Path, kind: Kind, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end."""
    engine = reader_engine(path)
    while (request := receive(requests)) is not None:
        page, traces = cast(Request, request)
        with engine.connect() as connection:
            # The whole page before any of it is sent: others are read before it, and this one goes on meanwhile.
            made = [packed(part) for piece in WRITERS[kind](connection, page, traces) for part in _parts(piece)]
        answers.writelines(made)
        answers.flush()


def _parts(piece: Piece) -> Iterable[Piece]:
    if not isinstance(piece, str):
        return (piece,)
    return (piece[at : at + SHORT] for at in range(0, len(piece), SHORT))


if __name__ == "__main__":
    os.nice(POLITE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the requests is its end
    gc.set_threshold(100_000)  # what it makes has no cycles, and looking for them takes a third of the time
    written_as: Kind = "jsonl" if sys.argv[2] == "jsonl" else "openai"
    try:
        main(Path(sys.argv[1]), written_as, sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:  # nobody reads on: an export that was broken off
        os._exit(0)
