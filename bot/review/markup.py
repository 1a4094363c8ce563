"""The little of Discord's markup that makes a transcript readable: code blocks, inline code, bold."""

import re
from dataclasses import dataclass
from typing import Literal

_PARTS = re.compile(r"```(?:[\w+-]*\n)?(?P<block>.+?)```|`(?P<code>[^`\n]+)`|\*\*(?P<bold>[^*\n]+)\*\*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    kind: Literal["text", "block", "code", "bold"]
    text: str


def parts(text: str) -> list[Part]:
    """The text in pieces; joined, they are the text without its marks."""
    out: list[Part] = []
    end = 0
    for match in _PARTS.finditer(text):
        if match.start() > end:
            out.append(Part("text", text[end : match.start()]))
        if match["block"] is not None:
            out.append(Part("block", match["block"].strip("\n")))
        elif match["code"] is not None:
            out.append(Part("code", match["code"]))
        else:
            out.append(Part("bold", match["bold"]))
        end = match.end()
    if end < len(text):
        out.append(Part("text", text[end:]))
    return out
