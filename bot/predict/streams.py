"""The KV streams of running replies: who has which, what they begin with, and what is kept of them."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from .context import Context
from .engine import EngineError
from .pieces import gently
from .prefix import LEAST, PrefixCache
from .radix import common
from .reply import Reply
from .schedule import cut

log = logging.getLogger(__name__)

_PAGE = 4096


class Streams:
    """Streams 0 to ``count - 1`` of a context; owned by the engine's thread.

    Replies keep to the lowest numbers without a gap where that can be had: llama.cpp computes neighbouring streams
    together. States are copied one at a time, by ``settle`` and ``close_gap``: a long one takes as long as a step.
    """

    def __init__(self, context: Context, count: int, cache: PrefixCache, *, can_trim: bool) -> None:
        self._context = context
        self._cache = cache
        self._can_trim = can_trim
        self._holders: list[Reply | None] = [None] * count
        self._leaving: dict[Reply, Future[NDArray[np.uint8]] | None] = {}
        """Replies that have ended and still have a stream, and the memory for what is kept of them."""
        self._toucher = ThreadPoolExecutor(1, thread_name_prefix="glasshead-memory")
        self._room = np.empty(0, np.uint8)
        """For copies from stream to stream, while replies run."""
        self._gaps = False

    @property
    def free(self) -> bool:
        """Whether another reply can have one."""
        return None in self._holders

    @property
    def holders(self) -> list[Reply]:
        """The replies that have one and have not ended."""
        return [reply for reply in self._holders if reply is not None and reply not in self._leaving]

    @property
    def leaving(self) -> list[Reply]:
        """The replies that have ended, of which something is still to be kept."""
        return list(self._leaving)

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
            data = self._copied(donor)
            if data is not None:
                self._restore(reply, data, donor.computed, shared)
                reply.schedule = cut(donor.schedule, reply.computed)

    def give_back(self, reply: Reply, *, keep: bool) -> None:
        """The reply has ended: free its stream, or first ``keep`` what was computed, for later prompts that begin
        the same. Memory to keep it in is made ready meanwhile: its first touch takes longer than the copy."""
        self._leaving[reply] = None  # before anything that may fail: a reply ends only once
        if keep and reply.computed >= LEAST and self._context.length(reply.stream) == reply.computed:
            ready = self._toucher.submit(_touched, self._context.state_size(reply.stream))
            self._leaving[reply] = ready
            ready.add_done_callback(lambda _: self._cache.wake())
        else:
            self._free(reply)

    def settle(self) -> bool:
        """Keep what one of those that have ended leaves, if its memory is there. Whether there was one."""
        ready = next((reply for reply, room in self._leaving.items() if room is not None and room.done()), None)
        if ready is not None:
            self._keep(ready)
        return ready is not None

    def close_gap(self) -> bool:
        """Move the reply in the highest stream into the lowest gap below it. Whether there was one."""
        if not self._gaps or self._leaving or None not in self._holders:
            return False
        gap = self._holders.index(None)
        mover = next((other for other in reversed(self._holders[gap + 1 :]) if other is not None), None)
        self._gaps = mover is not None and self._move(mover, gap)
        return self._gaps

    def close(self) -> None:
        """Keep what is still to be kept."""
        try:
            for reply in [reply for reply, room in self._leaving.items() if room is not None]:
                self._keep(reply)
        finally:
            self._toucher.shutdown()

    def _keep(self, reply: Reply) -> None:
        room = self._leaving[reply]
        try:
            data = None if room is None or reply.private else self._snapshot(reply, room.result())
        except MemoryError as error:
            log.warning("a reply's cache is lost: %s", error)
            data = None
        if data is not None:
            self._cache.put(tuple(reply.ids[: reply.computed]), reply.schedule, data, reply.session)
        self._free(reply)

    def _free(self, reply: Reply) -> None:
        stream, reply.stream = reply.stream, -1
        self._holders[stream] = None
        del self._leaving[reply]
        self._context.trim(stream, 0)
        self._gaps = True
        if not any(self._holders):
            self._room = np.empty(0, np.uint8)

    def _move(self, mover: Reply, gap: int) -> bool:
        if mover.computed:
            data = self._copied(mover)
            if data is None or not self._context.restore(gap, data, mover.computed):
                return False
            self._context.trim(mover.stream, 0)
        self._holders[mover.stream], self._holders[gap] = None, mover
        mover.stream = gap
        return True

    def _is_read(self, reply: Reply) -> bool:
        """Whether the state to start from is just being read: other replies go on meanwhile."""
        if reply.computed:
            return False
        n, entry = self._cache.find(tuple(reply.ids[:-1]))
        return entry is not None and entry.data is None and self._worth(reply, n, len(entry.ids))

    def _worth(self, reply: Reply, n: int, whole: int) -> bool:
        """Whether starting from ``n`` positions of a state of ``whole`` is possible and pays."""
        return n >= reply.computed + LEAST and (self._can_trim or n == whole)

    def _copied(self, reply: Reply) -> NDArray[np.uint8] | None:
        """The state of a reply's stream, until the next copy."""
        size = self._context.state_size(reply.stream)
        if self._room.size < size:
            self._room = np.empty(size + size // 4, np.uint8)
        return self._snapshot(reply, self._room)

    def _snapshot(self, reply: Reply, room: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The state of a reply's stream; None if it cannot be had: then only time is lost."""
        if self._context.length(reply.stream) != reply.computed:
            return None
        try:
            return self._context.snapshot(reply.stream, room)
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


def _touched(size: int) -> NDArray[np.uint8]:
    """Memory of which every page is there."""
    data = np.empty(size, np.uint8)
    for piece in gently(size):
        data[piece][::_PAGE] = 0
    return data
