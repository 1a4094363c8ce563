"""The reply as lines of a fixed width: words kept whole, every token tinted, and a line of marks beneath.

A line is a list of (style, text) pairs, which prompt_toolkit prints as they are; dropping the styles gives plain
text. Nothing in the texts can act on a terminal.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from wcwidth import wcswidth, wcwidth

from .explanation import Explanation
from .scale import Layer, Reading, colour, hex_colour, ink, read
from .tokens import Group
from .visible import decode, encode, graphemes, neutral, visible

Fragment = tuple[str, str]
Line = list[Fragment]

_TAB = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a group that stands on one line."""

    group: int
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A group ready to be laid out: its text, and where it lies on the scale."""

    group: Group
    text: str
    reading: Reading


@lru_cache(maxsize=16_384)
def width(text: str) -> int:
    """Columns on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, graphemes(text)))


def _columns(character: str) -> int:
    """Of one visible character. A vowel sign that takes room, as in Devanagari, has a column of its own."""
    kinds = list(map(unicodedata.category, character))
    if "Mc" in kinds:
        return sum(
            1 if kind == "Mc" else max(0, wcwidth(char)) for char, kind in zip(character, kinds, strict=True)
        )
    columns = wcswidth(character)
    return columns if columns >= 0 else len(character)


def shown(explanation: Explanation, layer: Layer, *, reveal: bool = False) -> list[Shown]:
    """The groups with their place on the scale; a group of several tokens is as unsure as its least sure one.

    ``reveal`` makes whitespace visible. The end-of-turn token is always named: it has no text.
    """
    out: list[Shown] = []
    for group in explanation.groups:
        parts = explanation.tokens[group.first : group.last + 1]
        least = max((read(layer, part.value(layer)) for part in parts), key=lambda reading: reading.unsure)
        text = visible(group.bytes) if reveal or parts[-1].is_end or not group.bytes else neutral(group.bytes)
        if reveal and b"\n" in group.bytes:
            text = text.replace("⏎", "⏎\n")
        out.append(Shown(group, text.replace("\t", " " * _TAB) if not reveal else text, least))
    return out


def lay_out(pieces: Sequence[str], columns: int) -> list[list[Cell]]:
    """Break texts into lines of at most ``columns``, between words where that is possible."""
    rows: list[list[Cell]] = [[]]
    used = 0
    for word in words(pieces):
        length = sum(width(cell.text) for cell in word)
        if used and used + length > columns and word[0].text != "\n":
            rows.append([])
            used = 0
        for cell in word:
            if cell.text == "\n":
                rows.append([])
                used = 0
                continue
            text = cell.text
            if not used and rows[-1] == [] and len(rows) > 1 and text.startswith(" ") and text.strip(" "):
                text = text[1:]  # the space that ended the line above
            for part in _fit(text, columns):
                if used + width(part) > columns:
                    rows.append([])
                    used = 0
                rows[-1].append(Cell(cell.group, part))
                used += width(part)
    return rows


def words(pieces: Sequence[str]) -> Iterator[list[Cell]]:
    """Runs of texts without a break between them; a newline is a word of its own."""
    word: list[Cell] = []
    for number, piece in enumerate(pieces):
        for run in _split_newlines(piece):
            if run == "\n":
                if word:
                    yield word
                yield [Cell(number, "\n")]
                word = []
                continue
            if word and run[:1] in (" ", "·", "⏎"):
                yield word
                word = []
            word.append(Cell(number, run))
    if word:
        yield word


def _split_newlines(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n")):
        if number:
            yield "\n"
        if line:
            yield line


def _fit(text: str, columns: int) -> Iterator[str]:
    """Cut a text that is wider than a whole line, between characters."""
    if width(text) <= columns:
        yield text
        return
    part = ""
    for cluster in graphemes(decode(encode(text))):
        if part and width(part + cluster) > columns:
            yield part
            part = ""
        part += cluster
    if part:
        yield part


def tint(reading: Reading) -> str:
    """The style of a token at this place of the scale, in 64 shades."""
    return _tint(round(reading.unsure * 64))


@cache
def _tint(shade: int) -> str:
    background = colour(shade / 64)
    return f"bg:{hex_colour(background)} fg:{hex_colour(ink(background))}"


def reply_lines(
    explanation: Explanation,
    layer: Layer = "probability",
    columns: int = 80,
    *,
    current: int | None = None,
    reveal: bool = False,
) -> list[Line]:
    """The whole reply, with a line of marks under each line of text that needs one. A newline is seen as ⏎ too: it
    is a token, or a part of one, and has its tint and mark.

    ``current`` is the step to set off, in reverse.
    """
    groups = shown(explanation, layer, reveal=reveal)
    texts = [group.text if reveal else group.text.replace("\n", "⏎\n") for group in groups]
    out: list[Line] = []
    for row in lay_out(texts, columns):
        line: Line = []
        beneath = ""
        for cell in row:
            group = groups[cell.group]
            here = current is not None and group.group.first <= current <= group.group.last
            line.append((tint(group.reading) + (" reverse bold" if here else ""), cell.text))
            beneath += _beneath(cell.text, "^" if here else group.reading.mark or " ")
        out.append(line)
        if beneath.strip():
            out.append([("", beneath.rstrip())])
    return out


def _beneath(text: str, mark: str) -> str:
    """The mark under every column of a text but its leading spaces."""
    lead = len(text) - len(text.lstrip(" "))
    return " " * lead + mark * (width(text) - lead)


def plain(lines: Sequence[Line]) -> str:
    """The lines without their styles."""
    return "\n".join("".join(text for _, text in line).rstrip() for line in lines)
