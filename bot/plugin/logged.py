"""Where a message is put in the log, and what of that which stands above it could not be taken along."""

from dataclasses import dataclass
from typing import Any

MOST_HISTORY = 300
"""Messages read that were not addressed to the bot, and steps up a chain of replies."""
BLANK = "Not all that was said above can I read: only what mentions me (the message-content intent is off)."
UNKEPT = "What you reply to was not read: nothing is kept of it."


@dataclass(frozen=True, slots=True)
class Logged:
    """Where a message stands in the log; ``cut``: older ones, not in the log, were too many to be read; ``lost``:
    how many before it lie where the log is damaged; ``unread``: why others are missing."""

    session: int
    message: int
    cut: bool = False
    lost: int = 0
    unread: str = ""

    @property
    def notes(self) -> list[str]:
        """For small print."""
        unread = f"What was said here before the last {MOST_HISTORY} messages was not read."
        messages = "the message before this one" if self.lost == 1 else f"the {self.lost} messages before this one"
        damaged = f"I cannot read {messages}: my log is damaged there; my operator can mend it."
        return [unread] * self.cut + [damaged] * (self.lost > 0) + [self.unread] * bool(self.unread)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session is logged under that begins with something said: where, by whom, in which words."""

    channel: Any
    channel_id: int | None
    guild_id: int | None
    kind: str
    person: int
    words: str
