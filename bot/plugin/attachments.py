"""Files people attach: text is read and named in the prompt, the rest is named and declined."""

import re

MOST_BYTES = 64 * 1024
MOST_FILES = 4

NOT_TEXT, NOT_UTF8 = "not a text file", "not text in UTF-8"
_NO_TEXT = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)
_MARKED = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1a\x1c-\x1f]")
WESTERN = 0.3
"""The most of a text in a Western European encoding that is no ASCII; what has more is in another one."""


def why_not(size: int, content_type: str | None) -> str | None:
    """Why a file is not read, None if it is worth fetching: its bytes tell, not its name, whether it is text."""
    kind = content_type or ""
    if kind.startswith(_NO_TEXT) and not kind.startswith("image/svg"):
        return NOT_TEXT
    if size > MOST_BYTES:
        return f"larger than {MOST_BYTES // 1024} KiB"
    return None


def decoded(data: bytes, content_type: str | None = None) -> str | None:
    """The text, None if it is none: as its mark says, else UTF-8, else as Discord says, else Western European."""
    marked = next((name for mark, name in _MARKED.items() if data.startswith(mark)), "")
    text = _in(marked or "utf-8", data)
    if text is not None:
        return None if "\0" in text else text
    said = _CHARSET.search(content_type or "")
    text = _in(said[1], data) if said and not marked else None
    if text is None and not marked and sum(byte >= 0x80 for byte in data) <= WESTERN * len(data):
        text = _in("cp1252", data)
    return None if text is None or _CONTROL.search(text) else text


def _in(encoding: str, data: bytes) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        return None


def quoted(name: str, text: str) -> str:
    """A file as part of a message."""
    return f"[file {plain(name)}]\n{text.strip()}\n[end of {plain(name)}]"


def mentioned(name: str) -> str:
    return f"[attached: {plain(name)}, not readable here]"


def plain(name: str) -> str:
    """A file's name that is nothing but a name."""
    return "".join(c if c.isprintable() and c not in "[]" else "_" for c in name)[:80]
