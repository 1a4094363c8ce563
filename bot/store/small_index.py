"""The words of a few messages: a full-text index over them alone, in memory, that tokenizes as the log's own do.

Asking the log's index about one message after another costs a millisecond or two each; here it costs microseconds.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

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


def snippets(index: str, wanted: str, texts: Iterable[tuple[int, str]], before: str, after: str) -> dict[int, str]:
    """Where the texts match, with marks before and after each match."""
    with _few(index, texts) as few:
        shown = "SELECT rowid, snippet(few, 0, ?, ?, '…', 16) FROM few WHERE few MATCH ?"
        return {int(id_): str(text) for id_, text in few.execute(shown, (before, after, wanted))}


@contextmanager
def _few(index: str, texts: Iterable[tuple[int, str]]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.execute(f'CREATE VIRTUAL TABLE few USING fts5(text, tokenize = "{TOKENIZERS[index]}")')
        memory.execute("BEGIN")
        memory.executemany("INSERT INTO few (rowid, text) VALUES (?, ?)", texts)
        yield memory
