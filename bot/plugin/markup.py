"""Discord markdown as far as it matters for cutting a text: what is open at each position, where not to cut."""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

_INLINE = re.compile(r"(?<!\\)(\|\||\*\*|__|~~|`)")
_FENCE = "```"
_LANGUAGE = re.compile(r"[A-Za-z0-9_+\-.#]{0,20}(?=\n)")
_WHOLE = re.compile(r"\[[^\]\n]{0,300}\]\([^)\s]{0,600}\)|<?https?://[^\s>]+>?|<[@#:a/][^>\s]{1,60}>")


@dataclass(frozen=True, slots=True)
class Span:
    """Something open between two positions: reopened with ``opener`` and closed with ``closer`` when cut inside."""

    start: int
    end: int
    opener: str
    closer: str


class Markup:
    """The spans of one text: code fences, inline code, spoilers, bold, underline, strike-through, quotes."""

    def __init__(self, text: str) -> None:
        self.text = text
        fences = _fences(text)
        self.spans = sorted([*fences, *_inline(text, fences), *_quotes(text, fences)], key=lambda s: s.start)
        self._starts = [span.start for span in self.spans]
        self._reach = list(accumulate((span.end for span in self.spans), max))
        """How far the spans up to each one go at most."""
        self._glued = bytearray(len(text) + 2)
        for match in _WHOLE.finditer(text):
            self._glue(match.start() + 1, match.end())
        for span in self.spans:
            self._glue_markers(span)

    def open_at(self, position: int) -> list[Span]:
        """What a cut before ``position`` would break, outermost first."""
        out: list[Span] = []
        at = bisect_right(self._starts, position)
        while at and self._reach[at - 1] > position:
            at -= 1
            if self.spans[at].start < position < self.spans[at].end:
                out.append(self.spans[at])
        return out[::-1]

    def glued(self, position: int) -> bool:
        """Whether a cut there would go through a link, a mention, a marker or a character of several code points,
        or leave a pair of markers with nothing between them."""
        return bool(self._glued[position]) or _joins(self.text, position)

    def _glue(self, first: int, end: int) -> None:
        for position in range(max(first, 0), min(end, len(self._glued))):
            self._glued[position] = 1

    def _glue_markers(self, span: Span) -> None:
        self._glue(span.start + 1, span.start + len(span.opener) + 1)
        if span.closer and span.end <= len(self.text):
            closing = span.end - len(span.closer)
            blank = self.text[closing - 1] == "\n"
            self._glue(closing - blank, span.end)


def _joins(text: str, position: int) -> bool:
    """A combining mark, a joiner or a variation selector stands at the cut."""
    if not 0 < position < len(text):
        return False
    after, before = text[position], text[position - 1]
    return (
        after in "\u200d\ufe0e\ufe0f\u20e3"
        or before in "\u200d\\"
        or "\u0300" <= after <= "\u036f"
        or ("\U0001f3fb" <= after <= "\U0001f3ff")
    )


def _fences(text: str) -> list[Span]:
    """Code blocks. One that never ends is open to the end of the text, as while it is being written; one in a quote
    goes on in a quote."""
    out: list[Span] = []
    position = text.find(_FENCE)
    while position >= 0:
        if position and text[position - 1] == "\\":
            position = text.find(_FENCE, position + 1)
            continue
        body = position + len(_FENCE)
        language = _LANGUAGE.match(text, body)
        opener = f"{_FENCE}{language.group() if language else ''}\n"
        end = text.find(_FENCE, body)
        stop = len(text) + 1 if end < 0 else end + len(_FENCE)
        quote = "> " if text[text.rfind("\n", 0, position) + 1 : position] == "> " else ""
        out.append(Span(position - len(quote), stop, quote + opener, quote + _FENCE))
        position = text.find(_FENCE, stop) if end >= 0 else -1
    return out


def _within(fences: list[Span]) -> Callable[[int], bool]:
    """Whether a position is in one of them; they are in order and apart."""
    starts = [fence.start for fence in fences]

    def within(position: int) -> bool:
        at = bisect_right(starts, position)
        return at > 0 and position < fences[at - 1].end

    return within


def _inline(text: str, fences: list[Span]) -> list[Span]:
    """Pairs of markers outside of code blocks; a marker without a partner is only text."""
    out: list[Span] = []
    waiting: dict[str, int] = {}
    code_until = -1
    fenced = _within(fences)
    for match in _INLINE.finditer(text):
        at, marker = match.start(), match.group()
        if at < code_until or fenced(at):
            continue
        if marker == "`":
            end = text.find("`", at + 1)
            if end > 0 and "\n\n" not in text[at:end]:
                out.append(Span(at, end + 1, "`", "`"))
                code_until = end + 1
        elif marker in waiting:
            out.append(Span(waiting.pop(marker), match.end(), marker, marker))
        else:
            waiting[marker] = at
    return out


def _quotes(text: str, fences: list[Span]) -> list[Span]:
    """Each quoted line, and the quote to the end that ``>>>`` begins."""
    out: list[Span] = []
    fenced = _within(fences)
    for match in re.finditer(r"^(>>> |> )(.*)$", text, re.MULTILINE):
        if fenced(match.start()):
            continue
        if match[1] == ">>> ":
            out.append(Span(match.start(), len(text) + 1, ">>> ", ""))
            break
        out.append(Span(match.start(), match.end(), "> ", ""))
    return out
