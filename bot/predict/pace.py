"""The pace of prefill: how many rows a chunk may have so that running replies are not kept waiting."""

from .batch import BLOCK, TILE, Chunk
from .schedule import Rows

_BAND = 512
"""Positions whose pace is taken for one: a row reads all that came before it, and the deeper it lies the longer."""
_UNKNOWN_S = 0.004


class Pace:
    """How long a row takes, by its kernel class and how deep it lies.

    With other threads than were measured last, what is expected: the governor tries some now and then.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[Rows, int], tuple[int, float]] = {}
        """Threads, and seconds a row."""

    def note(self, kind: Rows, depth: int, threads: int, rows: int, seconds: float) -> None:
        """A chunk of so many rows at this depth took so long. What is slower counts at once, what is faster by
        half."""
        took, where = seconds / rows, (kind, depth // _BAND)
        if where in self._seen:
            took = max(took, (took + self._row_s(kind, depth, threads)) / 2)
        self._seen[where] = threads, took

    def rows(self, depth: int, threads: int, seconds: float) -> int:
        """How many rows fit into so long."""
        tile = int(seconds / self._row_s("tile", depth, threads))
        return tile if tile >= TILE else min(TILE - BLOCK, int(seconds / self._row_s("some", depth, threads)))

    def is_quicker_as_tile(self, part: Chunk, depth: int, threads: int) -> bool:
        """Whether the chunk would take longer than a whole tile that holds it."""
        tile = TILE * self._row_s("tile", depth, threads)
        return part.kind == "some" and (part.rows + part.padding) * self._row_s("some", depth, threads) > tile

    def _row_s(self, kind: Rows, depth: int, threads: int) -> float:
        band = depth // _BAND
        # Where nothing was measured, the nearest depth says most, of this class or else of the other.
        nearest = min(self._seen, key=lambda seen: (seen[0] != kind, abs(seen[1] - band)), default=None)
        if nearest is None:
            return _UNKNOWN_S
        measured, row_s = self._seen[nearest]
        # Fewer threads take longer in proportion; more may be no quicker.
        return row_s * max(1.0, measured / threads)
