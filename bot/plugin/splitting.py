"""A reply cut into messages: at paragraphs, sentences, words; what is open is closed and opened again."""

import re
from dataclasses import dataclass, replace

from .markup import Markup, Span

LIMIT = 2000
"""Discord's own, in characters."""

# Where to cut, the best first: before a new paragraph, a code block, a line that is not indented, any line, a
# sentence, a word.
_BREAKS = (
    re.compile(r"\n\n+(?=\S)"),
    re.compile(r"\n(?=\S)"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+|(?<=[。！？])"),
    re.compile(r"\s+"),
)
_EARLIEST = (0.3, 0.5, 0.4, 0.3, 0.1)
"""How full a message must at least be for such a cut; fuller ones are tried with a worse cut."""


@dataclass(frozen=True, slots=True)
class Part:
    """One message. The bodies, joined, are the reply; ``before`` and ``after`` reopen and close what was cut."""

    body: str
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """What is sent. Discord trims messages; so does this, to know what will be shown."""
        in_code = self.before.rstrip("> ").endswith("\n")
        body = (self.body.lstrip("\n") if in_code else self.body.lstrip()).rstrip()
        glue = "\n" if self.after.startswith(("```", "> ```")) and not body.endswith("\n") else ""
        return f"{self.before}{body}{glue}{self.after}".strip()


def split(text: str, limit: int = LIMIT) -> list[Part]:
    """Cut ``text`` into parts whose text is at most ``limit`` long; none of them is empty but the only one."""
    markup = Markup(text)
    parts: list[Part] = []
    blank = ""
    start = 0
    while start < len(text):
        opened = markup.open_at(start) if start else []
        before = "".join(span.opener for span in opened) + _quoted_line(text, start, opened)
        end = _end(markup, start, limit - len(before))
        after = "".join(span.closer for span in reversed(markup.open_at(end)))
        body = text[start:end]
        if body.strip():
            parts.append(Part(blank + body, before, after))
            blank = ""
        elif parts:
            parts[-1] = replace(parts[-1], body=parts[-1].body + body)
        else:
            blank += body
        start = end
    return parts or [Part(blank)]


def _quoted_line(text: str, start: int, opened: list[Span]) -> str:
    """What a line begins with that is cut in a quoted code block: what its other lines bring along."""
    quoted = any(span.opener.startswith("> ```") for span in opened)
    return "> " if quoted and "\n" not in text[start - 1 : start + 1] else ""


def _end(markup: Markup, start: int, room: int) -> int:
    """Where the part that begins at ``start`` ends."""
    text = markup.text
    if len(text) - start + _cost(markup.open_at(len(text))) <= room:
        return len(text)
    furthest = min(len(text), start + room)
    while furthest > start + 1 and furthest - start + _cost(markup.open_at(furthest)) > room:
        furthest -= 1
    for pattern, earliest in zip(_BREAKS, _EARLIEST, strict=True):
        cut = _last_cut(markup, pattern, start + max(1, int(room * earliest)), furthest, start + room)
        if cut is not None:
            return cut
    for cut in range(furthest, start + room // 2, -1):
        if not markup.glued(cut):
            return cut
    return furthest


def _last_cut(markup: Markup, pattern: re.Pattern[str], earliest: int, furthest: int, most: int) -> int | None:
    """The last match of ``pattern`` after which a cut fits; ``most``: where the closers must have ended."""
    ahead = furthest + 1  # a pattern looks at what follows
    cuts = [match.end() for match in pattern.finditer(markup.text, earliest, ahead)]
    for cut in reversed(cuts):
        if cut <= furthest and not markup.glued(cut) and cut + _cost(markup.open_at(cut)) <= most:
            return cut
    return None


def _cost(opened: list[Span]) -> int:
    """Characters that closing takes, the line break before a closing fence included."""
    return sum(len(span.closer) + span.closer.endswith("```") for span in opened)
