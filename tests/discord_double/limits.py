"""Rate limits per route and major parameter, in real time, with the headers discord.py reads."""

import time
from dataclasses import dataclass, field


@dataclass
class Bucket:
    limit: int
    per: float
    used: int = 0
    ends: float = 0.0

    def take(self) -> float:
        """0 if the request may pass, else the seconds to wait."""
        now = time.monotonic()
        if now >= self.ends:
            self.used, self.ends = 0, now + self.per
        if self.used >= self.limit:
            return self.ends - now
        self.used += 1
        return 0.0

    def headers(self, name: str) -> dict[str, str]:
        left = max(0.0, self.ends - time.monotonic())
        return {
            "X-RateLimit-Bucket": name,
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "X-RateLimit-Reset": f"{time.time() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
        }


USUAL_LIMITS: dict[str, tuple[int, float]] = {
    "POST /channels/{channel}/messages": (5, 5.0),
    "PATCH /channels/{channel}/messages/{message}": (5, 5.0),
    "DELETE /channels/{channel}/messages/{message}": (5, 1.0),
    "POST /channels/{channel}/typing": (5, 5.0),
}


@dataclass
class Limits:
    """``rules`` maps "METHOD /path/{parameter}" to (requests, seconds); what is not named has 50 a second."""

    rules: dict[str, tuple[int, float]] = field(default_factory=lambda: dict(USUAL_LIMITS))
    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def bucket(self, route: str, major: str) -> Bucket:
        limit, per = self.rules.get(route, (50, 1.0))
        bucket = self.buckets.setdefault((route, major), Bucket(limit, per))
        bucket.limit, bucket.per = limit, per
        return bucket
