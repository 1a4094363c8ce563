"""Shaped words flowing into rows of a fixed width in pixels, each token's place on its row known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .fontbook import FontBook
from .lines import Cell, words
from .shaping import Direction, Shaped, settle, shape, visual_order
from .visible import graphemes

_GAP = -1
"""Belongs to no group's box: the space before a token's text."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A shaped text whose left end is at ``x`` pixels of its row."""

    shaped: Shaped
    x: float


@dataclass(frozen=True, slots=True)
class Box:
    """What a group covers of a row, without the space before it."""

    group: int
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Row:
    texts: tuple[Placed, ...]
    boxes: tuple[Box, ...]

    def holds(self, group: int) -> bool:
        return any(box.group == group for box in self.boxes)


class Flow:
    """Lays texts out at one size; words are shaped once."""

    def __init__(self, book: FontBook, size: float, width: float) -> None:
        self.book = book
        self.size = size
        self.width = width
        self.shape = lru_cache(maxsize=16_384)(lambda text: shape(text, book))

    def measure(self, text: str) -> float:
        return self.shape(text).width * self.size

    def rows(self, pieces: Sequence[str]) -> list[Row]:
        """Break the groups' texts into rows. A newline in a text ends its row."""
        rows: list[list[list[Cell]]] = [[]]
        used = 0.0
        for word in words(pieces):
            if word[0].text == "\n":
                rows.append([])
                used = 0.0
                continue
            for part in self._fitting(word):
                text = part
                length = self.measure(_text(text))
                if used and used + length > self.width:
                    rows.append([])
                    used = 0.0
                if not used and len(rows) > 1:
                    text = _without_space(text)
                    length = self.measure(_text(text))
                rows[-1] += _space_apart(text)
                used += length
        return [self._row(row) for row in rows]

    def _fitting(self, word: list[Cell]) -> list[list[Cell]]:
        """The word, cut between characters where it is wider than a row."""
        if self.measure(_text(word)) <= self.width:
            return [word]
        out: list[list[Cell]] = [[]]
        used = 0.0
        for cell in word:
            for text in self._characters(cell.text):
                length = self.measure(text)
                if used and used + length > self.width:
                    out.append([])
                    used = 0.0
                out[-1].append(Cell(cell.group, text))
                used += length
        return out

    def _characters(self, text: str) -> Iterator[str]:
        """The visible characters; one that no font has, written as its bytes, may itself be wider than a row."""
        for cluster in graphemes(text):
            if self.measure(cluster) <= self.width:
                yield cluster
            else:
                yield from cluster

    def _row(self, row: list[list[Cell]]) -> Row:
        shaped = [self.shape(_text(word)) for word in row]
        directions = settle([piece.direction for piece in shaped])
        base: Direction = directions[0] if directions else "ltr"
        starts = [0.0] * len(row)
        x = 0.0
        for place in visual_order(directions, base):
            starts[place] = x
            x += shaped[place].width * self.size
        shift = max(0.0, self.width - x) if base == "rtl" else 0.0
        texts = tuple(Placed(piece, start + shift) for piece, start in zip(shaped, starts, strict=True))
        boxes = [box for word, text in zip(row, texts, strict=True) for box in self._boxes(word, text)]
        return Row(texts, tuple(boxes))

    def _boxes(self, word: list[Cell], placed: Placed) -> list[Box]:
        out: list[Box] = []
        at = 0
        for cell in word:
            lead = len(cell.text) - len(cell.text.lstrip(" "))
            own = placed.shaped.extents[at + (lead if lead < len(cell.text) else 0) : at + len(cell.text)]
            at += len(cell.text)
            if cell.group == _GAP:
                continue
            left, right = min(edge[0] for edge in own), max(edge[1] for edge in own)
            box = Box(cell.group, placed.x + left * self.size, placed.x + right * self.size)
            if out and out[-1].group == box.group:
                box = Box(box.group, min(out[-1].left, box.left), max(out[-1].right, box.right))
                out.pop()
            out.append(box)
        return out


def _text(word: Sequence[Cell]) -> str:
    return "".join(cell.text for cell in word)


def _space_apart(word: list[Cell]) -> list[list[Cell]]:
    """The space before a word as a text of its own: it stands between two words, whichever way these are read."""
    first = word[0]
    bare = first.text.lstrip(" ")
    if bare == first.text or not _text(word).strip(" "):
        return [word]
    own = not bare and word[1].group != first.group  # a token that is all space
    space = Cell(first.group if own else _GAP, first.text[: len(first.text) - len(bare)])
    rest = [Cell(first.group, bare), *word[1:]] if bare else word[1:]
    return [[space], rest]


def _without_space(word: list[Cell]) -> list[Cell]:
    """The word without the space that the end of the row above stands for; a token that is all space keeps it."""
    first = word[0]
    if not first.text.startswith(" ") or not _text(word).strip(" "):
        return word
    rest = first.text[1:]
    if rest:
        return [Cell(first.group, rest), *word[1:]]
    return word[1:] if word[1].group == first.group else word
