"""The mailbox: what the engine's thread tells the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Call = tuple[Callable[..., None], tuple[Any, ...]]


class Mailbox:
    """Carries calls from the engine's thread to the event loop, a round's in one wake-up.

    Waking the loop takes a system call, and the loop then takes the interpreter's lock: a thread of its own does
    it, while the engine's is in the next decode already. It takes a core from one of the model's threads, and the
    others wait: quick steps therefore go several at a time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posted: list[Call] = []
        self._urgent = False
        self._sent_at = 0.0
        self._sent: SimpleQueue[list[Call] | None] = SimpleQueue()
        threading.Thread(target=self._carry, name="glasshead-mailbox", daemon=True).start()

    def post(self, call: Callable[..., None], *args: Any, urgent: bool = True) -> None:
        """Have the event loop do ``call(*args)`` after the next ``send``, or a later one if it is not urgent."""
        self._posted.append((call, args))
        self._urgent = self._urgent or urgent

    def send(self, *, hold: float = 0.0) -> None:
        """Send what was posted, in order; if nothing of it is urgent, only ``hold`` seconds after what was sent
        before. A loop that is gone hears nothing."""
        if not self._posted or (not self._urgent and time.monotonic() < self._sent_at + hold):
            return
        self._sent.put(self._posted)
        self._posted, self._urgent, self._sent_at = [], False, time.monotonic()

    def close(self) -> None:
        """Send what was posted, and no more."""
        self.send()
        self._sent.put(None)

    def _carry(self) -> None:
        while calls := self._sent.get():
            try:
                self._loop.call_soon_threadsafe(_deliver, calls)
            except RuntimeError:  # the loop is closed
                return


def _deliver(calls: list[Call]) -> None:
    for call, args in calls:
        call(*args)
