"""Text as it can be trusted on a screen: control characters, bidi marks and half characters made visible.

Two ways: `neutral` keeps text readable and only disarms what could act on a terminal or reorder a line; `visible`
shows one token, whitespace included.
"""

import re
import unicodedata
from functools import lru_cache

from wcwidth import iter_graphemes

ELLIPSIS = "…"
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = "\u200c\u200d"
UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that Python calls printable and no font draws: Hangul fillers and the like."""
_TAGGED_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f")
"""A region's flag: the black flag and its letters as tag characters, which alone would be unseen text."""
_PICTOGRAPHS = range(0x1F000, 0x1FB00)
"""Emoji come out every year: the fonts of a machine may have some that this Python's tables do not know."""
_SPACES = {" ": "·", "\t": "⇥", "\n": "⏎", "\r": "␍"}


def decode(data: bytes) -> str:
    """UTF-8 with every byte that belongs to no character kept as one lone surrogate (U+DC80 to U+DCFF)."""
    return data.decode("utf-8", "surrogateescape")


def encode(chars: str) -> bytes:
    """What `decode` was given."""
    return chars.encode("utf-8", "surrogateescape")


def text(data: bytes) -> str:
    """The bytes as text; a byte that belongs to no character becomes four characters: ``\\xNN``."""
    return data.decode("utf-8", "backslashreplace")


def _escape(char: str) -> str:
    """A name for a character that would not show, or would do something."""
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures: ␀ ␛ …
    if code == 0x7F:
        return "␡"
    return f"⟨U+{code:04X}⟩"


def _flag_tags(chars: str) -> frozenset[int]:
    """The places of tag characters that are part of a flag."""
    return frozenset(place for flag in _TAGGED_FLAG.finditer(chars) for place in range(*flag.span()))


def neutral(data: bytes | str) -> str:
    """Readable and harmless: newlines and tabs stay; controls, bidi marks and half characters are named."""
    chars = decode(data) if isinstance(data, bytes) else data
    if chars.isascii() and chars.isprintable():
        return chars
    tags = _flag_tags(chars)
    return "".join(char if place in tags else _neutral(char) for place, char in enumerate(chars))


def _neutral(char: str) -> str:
    if char in UNSEEN:
        return _escape(char)
    if char in "\n\t" or char in _JOINERS or char.isprintable() or ord(char) in _PICTOGRAPHS:
        return char
    if char in _BIDI or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"):
        return _escape(char)
    return char


@lru_cache(maxsize=65_536)
def visible(data: bytes) -> str:
    """One token, everything in it visible: spaces as ·, newlines as ⏎, half characters as ``\\xNN``.

    A joiner that joins nothing is named; a combining mark without its letter sits on a dotted circle.
    """
    chars = decode(data)
    if not chars:
        return "∅"
    out: list[str] = []
    tags = _flag_tags(chars)
    for index, char in enumerate(chars):
        if char in _SPACES:
            out.append(_SPACES[char])
        elif char in _JOINERS:
            joins = 0 < index < len(chars) - 1
            out.append(char if joins else _escape(char))
        elif index == 0 and unicodedata.category(char) in ("Mn", "Mc", "Me"):
            out.append("◌" + char)
        elif index in tags:
            out.append(char)
        elif char.isspace():
            out.append(_escape(char))
        else:
            out.append(_neutral(char))
    return "".join(out)


def graphemes(chars: str) -> list[str]:
    """What a reader calls characters (extended grapheme clusters); half characters stand alone."""
    return list(iter_graphemes(chars))
