"""Replies that leave no record: for people who want nothing kept, and where the log takes none."""

from typing import Any

from ..store import StoreError

NO_TURN = 0
"""The number of a turn that is not in the log."""


class Unlogged:
    """Stands where the store stands while a turn is made, and forgets everything. ``gap`` is why there is no record
    where there should be one."""

    def __init__(self, gap: StoreError | None = None) -> None:
        self.gap = gap

    async def open_turn(self, **_: Any) -> int:
        return NO_TURN

    async def save_progress(self, turn: int, **_: Any) -> None:
        """Nothing to keep."""

    async def finish_turn(self, turn: int, **_: Any) -> None:
        """Nothing to keep, no message to name."""
