"""How much each person and each server may ask for: a bucket that refills with time."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class Allowance:
    """``burst`` replies at once, and ``per_minute`` more every minute, for each key."""

    def __init__(self, burst: int, per_minute: float, clock: Callable[[], float]) -> None:
        self.burst = burst
        self.per_second = per_minute / 60
        self._clock = clock
        self._buckets: dict[int, _Bucket] = {}

    def take(self, key: int) -> float:
        """0 if one more is allowed (and taken), else the seconds until it is."""
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(self.burst, now))
        bucket.level = min(self.burst, bucket.level + (now - bucket.at) * self.per_second)
        bucket.at = now
        if bucket.level < 1:
            return (1 - bucket.level) / self.per_second
        bucket.level -= 1
        self._forget_full(now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        """A full bucket says nothing: drop some, so that memory does not grow with everybody ever met."""
        if len(self._buckets) > 1024:
            full = self.burst / self.per_second
            self._buckets = {key: b for key, b in self._buckets.items() if now - b.at < full}
