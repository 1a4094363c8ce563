"""A reply while it is made: what the engine's thread knows of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .engine import EngineError, Finish, Timings
from .sampling import Sampling
from .schedule import Run, Schedule
from .step import Step


def now_us() -> int:
    """Microseconds of a monotonic clock."""
    return time.monotonic_ns() // 1000


@dataclass(frozen=True, slots=True)
class End:
    """How a reply ended; ``error`` where a fault ended it."""

    finish: Finish
    error: EngineError | None = None


@dataclass(slots=True, eq=False)
class Reply:
    """Written by the engine's thread alone, but for ``cancelled``.

    ``ids`` are the prompt and what was generated; the first ``computed`` of them are in the KV stream. Fields that
    the event loop reads are replaced whole, never changed in place. Of a ``private`` reply no KV is kept;
    ``session`` is the logged one it belongs to.
    """

    ids: list[int]
    sampling: Sampling
    seed: int
    first_step: int
    user: str
    deliver: Callable[[Step | End], None]
    stops: tuple[bytes, ...] = ()
    cancelled: bool = False
    private: bool = False
    session: int | None = None
    stream: int = -1
    computed: int = 0
    n_cached: int = 0
    n_steps: int = 0
    schedule: Schedule = ()
    tail: bytes = b""
    admitted: int = 0
    """The how-manieth the engine began."""
    submitted_us: int = field(default_factory=now_us)
    admitted_us: int = 0
    first_us: int = 0
    last_us: int = 0

    def count(self, run: Run) -> None:
        """More positions were computed."""
        self.computed += run.count
        if self.schedule and run.follows(last := self.schedule[-1]):
            self.schedule = (*self.schedule[:-1], run.times(last.count + run.count))
        else:
            self.schedule = (*self.schedule, run)

    @property
    def left(self) -> int:
        """How many of ``ids`` are not computed yet."""
        return len(self.ids) - self.computed

    def stamp(self) -> None:
        """A step was made just now."""
        self.last_us = now_us()
        self.first_us = self.first_us or self.last_us

    def stopped_by(self, piece: bytes) -> bool:
        """Whether a stop string is whole with this piece."""
        if not self.stops:
            return False
        text = self.tail + piece
        self.tail = text[1 - max(map(len, self.stops)) or len(text) :]
        return any(stop in text for stop in self.stops)

    @property
    def timings(self) -> Timings:
        """Zero for what has not happened."""
        return Timings(
            queue_us=max(0, self.admitted_us - self.submitted_us),
            ttft_us=max(0, self.first_us - self.submitted_us),
            gen_us=self.last_us - self.first_us,
        )
