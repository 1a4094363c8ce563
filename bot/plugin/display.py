"""What is done to a model's words before people see them, so that they mean what they look like."""

import re

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_MASKED = re.compile(r"\[([^\[\]\n]+)\]\(<?(https?://[^\s)>\[]+)>?(?:\s+\"[^\"\n\[]*\")?\)")
_LEFT = re.compile(r"\](?=\(\s*<?\s*[a-z][a-z0-9+.\\-]*:)", re.IGNORECASE)
"""What may still be read as a masked link: brackets in brackets, other schemes, what looked like code."""
_SMALL = re.compile(r"(?<![\w/])-(?=#\s)")
"""Where Discord's small print could begin, once the text is cut there, too."""
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Bidirectional controls that turn what follows them around: an address could be shown backwards."""


def unforged(text: str) -> str:
    """Masked links with their address in the open: ``[words](address)`` could hide where it leads. And no small
    print, which is the bot's own: a space of no width keeps its marker from being one.

    In code links are only kept apart by such a space, since what is code is Discord's to say: markers around it,
    quotes and escapes may make it none. Small print is left alone in a block that begins a line: no markers can
    be around it, and it may be a diff that somebody will copy.
    """
    text = _TURNING.sub("", text)
    out: list[str] = []
    position = 0
    for code in _CODE.finditer(text):
        block = code.group().startswith("```") and text[code.start() - 1 : code.start()] in ("", "\n")
        out += [_plain(text[position : code.start()]), code.group() if block else _quiet(code.group())]
        position = code.end()
    out.append(_plain(text[position:]))
    return _LEFT.sub("]\u200b", "".join(out))


def _plain(text: str) -> str:
    return _quiet(_MASKED.sub(r"\1 (<\2>)", text))


def _quiet(text: str) -> str:
    return _SMALL.sub("-\u200b", text)


def spoiler(text: str) -> str:
    """``text`` hidden until clicked; nothing in it can end the spoiler early."""
    inside = text.replace("|", "\\|").replace("```", "'''").replace("`", "'").strip()
    return f"||{_quiet(inside)}||" if inside else ""


def small(text: str) -> str:
    """Discord's small print, one line."""
    return "-# " + " ".join(text.split())


def sentence(text: str) -> str:
    """What goes wrong, as people read it: it is written as a part of a line."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def counted(number: int, one: str, many: str = "") -> str:
    """``1 reply``, ``2 replies``; ``many`` where it is not ``one`` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"
