"""Hebrew points and Arabic vowel marks: most people leave them out, so a search finds words with and without."""

import re

POINTS = (
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
)
"""As in the view `message_bare`, which the words index is made from; a test holds that they agree."""
_POINT = re.compile(f"[{POINTS}]")


def bare(text: str) -> str:
    """The text without points."""
    return text if text.isascii() else _POINT.sub("", text)


def pointed(part: str, text: str, marks: str) -> str:
    """A part of ``bare(text)``, with some ``marks`` in it and perhaps dots at its ends, as ``text`` has it."""
    places = [at for at, char in enumerate(text) if not _POINT.match(char)]
    if len(places) == len(text):
        return part
    ends = [*places[1:], len(text)]
    found = _place(part, "".join(text[at] for at in places), marks)
    if found is None:
        return part
    lead, start, length = found
    out = [part[:lead]]
    for char in part[lead:]:
        if char in marks:
            out.append(char)
        elif length:
            out.append(text[places[start] : ends[start]])
            start, length = start + 1, length - 1
        else:
            out.append(char)
    return "".join(out)


def _place(part: str, plain: str, marks: str) -> tuple[int, int, int] | None:
    """How many dots ``part`` begins with, and where in ``plain`` the rest of it lies."""
    for lead in (0, 1):
        for tail in (0, 1):
            core = "".join(char for char in part[lead : len(part) - tail] if char not in marks)
            at = plain.find(core)
            if at >= 0:
                return lead, at, len(core)
    return None
