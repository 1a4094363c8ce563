"""The gap from one step of the running replies to the next, and how much of a prompt may be read in it."""

import time

from .batch import BLOCK, LEAST_CHUNK, TILE
from .pace import Pace
from .reply import Reply

GAP_S = 0.15
"""How long it may take: a prefill chunk, and the step itself."""
LEAST_S = 0.05
"""But so long a chunk may take even where steps are slow: else a newcomer would never get there."""
FELT_S = 0.2
"""It may take so long for the sake of LEAST_CHUNK rows, or of the little a newcomer has left."""
LITTLE = TILE
"""So many rows. And a newcomer that has no more goes on until it decodes: if they took turns, all would be late."""
BRIEF_STEPS = 4
"""Where there was no more to read from the beginning, it may take as long as so many steps, too: the others wait
once instead of several times, and the more rows steps have, the less each costs."""
LATE_S = 0.03
"""After copies that took so long running replies get their step before the next chunk."""
HELD_S = 0.06
"""So long a step may wait to be sent with those that follow it at once: nobody sees it, and the loop wakes less."""
ALONE_S = 0.3
"""How long a chunk may take where nobody waits: a newcomer or a cancellation does."""
ALONE_ROWS = TILE + TILE // 2
"""But so many rows it has there at least: tiles are quicker."""


class Gap:
    """Between running replies' steps. ``pace`` says how long rows take; a chunk has ``least`` to ``most``."""

    def __init__(self, pace: Pace, *, least: int, most: int) -> None:
        self._pace = pace
        self._least = least
        self._most = most
        self._step_s = 0.0
        """How long a decode step takes just now,"""
        self._began = 0.0
        """and when the last one was over."""

    def begin(self) -> None:
        """Whatever comes before the next step makes it late, from now on."""
        self._began = time.monotonic()

    def note(self, seconds: float) -> None:
        """A decode step took so long."""
        self._step_s = max(seconds, (seconds + self._step_s) / 2)

    @property
    def is_late(self) -> bool:
        """Whether the step should come before anything else that can wait."""
        return time.monotonic() - self._began > LATE_S

    @property
    def hold_s(self) -> float:
        """How long steps may be held back where the next follows at once."""
        return max(0.0, HELD_S - self._step_s)

    def rows(self, depth: int, threads: int, newcomer: Reply | None = None) -> int:
        """How many rows a chunk at this depth may have now: of a newcomer, or of a text to score."""
        late = self._step_s + time.monotonic() - self._began
        few, felt = LEAST_CHUNK, FELT_S
        if newcomer and newcomer.left <= LITTLE:
            few = newcomer.left + -newcomer.left % BLOCK
            if len(newcomer.ids) - newcomer.n_cached <= LITTLE:
                felt = max(felt, BRIEF_STEPS * self._step_s)
        least = max(self._least, min(few, self._pace.rows(depth, threads, felt - late)))
        return min(self._most, max(least, self._pace.rows(depth, threads, max(LEAST_S, GAP_S - late))))

    def rows_alone(self, depth: int, threads: int) -> int:
        """How many where no reply is running."""
        return min(self._most, max(ALONE_ROWS, self._pace.rows(depth, threads, ALONE_S)))
