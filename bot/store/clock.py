"""Wall time, for telling people when. Nothing is ordered by it."""

import time

DAY_US = 86_400_000_000


def now_us() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000
