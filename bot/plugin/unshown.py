"""Replies that may not stand in Discord as they stand in the log: noted there, so that a restart catches up."""

import logging

from ..store import Store, StoreError

log = logging.getLogger(__name__)

_SCOPE, _EVERYWHERE = "unshown", 0


async def note(store: Store, turn: int) -> None:
    """From here on the turn is being shown."""
    await _set(store, turn, True)


async def settled(store: Store, turn: int) -> None:
    """It stands there, or never can."""
    await _set(store, turn, None)


async def left(store: Store) -> set[int]:
    """What an earlier process did not show to the end."""
    return {int(turn) for turn in await store.settings(_SCOPE, _EVERYWHERE)}


async def _set(store: Store, turn: int, value: bool | None) -> None:
    try:
        await store.set_setting(_SCOPE, _EVERYWHERE, str(turn), value)
    except StoreError as error:
        log.info("whether turn %d is shown could not be noted: %s", turn, error)
