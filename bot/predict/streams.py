"""The KV streams of running replies: who has which, what they begin with, and what is kept of them."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .context import Context
from .engine import EngineError
from .prefix import LEAST, PrefixCache
from .radix import common
from .reply import Reply
from .schedule import cut

log = logging.getLogger(__name__)


class Streams:
    """Streams 0 to ``count - 1`` of a context; owned by the engine's thread.

    Replies keep to the lowest numbers without a gap where that can be had: llama.cpp computes neighbouring streams
    together.
    """

    def __init__(self, context: Context, count: int, cache: PrefixCache, *, can_trim: bool) -> None:
        self._context = context
        self._cache = cache
        self._can_trim = can_trim
        self._holders: list[Reply | None] = [None] * count

    @property
    def free(self) -> bool:
        """Whether another reply can have one."""
        return None in self._holders

    @property
    def holders(self) -> list[Reply]:
        """The replies that have one."""
        return [reply for reply in self._holders if reply is not None]

    def take(self, reply: Reply) -> None:
        """Give the reply the lowest free stream."""
        reply.stream = self._holders.index(None)
        self._holders[reply.stream] = reply

    def waits(self, reply: Reply, prefilling: Sequence[Reply]) -> bool:
        """Whether what this one begins with can be had soon: from disk, or from a reply admitted earlier."""
        return self._is_read(reply) or any(
            other.admitted < reply.admitted
            and (shared := common(other.ids, reply.ids)) > other.computed
            and self._worth(reply, min(shared, len(reply.ids) - 1), len(other.ids))
            for other in prefilling
        )

    def reuse(self, reply: Reply) -> None:
        """Let a reply start from the longest prefix in the cache or in a stream, if that is more than it has."""
        while reply.computed == 0:
            n, entry = self._cache.find(tuple(reply.ids[:-1]))
            if entry is None or entry.data is None or not self._worth(reply, n, len(entry.ids)):
                break
            if self._restore(reply, entry.data, len(entry.ids), n):
                reply.schedule = cut(entry.schedule, n)
            else:
                self._cache.drop(entry)  # else it would be found again, before those that can be had
        donor, shared = None, 0
        for other in self._holders:
            if other is None or other is reply:
                continue
            n = min(common(other.ids, reply.ids), other.computed, len(reply.ids) - 1)
            if n > shared:
                donor, shared = other, n
        if donor is not None and self._worth(reply, shared, donor.computed):
            data = self._snapshot(donor)
            if data is not None:
                self._restore(reply, data, donor.computed, shared)
                reply.schedule = cut(donor.schedule, reply.computed)

    def give_back(self, reply: Reply, *, keep: bool) -> None:
        """Free the reply's stream; ``keep`` what was computed for later prompts that begin the same."""
        self._holders[reply.stream] = None  # before anything that may fail: a reply ends only once
        if keep and reply.computed >= LEAST and (data := self._snapshot(reply)) is not None:
            self._cache.put(tuple(reply.ids[: reply.computed]), reply.schedule, data)
        stream, reply.stream = reply.stream, -1
        self._context.trim(stream, 0)
        self._close_gap(stream)

    def _is_read(self, reply: Reply) -> bool:
        """Whether the state to start from is just being read: other replies go on meanwhile."""
        if reply.computed:
            return False
        n, entry = self._cache.find(tuple(reply.ids[:-1]))
        return entry is not None and entry.data is None and self._worth(reply, n, len(entry.ids))

    def _worth(self, reply: Reply, n: int, whole: int) -> bool:
        """Whether starting from ``n`` positions of a state of ``whole`` is possible and pays."""
        return n >= reply.computed + LEAST and (self._can_trim or n == whole)

    def _snapshot(self, reply: Reply) -> NDArray[np.uint8] | None:
        """The state of a reply's stream; None if it cannot be had: then only time is lost."""
        if self._context.length(reply.stream) != reply.computed:
            return None
        try:
            return self._context.snapshot(reply.stream)
        except (EngineError, MemoryError) as error:
            log.warning("a reply's cache is lost: %s", error)
            return None

    def _restore(self, reply: Reply, data: NDArray[np.uint8], whole: int, n: int) -> bool:
        own = reply.computed - reply.n_cached
        reply.computed = reply.n_cached = 0
        if not self._context.restore(reply.stream, data, whole) or not self._context.trim(reply.stream, n):
            return False
        reply.computed, reply.n_cached = n, n - own
        return True

    def _close_gap(self, gap: int) -> None:
        """Move the reply in the highest stream into the gap."""
        mover = next((other for other in reversed(self._holders[gap + 1 :]) if other is not None), None)
        if mover is None or mover.computed == 0:
            return
        data = self._snapshot(mover)
        if data is not None and self._context.restore(gap, data, mover.computed):
            self._context.trim(mover.stream, 0)
            self._holders[mover.stream], self._holders[gap] = None, mover
            mover.stream = gap
