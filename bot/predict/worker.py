"""The engine's one thread: rounds until it is stopped, with a context made anew after a fault nobody foresaw."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial

from .engine import EngineError
from .inbox import Inbox, settle
from .mailbox import Mailbox
from .reply import End, Reply
from .rounds import Rounds
from .scoring import ScoreJob

log = logging.getLogger(__name__)

MOST_FAULTS = 3
WITHIN_S = 600.0
"""So many faults within so long, and it is not started anew again."""


class Worker(threading.Thread):
    """The event loop speaks to it through ``begin_later``, ``score_later``, ``forget_later``, ``wake``, ``stop``;
    what has once been taken in is answered, whatever becomes of the thread.

    ``make`` makes what serves it all: first on the thread that makes the worker, which hears why it cannot be had.
    """

    def __init__(self, make: Callable[[], Rounds], inbox: Inbox, mailbox: Mailbox) -> None:
        super().__init__(name="glasshead-engine", daemon=True)
        self._make = make
        self._inbox = inbox
        self._mailbox = mailbox
        self.rounds: Rounds | None = make()
        self._news = threading.Event()
        self._door = threading.Lock()
        """Held while something is taken in, and while the thread is told to stop."""
        self._stopped: EngineError | None = None
        self._faults: list[float] = []
        self.trouble: str | None = None
        """The last fault, and what came of it, in a line."""

    # From the event loop

    def wake(self) -> None:
        """There is something new to see."""
        self._news.set()

    def begin_later(self, reply: Reply) -> None:
        """Let a reply wait for its turn. Raises EngineError once stopped, QueueFull."""
        with self._taking_in():
            self._inbox.queue.put(reply)

    def score_later(self, job: ScoreJob) -> None:
        """Score as soon as there is time. Raises EngineError once stopped."""
        with self._taking_in():
            self._inbox.jobs.append(job)

    def forget_later(self, sessions: Collection[int] | None, done: "asyncio.Future[None]") -> None:
        """Drop what is kept of earlier prompts of these sessions (None: of all), and keep nothing of what waits or
        runs then. Raises EngineError once stopped."""
        with self._taking_in():
            self._inbox.forgetting.append((sessions, done))

    def stop(self, reason: EngineError) -> None:
        """End everything with this reason, and the thread. The first reason counts."""
        with self._door:
            self._stopped = self._stopped or reason
        self.wake()

    @contextmanager
    def _taking_in(self) -> Iterator[None]:
        with self._door:
            if self._stopped is not None:
                failed = self._stopped.reason == "engine_failed"
                why = str(self._stopped) if failed else "the engine is not running"
                raise EngineError("engine_failed" if failed else "engine_closed", why)
            yield
        self.wake()

    # The thread

    def run(self) -> None:
        """Work until stopped; wait without spinning while there is nothing to do."""
        while self._stopped is None:
            try:
                self._work()
            except Exception as error:
                self._end(self._note(error))
        self._end(self._stopped)
        for _, done in self._inbox.forgetting:  # what could not even be forgotten: nothing of it is held any more
            self._mailbox.post(settle, done, None)
        self._mailbox.close()

    def _work(self) -> None:
        rounds = self.rounds = self.rounds or self._make()
        rounds.wakes(self.wake)
        while self._stopped is None:
            self._news.clear()
            if not rounds.round():
                self._news.wait()

    def _note(self, error: Exception) -> EngineError:
        """Log a fault; what to tell those it befell. Too many of them stop the thread."""
        log.exception("the engine failed")
        now, what = time.monotonic(), f"{type(error).__name__}: {error}"
        self._faults = [*(fault for fault in self._faults if now - fault < WITHIN_S), now]
        if len(self._faults) < MOST_FAULTS:
            self.trouble = f"failed at {time.strftime('%H:%M')} and was started anew ({what})"
            log.warning("the engine is started anew; replies that were being made have ended")
            return EngineError("engine_failed", f"the engine failed and is started anew: ask again ({what})")
        self.trouble = f"off since {time.strftime('%H:%M')}: {MOST_FAULTS} faults in a short time (last: {what})"
        off = EngineError(
            "engine_failed",
            f"the engine is not running: it failed {MOST_FAULTS} times within {WITHIN_S / 60:.0f} minutes, "
            f"last with {what}; the program's log says where: start the program anew",
        )
        log.error("%s", off)
        self.stop(off)
        return off

    def _end(self, reason: EngineError) -> None:
        """Answer what runs and, once stopped, what waits: nothing comes after it. Let go of the context."""
        rounds, self.rounds = self.rounds, None
        waiting = [partial(self._answer_waiting, reason)] if self._stopped is not None else []
        todo: list[Callable[[], None]] = [*waiting, self._mailbox.send]  # nobody waits for the disk
        if rounds is not None:
            todo = [partial(rounds.end, reason), *waiting, rounds.forget, self._mailbox.send, rounds.close]
        for do in todo:
            try:
                do()
            except Exception:
                log.exception("the engine ended, but left something undone")

    def _answer_waiting(self, reason: EngineError) -> None:
        queue, jobs = self._inbox.queue, self._inbox.jobs
        while waiting := queue.get():
            queue.done(waiting)
            waiting.deliver(End("error", reason))
        while jobs:
            self._mailbox.post(settle, jobs.popleft().future, reason)
