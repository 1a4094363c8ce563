"""Finding one person's words in what others said: what an erasure has to take along.

A passage counts as quoted when it repeats at least five words in a row that together have twelve characters (a
whole shorter message of twelve characters too), or a tell-tale word: one with a digit in it, an address, a link;
or where it calls the person by name, with an @. Characters of scripts without spaces count as words of two.
"""

import re
import unicodedata
from collections.abc import Iterable

from .points import POINTS, bare
from .sessions import unspaced

WORDS = 5
CHARACTERS = 12
_WORD = re.compile(rf"[\w{POINTS}\u0300-\u036f\u0900-\u0963\u0966-\u0dff]+")
"""With accents that stand apart, and the vowel signs of India: to Python these are no parts of words."""
_TELLTALE = re.compile(r"[^\s\"'<>()\[\]{}]{5,}")

Piece = tuple[str, int, int]


class Quotes:
    """``texts`` are everything the person said, ``names`` what they were called; ``find`` says where another text
    repeats it."""

    def __init__(self, texts: Iterable[str], names: Iterable[str] = ()) -> None:
        called = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self._called = re.compile(rf"@(?:{called})(?!\w)", re.IGNORECASE) if called else None
        self._runs: set[tuple[str, ...]] = set()
        self._whole: dict[int, set[tuple[str, ...]]] = {}
        self._telltale: set[str] = set()
        for text in texts:
            pieces = _pieces(text)
            runs = [run for start in range(len(pieces)) if (run := _run(pieces, start))]
            self._runs.update(runs)
            if not runs and sum(_weight(word) for word, _, _ in pieces) >= CHARACTERS:
                self._whole.setdefault(len(pieces), set()).add(tuple(word for word, _, _ in pieces))
            self._telltale.update(word for word, _, _ in _telltales(text))

    def find(self, text: str) -> list[tuple[int, int]]:
        """Where ``text`` quotes, as character ranges, sorted and without overlap."""
        pieces = _pieces(text)
        found: list[tuple[int, int]] = []
        for start in range(len(pieces)):
            run = _run(pieces, start)
            if run and run in self._runs:
                found.append((pieces[start][1], pieces[start + len(run) - 1][2]))
            for size, wholes in self._whole.items():
                if tuple(word for word, _, _ in pieces[start : start + size]) in wholes:
                    found.append((pieces[start][1], pieces[start + size - 1][2]))
        if self._called is not None:
            found += [match.span() for match in self._called.finditer(text)]
        found += [(first, last) for word, first, last in _telltales(text) if word in self._telltale]
        return _joined(found)

    def redact(self, text: str) -> str:
        """``text`` with what it quotes taken out."""
        for first, last in reversed(self.find(text)):
            text = text[:first] + "[erased]" + text[last:]
        return text


def _pieces(text: str) -> list[Piece]:
    out: list[Piece] = []
    for match in _WORD.finditer(text):
        if unspaced(match[0]):
            out += [(char.casefold(), match.start() + i, match.start() + i + 1) for i, char in enumerate(match[0])]
        else:
            out.append((_word(match[0]), match.start(), match.end()))
    return out


def _word(text: str) -> str:
    """However it was typed: case, points, accents that are one character with their letter or stand apart."""
    return (text if text.isascii() else unicodedata.normalize("NFC", bare(text))).casefold()


def _weight(word: str) -> int:
    """Its length; a character that is a word counts twice."""
    return 2 if len(word) == 1 and unspaced(word) else len(word)


def _run(pieces: list[Piece], start: int) -> tuple[str, ...]:
    """The shortest run from ``start`` that is long enough to be a quotation, empty if there is none."""
    size = 0
    for end in range(start, len(pieces)):
        size += _weight(pieces[end][0])
        if end - start + 1 >= WORDS and size >= CHARACTERS:
            return tuple(word for word, _, _ in pieces[start : end + 1])
    return ()


def _telltales(text: str) -> list[Piece]:
    out: list[Piece] = []
    for match in _TELLTALE.finditer(text):
        word = match[0].strip(".,;:!?…*_~`|")
        if len(word) >= 5 and ("@" in word[1:] or "://" in word or any(char.isdigit() for char in word)):
            first = match.start() + match[0].index(word)
            out.append((word.casefold(), first, first + len(word)))
    return out


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out
