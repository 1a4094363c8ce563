"""What stands where a reply will be: its place in the queue. It is no answer: a restart knows it by its words."""

import re

from .display import small

GRACE = 2.0
"""Seconds that are waited before a place is shown: most replies begin sooner."""
EVERY = 4.0
"""Seconds between two places that one message shows: the channel's edits are for replies above all."""
READING, THINKING = "Reading …", "Thinking …"
STOPPED, STARTED_AGAIN = "Stopped.", "I was started again before I came to this: please ask once more."
LEFT = "I was stopped before I came to this. If no answer follows, please ask once more."
"""Whether one follows, the next start knows."""

_WAITS = re.compile(rf"-# (?:\d+(?:st|nd|rd|th) in the queue(?: here)?|{READING}|{THINKING}|{re.escape(LEFT)})")


def in_queue(place: int, *, here: bool = False) -> str:
    """Small print: 1 is next, 0 is being read. ``here``: of those that wait in one conversation."""
    return small(f"{ordinal(place)} in the queue{' here' if here else ''}" if place else READING)


def ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def only_waits(text: str) -> bool:
    """Whether a message says nothing but that a reply is to come."""
    return _WAITS.fullmatch(text) is not None
