"""The saved state of a model with a sliding window, made whole.

llama.cpp saves only the cells of a sequence that its window still sees. Cut back, such a state would lack what an
earlier window saw, and even uncut its cells stand elsewhere, which rounds otherwise. So the windows before the last
are saved one by one, and put together here as if llama.cpp had saved all cells. The format is llama.cpp's own
(``llama_kv_cache::state_write``); whatever does not look like it is refused.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_HEAD = 8  # magic, sequence id
_CELL = 12  # position, how many sequences, which


class Unknown(Exception):
    """The state is not of the form expected here."""


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache of a state: ``cells`` by row, ``keys`` and ``values`` of each layer by cell."""

    streams: tuple[int, int]
    """How many there are, and which one this is."""
    cells: Bytes
    keys: tuple[tuple[bytes, Bytes], ...]
    values: tuple[tuple[bytes, Bytes], ...]

    @property
    def first(self) -> int:
        """The position of the first cell."""
        return int(self.cells[0, :4].copy().view("<i4")[0])

    def bytes(self) -> Bytes:
        """As llama.cpp writes it."""
        count, own = self.streams
        parts = [struct.pack("<I", count) + bytes(4 * own) + struct.pack("<I", len(self.cells))]
        parts += [self.cells.tobytes(), struct.pack("<II", 0, len(self.keys))]
        parts += [part for head, rows in (*self.keys, *self.values) for part in (head, rows.tobytes())]
        parts.append(bytes(4 * (count - own - 1)))
        return np.frombuffer(b"".join(parts), np.uint8)


def windowed(state: Bytes) -> tuple[int, Cache]:
    """Where the windowed cache of a whole state begins, and the cache. Raises Unknown."""
    _, start = _cache(state, _HEAD)
    cache, end = _cache(state, start)
    if end != state.size:
        raise Unknown
    return start, cache


def window(state: Bytes) -> Cache:
    """The windowed cache of a state that is nothing else. Raises Unknown."""
    cache, end = _cache(state, _HEAD)
    if end != state.size:
        raise Unknown
    return cache


def join(state: Bytes, start: int, windows: Sequence[Cache]) -> Bytes:
    """The state with ``windows``, oldest first, instead of its own last one. Raises Unknown."""

    def one_after_another(parts: Sequence[tuple[tuple[bytes, Bytes], ...]]) -> tuple[tuple[bytes, Bytes], ...]:
        layers = zip(*parts, strict=True)
        return tuple((layer[0][0], np.concatenate([rows for _, rows in layer])) for layer in layers)

    whole = Cache(
        windows[0].streams,
        np.concatenate([part.cells for part in windows]),
        one_after_another([part.keys for part in windows]),
        one_after_another([part.values for part in windows]),
    )
    positions = whole.cells[:, :4].copy().view("<i4").ravel()
    if not np.array_equal(positions, np.arange(len(positions))):
        raise Unknown
    return np.concatenate([state[:start], whole.bytes()])


def _cache(state: Bytes, at: int) -> tuple[Cache, int]:
    reader = _Reader(state, at)
    count = reader.number("<I")
    counts: list[int] = []
    found: Cache | None = None
    for own in range(count):
        counts.append(reader.number("<I"))
        if counts[-1]:
            if found is not None:
                raise Unknown
            found = reader.cache((count, own), counts[-1])
    if found is None:
        raise Unknown
    return found, reader.at


class _Reader:
    def __init__(self, state: Bytes, at: int) -> None:
        self._state = state
        self.at = at

    def cache(self, streams: tuple[int, int], n: int) -> Cache:
        cells = self._take(n * _CELL).reshape(n, _CELL)
        if (cells[:, 4:8].copy().view("<u4") != 1).any() or self.number("<I") != 0:  # values are not transposed
            raise Unknown
        layers = self.number("<I")
        keys, values = ([self._rows(n) for _ in range(layers)] for _ in range(2))
        return Cache(streams, cells, tuple(keys), tuple(values))

    def _rows(self, n: int) -> tuple[bytes, Bytes]:
        head = self._take(12).tobytes()  # type, bytes of a row
        size = struct.unpack("<Q", head[4:])[0]
        return head, self._take(n * size).reshape(n, size)

    def number(self, layout: str) -> int:
        value: int = struct.unpack(layout, self._take(struct.calcsize(layout)).tobytes())[0]
        return value

    def _take(self, size: int) -> Bytes:
        if self.at + size > self._state.size:
            raise Unknown
        self.at += size
        return self._state[self.at - size : self.at]
