"""What a command writes to: whether a person reads it, and how wide."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

WIDEST = 100
"""Columns beyond which a line of prose is no longer read with ease."""


def at_terminal() -> bool:
    """Whether a person types and reads."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stdout.isatty())


def can_draw() -> bool:
    """Whether there is a screen to draw on."""
    return at_terminal() and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """The terminal's width, 80 in a pipe."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST) if sys.stdout.isatty() else 80


def wrapped(paragraphs: Sequence[str], room: int, indent: int = 3) -> list[str]:
    """Paragraphs in lines of at most ``room`` columns, cut between words; all but the first of each indented."""
    lines = (textwrap.wrap(text, room, subsequent_indent=" " * indent) or [""] for text in paragraphs)
    return [line for each in lines for line in each]
