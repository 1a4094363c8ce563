"""A process that writes pages of an export: which pages, in on standard input; their text, out on standard output.

Each message is its length in four bytes (big-endian) and a pickle, written by our own other side only.
"""

import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import sqlalchemy as sa

from . import jsonl, openai
from .database import reader_engine
from .written import Written

HEADER = 4
POLITE = 2
"""How much less of a busy processor it asks for than the process that writes replies (see nice(2))."""

Kind = Literal["jsonl", "openai"]
WRITERS: dict[Kind, Callable[[sa.Connection, Sequence[int], bool], Written]] = {
    "jsonl": jsonl.written,
    "openai": openai.written,
}


def message(value: object) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(HEADER, "big") + data


def main(path: Path, kind: Kind, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end. A request is (page, traces)."""
    engine = reader_engine(path)
    while len(header := requests.read(HEADER)) == HEADER:
        page, traces = pickle.loads(requests.read(int.from_bytes(header, "big")))  # noqa: S301  our own parent's
        with engine.connect() as connection:
            answers.write(message(WRITERS[kind](connection, page, traces)))
        answers.flush()


if __name__ == "__main__":
    os.nice(POLITE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the requests is its end
    gc.set_threshold(100_000)  # what it makes has no cycles, and looking for them takes a third of the time
    written_as: Kind = "jsonl" if sys.argv[2] == "jsonl" else "openai"
    try:
        main(Path(sys.argv[1]), written_as, sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:  # nobody reads on: an export that was broken off
        os._exit(0)
