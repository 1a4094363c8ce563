"""Going on where a page of the log is damaged: past the messages on it, which cannot be followed."""

import logging

from ..store import Store, StoreError
from ..store.records import MessageRow

log = logging.getLogger(__name__)


async def readable(store: Store, message: int) -> MessageRow | None:
    """None for one that lies where the log is damaged."""
    try:
        return await store.message(message)
    except StoreError as error:
        if error.reason != "damaged":
            raise
        return None


async def around_damage(store: Store, leaf: int) -> tuple[int | None, int]:
    """``leaf``, or the nearest message before it that can be read; and how many cannot."""
    at: int | None = leaf
    lost = 0
    while at is not None and await readable(store, at) is None:
        lost += 1
        at = await store.above(at)
    if lost:
        log.warning(
            "%d messages up to %d cannot be read, the log is damaged: run `glasshead log check`", lost, leaf
        )
    return at, lost
