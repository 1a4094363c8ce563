"""Text to glyphs: HarfBuzz shapes each run of one font and one direction; what no font has is written as bytes.

Directions are kept simple: a run of right-to-left letters, with what stands between them, is laid right to left.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import uharfbuzz as hb  # type: ignore[import-untyped]

from .fontbook import Font, FontBook
from .visible import graphemes

Direction = Literal["ltr", "rtl"]


@dataclass(frozen=True, slots=True)
class Glyph:
    """Glyph ``id`` of ``font`` with its origin at (``x``, ``y``); y points down; em = 1."""

    font: Font
    id: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Shaped:
    """A piece of text, shaped at size 1. ``extents`` are (left, right) of each character of the text."""

    text: str
    glyphs: tuple[Glyph, ...]
    extents: tuple[tuple[float, float], ...]
    width: float
    direction: Direction | None
    """None for a text without a letter of either direction: it goes with its neighbours."""


@dataclass(frozen=True, slots=True)
class _Char:
    """A character to draw and the index of the character it stands for."""

    char: str
    source: int
    font: Font


def shape(text: str, book: FontBook) -> Shaped:
    """Shape one line's piece of text."""
    chars = _with_fonts(text, book)
    directions = _directions([char.char for char in chars])
    runs = [
        [chars[i] for i in run]
        for _, run in groupby(range(len(chars)), key=lambda i: (chars[i].font, directions[i]))
    ]
    run_directions = [directions[sum(map(len, runs[:n]))] for n in range(len(runs))]
    base: Direction = "rtl" if "rtl" in directions and directions[0] != "ltr" else "ltr"
    order = visual_order(run_directions, base)
    glyphs: list[Glyph] = []
    extents: list[tuple[float, float]] = [(0.0, 0.0)] * len(text)
    x = 0.0
    for number in order:
        x = _shape_run(runs[number], run_directions[number], x, glyphs, extents)
    first = next((direction for direction in map(_strong, text) if direction), None)
    return Shaped(text, tuple(glyphs), tuple(extents), x, first)


def drawn(text: str, book: FontBook) -> str:
    """The characters that are drawn: the bytes of those that no font has."""
    return "".join(char.char for char in _with_fonts(text, book))


def visual_order(directions: Sequence[Direction], base: Direction) -> list[int]:
    """The places of runs from left to right on a line of direction ``base``; foreign ones keep their own order."""
    out: list[int] = []
    for direction, run in groupby(range(len(directions)), key=lambda i: directions[i]):
        places = list(run)
        out += reversed(places) if direction != base else places
    return out if base == "ltr" else out[::-1]


def _with_fonts(text: str, book: FontBook) -> list[_Char]:
    out: list[_Char] = []
    source = 0
    for cluster in graphemes(text):
        font = book.font_for(cluster)
        if font is not None:
            out += [_Char(char, source + i, font) for i, char in enumerate(cluster)]
        else:
            for i, char in enumerate(cluster):
                own = book.font_for(char)
                out += [_Char(char, source + i, own)] if own else _escaped(char, source + i, book)
        source += len(cluster)
    return out


def _escaped(char: str, source: int, book: FontBook) -> list[_Char]:
    code = ord(char)
    # A control picture (U+2400 …) stands for a control byte: that is the byte to name.
    data = bytes([code - 0x2400]) if 0x2400 <= code < 0x2420 else char.encode("utf-8", "surrogatepass")
    return [_Char(c, source, book.outlines[0]) for byte in data for c in f"\\x{byte:02x}"]


def _strong(char: str) -> Direction | None:
    kind = unicodedata.bidirectional(char)
    return "ltr" if kind == "L" else "rtl" if kind in ("R", "AL") else None


def _directions(chars: Sequence[str]) -> list[Direction]:
    """Of each character. Digits run left to right wherever they stand."""
    settled = settle([_strong(char) for char in chars])
    return [
        "ltr" if unicodedata.bidirectional(char) in ("EN", "AN") else direction
        for char, direction in zip(chars, settled, strict=True)
    ]


def settle(strong: Sequence[Direction | None]) -> list[Direction]:
    """Give what has no direction that of its neighbours if these agree, else the line's: its first strong one's."""
    base: Direction = next((direction for direction in strong if direction), "ltr")
    after: list[Direction] = []
    following = base
    for direction in reversed(strong):
        following = direction or following
        after.append(following)
    out: list[Direction] = []
    before = base
    for own, coming in zip(strong, reversed(after), strict=True):
        before = own or before
        out.append(own or (before if before == coming else base))
    return out


def _shape_run(
    run: Sequence[_Char], direction: Direction, x: float, glyphs: list[Glyph], extents: list[tuple[float, float]]
) -> float:
    """Append a run's glyphs from ``x`` on, fill in its characters' extents; returns where it ends."""
    font = run[0].font
    buffer = hb.Buffer()
    buffer.add_codepoints([ord(char.char) for char in run])
    buffer.guess_segment_properties()
    buffer.direction = direction
    hb.shape(font.hb, buffer)
    scale = 1.0 / font.upem
    spans: dict[int, list[float]] = {}
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        glyphs.append(Glyph(font, info.codepoint, x + position.x_offset * scale, -position.y_offset * scale))
        width = position.x_advance * scale
        span = spans.setdefault(info.cluster, [x, x])
        span[0], span[1] = min(span[0], x), max(span[1], x + width)
        x += width
    _spread(run, spans, direction, extents)
    return x


def _spread(
    run: Sequence[_Char],
    spans: dict[int, list[float]],
    direction: Direction,
    extents: list[tuple[float, float]],
) -> None:
    """Share the width of what was shaped together evenly among its characters."""
    starts = sorted(spans)
    for start, end in zip(starts, [*starts[1:], len(run)], strict=True):
        left, right = spans[start]
        part = (right - left) / (end - start)
        for place in range(start, end):
            offset = (place - start) * part
            own = (left + offset, left + offset + part)
            if direction == "rtl":
                own = (right - offset - part, right - offset)
            source = run[place].source
            known = extents[source]
            extents[source] = own if known == (0.0, 0.0) else (min(known[0], own[0]), max(known[1], own[1]))
