"""Discord's clock: real time, plus what a test has skipped."""

import time
from datetime import UTC, datetime

DISCORD_EPOCH_MS = 1_420_070_400_000


class Clock:
    """Wall time that a test may push forward; durations that a bot feels stay real."""

    def __init__(self, *, small_ids: bool = False) -> None:
        self._skipped = 0.0
        self._last_snowflake = 1000 if small_ids else 0
        self._small_ids = small_ids

    def now(self) -> float:
        return time.time() + self._skipped

    def advance(self, seconds: float) -> None:
        self._skipped += seconds

    def iso(self, at: float | None = None) -> str:
        return datetime.fromtimestamp(self.now() if at is None else at, UTC).isoformat()

    def snowflake(self) -> int:
        """A fresh id, never the same one twice, ordered by time."""
        fresh = 0 if self._small_ids else (int(self.now() * 1000) - DISCORD_EPOCH_MS) << 22
        self._last_snowflake = max(fresh, self._last_snowflake + 1)
        return self._last_snowflake
