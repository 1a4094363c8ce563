"""Is a message meant for the bot? Decided from plain facts, so that it can be read as a table."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

Reason = Literal["mention", "reply", "direct", "thread", "always"]


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known about a message that arrived."""

    by_bot: bool = False
    """Written by any bot, this one included, or by a webhook."""
    by_system: bool = False
    """A pin, a join, a boost: nothing a person typed."""
    direct: bool = False
    mentions_us: bool = False
    mentions_others: bool = False
    replies_to_us: bool = False
    replies_to_other: bool = False
    in_own_thread: bool = False
    """In a thread that this bot opened."""
    in_always: bool = False
    """In a channel set to always answer."""


def addressed(heard: Heard) -> Reason | None:  # noqa: PLR0911 - one line per rule, first match wins
    """Why the bot should answer, or None: silence."""
    if heard.by_bot or heard.by_system:
        return None
    if heard.direct:
        return "direct"
    if heard.mentions_us:
        return "mention"
    if heard.replies_to_us:
        return "reply"
    if heard.replies_to_other or heard.mentions_others:
        return None
    if heard.in_own_thread:
        return "thread"
    if heard.in_always:
        return "always"
    return None


class Once:
    """Says yes to each id once: gateways repeat events after a resume."""

    def __init__(self, remembered: int = 4096) -> None:
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._remembered = remembered

    def first(self, id: int) -> bool:
        if id in self._seen:
            return False
        self._seen[id] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True

    def __contains__(self, id: int) -> bool:
        return id in self._seen
