"""Files people attach: text is read and named in the prompt, the rest is named and declined."""

from dataclasses import dataclass
from pathlib import PurePath

MOST_BYTES = 64 * 1024
MOST_FILES = 4

_TEXT_SUFFIXES = frozenset(
    {".txt", ".md", ".rst", ".log", ".csv", ".tsv", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".ini", ".cfg"}
    | {".conf", ".xml", ".html", ".css", ".js", ".ts", ".py", ".c", ".h", ".cpp", ".hpp", ".rs", ".go", ".java"}
    | {".kt", ".rb", ".php", ".sh", ".sql", ".tex", ".diff", ".patch", ".srt"}
)


@dataclass(frozen=True, slots=True)
class Offered:
    """An attachment before it is fetched."""

    name: str
    size: int
    content_type: str | None = None


def why_not(offered: Offered) -> str | None:
    """Why it is not read, None if it is worth fetching."""
    kind = (offered.content_type or "").split(";")[0]
    texty = kind.startswith("text/") or kind in ("application/json", "application/xml", "application/toml")
    if not texty and PurePath(offered.name.lower()).suffix not in _TEXT_SUFFIXES:
        return "not a text file"
    if offered.size > MOST_BYTES:
        return f"larger than {MOST_BYTES // 1024} KiB"
    return None


def decoded(data: bytes) -> str | None:
    """The text, None if it is none: UTF-8 or UTF-16 with their marks, else UTF-8."""
    marked = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = next((name for mark, name in marked.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def quoted(name: str, text: str) -> str:
    """A file as part of a message."""
    return f"[file {plain(name)}]\n{text.strip()}\n[end of {plain(name)}]"


def mentioned(name: str) -> str:
    return f"[attached: {plain(name)}, not readable here]"


def plain(name: str) -> str:
    """A file's name that is nothing but a name."""
    return "".join(c if c.isprintable() and c not in "[]" else "_" for c in name)[:80]
