"""What is done to a model's words before people see them, so that they mean what they look like."""

import re

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_MASKED = re.compile(r"\[([^\[\]\n]+)\]\(<?(https?://[^\s)>\[]+)>?(?:\s+\"[^\"\n\[]*\")?\)")
_LEFT = re.compile(r"\](?=\(\s*<?\s*[a-z][a-z0-9+.\\-]*:)", re.IGNORECASE)
"""What may still be read as a masked link: brackets in brackets, other schemes, what looked like code."""
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Bidirectional controls that turn what follows them around: an address could be shown backwards."""


def open_links(text: str) -> str:
    """Masked links with their address in the open: ``[words](address)`` could hide where it leads.

    In code they are only kept apart by a space of no width, since what is code is Discord's to say: markers around
    it, quotes and escapes may make it none.
    """
    text = _TURNING.sub("", text)
    out: list[str] = []
    position = 0
    for code in _CODE.finditer(text):
        out += [_MASKED.sub(r"\1 (<\2>)", text[position : code.start()]), code.group()]
        position = code.end()
    out.append(_MASKED.sub(r"\1 (<\2>)", text[position:]))
    return _LEFT.sub("]\u200b", "".join(out))


def spoiler(text: str) -> str:
    """``text`` hidden until clicked; nothing in it can end the spoiler early."""
    inside = text.replace("|", "\\|").replace("```", "'''").replace("`", "'").strip()
    return f"||{inside}||" if inside else ""


def small(text: str) -> str:
    """Discord's small print, one line."""
    return "-# " + " ".join(text.split())


def sentence(text: str) -> str:
    """What goes wrong, as people read it: it is written as a part of a line."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def counted(number: int, one: str, many: str = "") -> str:
    """``1 reply``, ``2 replies``; ``many`` where it is not ``one`` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"
