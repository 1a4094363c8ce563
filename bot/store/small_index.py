"""The words of a few messages: a full-text index over them alone, in memory, that tokenizes as the log's own do.

Asking the log's index about one message after another costs a millisecond or two each; here it costs microseconds.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager

from .points import bare, pointed

TOKENIZERS = {
    "message_words": "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc' separators '\ufe0e\ufe0f'",
    "message_trigrams": "trigram",
}
"""As the migrations make the indexes; a test holds that they agree."""


def matching(index: str, wanted: str, texts: Iterable[tuple[int, str]]) -> list[tuple[int, float]]:
    """(id, rank) of the texts that match an FTS5 expression as ``index`` would match them, best first."""
    with _few(index, texts) as few:
        found = few.execute("SELECT rowid, rank FROM few WHERE few MATCH ? ORDER BY rank, rowid DESC", (wanted,))
        return [(int(id_), float(rank)) for id_, rank in found]


def snippets(
    index: str, wanted: Sequence[str], texts: Iterable[tuple[int, str]], before: str, after: str
) -> dict[int, str]:
    """Where the texts match, with marks before and after each match. Of several expressions the first that a piece
    of a text matches counts: what has to be in one text may be far apart in it."""
    pieces = [(id_, piece) for id_, text in texts for piece in _pieces(text)]
    out: dict[int, str] = {}
    with _few(index, enumerate(piece for _, piece in pieces)) as few:
        for expression in wanted:
            first: dict[int, int] = {}
            for (row,) in few.execute("SELECT rowid FROM few WHERE few MATCH ? ORDER BY rowid", (expression,)):
                first.setdefault(pieces[row][0], row)
            rows = json.dumps([row for id_, row in first.items() if id_ not in out])
            shown = few.execute(_SHOWN, (before, after, expression, rows))
            out |= {pieces[row][0]: _in_whole(text, row, pieces, before + after) for row, text in shown}
    return out


_SHOWN = """SELECT rowid, snippet(few, 0, ?, ?, '…', 16) FROM few
WHERE few MATCH ? AND rowid IN (SELECT value FROM json_each(?))"""
_PIECE = 600
"""Characters. FTS5 weighs every match in a row against every other: a word said 50,000 times takes it a minute."""


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end between words, where there are any."""
    start = 0
    while len(text) - start > _PIECE:
        space = text.rfind(" ", start, start + _PIECE) + 1
        end = space if space > start else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _in_whole(snippet: str, row: int, pieces: Sequence[tuple[int, str]], marks: str) -> str:
    """As it was written, and with dots also where only the piece begins or ends."""
    id_, piece = pieces[row]
    snippet = pointed(snippet, piece, marks)
    if row and pieces[row - 1][0] == id_ and not snippet.startswith("…"):
        snippet = "…" + snippet
    if row + 1 < len(pieces) and pieces[row + 1][0] == id_ and not snippet.endswith("…"):
        snippet += "…"
    return snippet


@contextmanager
def _few(index: str, texts: Iterable[tuple[int, str]]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.execute(f'CREATE VIRTUAL TABLE few USING fts5(text, tokenize = "{TOKENIZERS[index]}")')
        memory.execute("BEGIN")
        read = bare if index == "message_words" else str
        memory.executemany(
            "INSERT INTO few (rowid, text) VALUES (?, ?)", ((id_, read(text)) for id_, text in texts)
        )
        yield memory
