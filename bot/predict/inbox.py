"""The inbox: what the event loop hands to the engine's thread, and how it is answered."""

import asyncio
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .engine import EngineError
from .queue import FairQueue
from .scoring import ScoreJob


@dataclass(frozen=True, slots=True)
class Inbox:
    """What the event loop hands in, and the rounds take out."""

    queue: FairQueue
    jobs: deque[ScoreJob] = field(default_factory=deque)
    forgetting: "deque[tuple[Collection[int] | None, asyncio.Future[None]]]" = field(default_factory=deque)
    """Sessions to be forgotten, None for all, and who waits for it."""


def forgotten(future: "asyncio.Future[None]", _: "Future[None]") -> None:
    """On the thread that writes to the disk, which replies do not wait for."""
    with suppress(RuntimeError):  # the loop is closed
        future.get_loop().call_soon_threadsafe(settle, future, None)


def settle(future: "asyncio.Future[Any]", outcome: Any) -> None:
    """On the event loop: what became of it."""
    if future.done():
        return
    if isinstance(outcome, EngineError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
