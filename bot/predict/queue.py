"""The queue of waiting replies: first come first served for each user, round robin between users."""

import threading
from collections import OrderedDict, deque

from .engine import QueueFull
from .reply import Reply


class FairQueue:
    """Filled by the event loop, emptied by the engine's thread; no call takes longer than a look at the users.

    ``streams`` replies run at once. ``most`` bounds those that have to wait for one, ``most_per_user`` one user's
    waiting and running ones. The nameless user "" has no limit of its own.
    """

    def __init__(self, most: int, most_per_user: int, streams: int) -> None:
        self._streams = streams
        self._most = most
        self._most_per_user = most_per_user
        self._waiting: OrderedDict[str, deque[Reply]] = OrderedDict()
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def waiting(self) -> list[Reply]:
        """All that wait."""
        with self._lock:
            return [reply for theirs in self._waiting.values() for reply in theirs]

    def put(self, reply: Reply) -> None:
        """Let it wait. Raises QueueFull."""
        with self._lock:
            mine = self._waiting.get(reply.user, ())
            if reply.user and len(mine) + self._running.get(reply.user, 0) >= self._most_per_user:
                raise QueueFull(f"you have {_replies(self._most_per_user)} under way: wait until one has ended")
            under_way = sum(map(len, self._waiting.values())) + sum(self._running.values())
            if under_way >= self._streams + self._most:  # one that a free stream is about to take does not wait
                raise QueueFull(f"the queue is full, {_replies(self._most)} waiting: try again in a while")
            self._waiting.setdefault(reply.user, deque()).append(reply)

    def get(self) -> Reply | None:
        """The next to run, counted as its user's until ``done``; its user goes to the end of the line."""
        with self._lock:
            if not self._waiting:
                return None
            user, mine = self._waiting.popitem(last=False)
            reply = mine.popleft()
            if mine:
                self._waiting[user] = mine
            self._running[user] = self._running.get(user, 0) + 1
            return reply

    def done(self, reply: Reply) -> None:
        """A reply that ran has ended."""
        with self._lock:
            left = self._running[reply.user] - 1
            if left:
                self._running[reply.user] = left
            else:
                del self._running[reply.user]

    def remove(self, reply: Reply) -> bool:
        """Take it out, if it still waits."""
        with self._lock:
            mine = self._waiting.get(reply.user)
            if mine is None or reply not in mine:
                return False
            mine.remove(reply)
            if not mine:
                del self._waiting[reply.user]
            return True

    def place(self, reply: Reply) -> int:
        """How many will have begun when this one has: 1 is next. 0 if it does not wait."""
        with self._lock:
            mine = self._waiting.get(reply.user)
            if mine is None or reply not in mine:
                return 0
            turn = mine.index(reply)
            place, before = turn + 1, True
            for user, theirs in self._waiting.items():
                if user == reply.user:
                    before = False
                else:
                    place += min(len(theirs), turn + 1 if before else turn)
            return place


def _replies(number: int) -> str:
    return f"{number} {'reply' if number == 1 else 'replies'}"
