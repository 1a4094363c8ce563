"""The prefix cache: KV of sequences computed before, in host memory and on disk, least recently used out first."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .radix import RadixTree
from .schedule import Schedule
from .sessions import is_of
from .spill import Spill, Written

LEAST = 16
"""Positions worth keeping, and worth restoring."""


@dataclass(slots=True, eq=False)
class Entry:
    """A snapshot of ``ids``, ``size`` bytes: ``data`` in memory, or ``spilled`` on disk, or both. All ``ids`` stand
    in a prompt and reply of ``session``, wherever they were computed."""

    ids: tuple[int, ...]
    schedule: Schedule
    session: int | None
    size: int
    data: NDArray[np.uint8] | None
    spilled: Written | None = None


class PrefixCache:
    """Owned by the engine's thread. ``memory`` is a limit in bytes; the disk's is the spill's.

    ``can_trim``: whether the model can forget a sequence's tail. If not, only whole entries are of use.
    """

    def __init__(self, *, memory: int, can_trim: bool, spill: Spill | None = None) -> None:
        self._memory_limit = memory
        self._disk_limit = spill.most if spill else 0
        self._can_trim = can_trim
        self._spill = spill
        self._tree: RadixTree[Entry] = RadixTree()
        self._in_memory: OrderedDict[tuple[int, ...], Entry] = OrderedDict()
        self._on_disk: OrderedDict[tuple[int, ...], Entry] = OrderedDict()
        self._reading: dict[Entry, Future[NDArray[np.uint8] | None]] = {}
        self._memory_used = self._disk_used = 0
        self.wake: Callable[[], None] = lambda: None
        """Called, on another thread, when something was read."""
        for spilled in spill.known() if spill else ():
            entry = Entry(spilled.ids, spilled.schedule, spilled.session, spilled.size, None, spilled)
            self._tree.put(spilled.ids, entry)
            self._on_disk[spilled.ids] = entry
            self._disk_used += spilled.size
        self._shrink()

    def find(self, ids: tuple[int, ...]) -> tuple[int, Entry | None]:
        """How many positions of ``ids`` the best entry has, and the entry. Without data in memory it is being read,
        and found again once it has arrived."""
        shared, entry = self._best(ids)
        if entry is None or shared < LEAST:
            return 0, None
        self._touch(entry)
        if entry.data is None and entry not in self._reading and self._spill and entry.spilled:
            self._reading[entry] = reading = self._spill.read(entry.spilled)
            reading.add_done_callback(lambda _: self.wake())
        return shared, entry

    def arrive(self) -> None:
        """Take in what was read meanwhile; what could not be is forgotten."""
        for entry in [entry for entry, reading in self._reading.items() if reading.done()]:
            data = self._reading.pop(entry).result()
            if self._on_disk.get(entry.ids) is not entry:
                continue  # dropped meanwhile
            if data is None:
                self.drop(entry)
                continue
            entry.data = data
            self._in_memory[entry.ids] = entry
            self._memory_used += entry.size
            self._shrink(keep=entry)

    def put(
        self, ids: tuple[int, ...], schedule: Schedule, data: NDArray[np.uint8], session: int | None = None
    ) -> None:
        """Keep a snapshot. What it makes superfluous goes."""
        if self._can_trim:
            _, sharing = self._tree.longest(ids)
            for entry in sharing:
                if len(entry.ids) > len(ids) and entry.ids[: len(ids)] == ids:
                    self._touch(entry)
                    return
        for entry in self._tree.prefixes(ids):
            if self._can_trim or entry.ids == ids:
                self.drop(entry)
        entry = Entry(ids, schedule, session, data.size, data)
        self._tree.put(ids, entry)
        self._in_memory[ids] = entry
        self._memory_used += entry.size
        self._shrink()

    def drop(self, entry: Entry) -> None:
        """Forget one, on disk too."""
        self._tree.remove(entry.ids)
        self._out_of_memory(entry)
        self._off_disk(entry)

    def clear(self, sessions: Collection[int] | None = None) -> "Future[None]":
        """Drop what is of these sessions, or everything; done once it is off the disk, too."""
        for entry in {*self._in_memory.values(), *self._on_disk.values()}:
            if is_of(entry.session, sessions):
                self.drop(entry)
        if self._spill is not None:
            return self._spill.flush()
        gone: Future[None] = Future()
        gone.set_result(None)
        return gone

    def close(self) -> None:
        """Write what is only in memory, and wait until it is on disk."""
        if self._spill is None:
            return
        try:
            for entry in list(self._in_memory.values()):
                self._write(entry)
            self._shrink_disk()
        finally:
            self._spill.close()

    def _best(self, ids: tuple[int, ...]) -> tuple[int, Entry | None]:
        if self._can_trim:
            shared, entries = self._tree.longest(ids)
        else:
            entries = self._tree.prefixes(ids)[-1:]
            shared = len(entries[0].ids) if entries else 0
        # Any of them has the shared positions; memory is nearer, and short is quick.
        return shared, min(entries, key=lambda entry: (entry.data is None, len(entry.ids)), default=None)

    def _touch(self, entry: Entry) -> None:
        for order in (self._in_memory, self._on_disk):
            if entry.ids in order:
                order.move_to_end(entry.ids)

    def _shrink(self, keep: Entry | None = None) -> None:
        for entry in list(self._in_memory.values()):
            if self._memory_used <= self._memory_limit:
                break
            if entry is not keep:
                self._write(entry)
                self._out_of_memory(entry)
                if entry.spilled is None:
                    self._tree.remove(entry.ids)
        self._shrink_disk()

    def _shrink_disk(self) -> None:
        for entry in list(self._on_disk.values()):
            if self._disk_used <= self._disk_limit:
                break
            self._off_disk(entry)
            if entry.data is None:
                self._tree.remove(entry.ids)

    def _write(self, entry: Entry) -> None:
        if self._spill is None or entry.spilled is not None or entry.data is None:
            return
        if entry.size > self._disk_limit:
            return
        entry.spilled = self._spill.write(entry.ids, entry.schedule, entry.session, entry.data)
        self._on_disk[entry.ids] = entry
        self._disk_used += entry.size

    def _out_of_memory(self, entry: Entry) -> None:
        if self._in_memory.pop(entry.ids, None) is not None:
            self._memory_used -= entry.size
        entry.data = None

    def _off_disk(self, entry: Entry) -> None:
        if self._on_disk.pop(entry.ids, None) is None:
            return
        if self._spill is not None and entry.spilled is not None:
            self._spill.remove(entry.spilled)
        self._disk_used -= entry.size
        entry.spilled = None
