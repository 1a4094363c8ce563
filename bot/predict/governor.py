"""The governor: how many threads compute, so that busy neighbours never bring us to a standstill.

ggml's threads meet at a barrier hundreds of times a step; one that has no core holds up all. So the number is
measured, not assumed: other counts are tried at first, when steps become slow, and now and then.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from . import cgroup

log = logging.getLogger(__name__)

SAMPLES = 3
"""Steps by which a count is judged."""
SLOW, STUCK = 1.5, 4.0
"""So many times the expected duration, three times running or only once, calls for a trial."""
BETTER = 0.92
"""A count wins a trial against more threads if it takes less than this part of their time."""
NEEDLESS, HOPELESS = 1.25, 2.0
"""Fewer threads are given up after one step if it takes so many times as long as another count's best; any count
after two."""
RETRY_S, LONGEST_RETRY_S = 4.0, 16.0
"""Until the next trial of more threads (or fewer, if all run); three times as long after each one in vain."""
AGAIN_S = 1.0
"""But where other work broke off a trial of more: too few cost much for as long as it takes."""
FREE = 0.5
"""More threads are not tried where the cores were idle for less than this part of one: a step without a core takes
so long that the trial itself would be felt."""

Key = tuple[str, int]
"""What is comparable: decode steps of so many rows; prefill by the row, whatever the rows."""


class Governor:
    """Told how long each batch took, says how many threads the next one gets. No effects of its own.

    ``idle``: seconds that the cores have been idle since some moment, added up; None where nobody knows.
    """

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        idle: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._most = most
        self._clock = clock
        self._idle = idle
        self._looked: tuple[float, float] | None = None
        self.threads = most
        self._expected: dict[tuple[Key, int], float] = {}
        self._slow: list[float] = []
        self._trial: _Trial | None = None
        self._retry_s = RETRY_S
        self._due = clock() + RETRY_S

    def observe(self, key: Key, seconds: float) -> int:
        """A batch of kind ``key`` took ``seconds`` with the present threads; returns those for the next."""
        if self._most == 1:
            return 1
        if self._trial is not None and self._trial.key == key:
            self._judge(self._trial, seconds)
        elif self._trial is not None:
            self.threads, self._trial = self._trial.before, None  # another kind of work came between
            self._due = self._clock() + (RETRY_S if self.threads == self._most else AGAIN_S)
        else:
            self._watch(key, seconds)
        return self.threads

    @property
    def is_trying(self) -> bool:
        """Whether the present threads are others than usual, on trial: they may be too few."""
        return self._trial is not None and self.threads != self._trial.before

    def _watch(self, key: Key, seconds: float) -> None:
        first = not self._expected
        expected = self._expected.get((key, self.threads), seconds)
        self._slow = [*self._slow, seconds] if seconds > SLOW * expected else []
        drift = 0.02 * (seconds - expected)  # a longer context takes longer
        self._expected[key, self.threads] = min(seconds, expected + max(0.0, drift))
        if first or len(self._slow) >= SAMPLES or seconds > STUCK * expected:
            fewer = [self.threads >> i for i in range(1, self.threads.bit_length())]
            self._begin(key, [*reversed(fewer), self.threads])
        elif self._clock() >= self._due:
            crowded = self._is_crowded()
            if self.threads == self._most:
                self._begin(key, [self.threads, self.threads // 2])
            elif crowded:
                self._due = self._clock() + RETRY_S
            else:
                self._begin(key, [self.threads, min(self._most, 2 * self.threads)])

    def _is_crowded(self) -> bool:
        """Whether there was no core left since this was last asked."""
        before, idle = self._looked, self._idle()
        self._looked = None if idle is None else (self._clock(), idle)
        if before is None or self._looked is None:
            return False
        return self._looked[1] - before[1] < FREE * (self._looked[0] - before[0])

    def _begin(self, key: Key, counts: list[int]) -> None:
        self._trial = _Trial(key, self.threads, counts)
        if self._slow:  # what called for the trial speaks in it, but not alone: it may be over
            self._trial.times[self.threads] = self._slow[-1:]
        self._slow = []
        self.threads = counts[0]

    def _judge(self, trial: "_Trial", seconds: float) -> None:
        times = trial.times.setdefault(self.threads, [])
        times.append(seconds)
        if len(times) < SAMPLES and not trial.given_up(self.threads):
            return
        trial.left.remove(self.threads)
        if trial.left:
            self.threads = trial.left[0]
            return
        self._trial = None
        chosen = trial.winner()
        self._expected[trial.key, chosen] = min(trial.times[chosen])
        self._retry_s = RETRY_S if chosen != trial.before else min(LONGEST_RETRY_S, 3 * self._retry_s)
        self._due = self._clock() + self._retry_s
        if chosen != trial.before:
            took = ", ".join(f"{n}: {min(took) * 1e3:.1f} ms" for n, took in sorted(trial.times.items()))
            log.info("governor: %d threads instead of %d (%s)", chosen, trial.before, took)
        self.threads = chosen


class _Trial:
    """Counts tried one after the other on the same kind of work; what is hopeless beside those before ends soon."""

    def __init__(self, key: Key, before: int, left: list[int]) -> None:
        self.key = key
        self.before = before
        self.left = left
        self.times: dict[int, list[float]] = {}

    def given_up(self, count: int) -> bool:
        """Whether what was seen of this count is enough to leave it."""
        others = min((min(times) for other, times in self.times.items() if other != count), default=math.inf)
        times = self.times[count]
        patience = NEEDLESS if count < self.before else HOPELESS
        return len(times) >= (1 if count < self.before else 2) and min(times) > patience * others

    def winner(self) -> int:
        """The count with the best median, more threads where it is a draw."""
        chosen, least = 0, math.inf
        for count, times in sorted(self.times.items(), reverse=True):
            median = sorted(times)[len(times) // 2]
            if median < BETTER * least:
                chosen, least = count, median
        return chosen


def available_cores() -> int:
    """Physical cores this process may keep busy: affinity and cgroup quota, one left to others from four up."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = len({_siblings(cpu) for cpu in cpus})
    free = max(1, int(min(cores, cgroup.cores())))
    return free - 1 if free >= 4 else free


def idle_seconds() -> float | None:
    """Seconds that the cores this process may use have been idle since some moment, added up; None where the system
    does not tell."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        mine = {f"cpu{cpu}" for cpu in os.sched_getaffinity(0)}
        times = [line.split() for line in lines if line.split(maxsplit=1)[0] in mine]
        return sum(float(each[4]) for each in times) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return None


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
