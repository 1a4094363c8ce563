"""Damage to a log's file, as a failing disk does it."""

import sqlite3
from pathlib import Path


def leaves(data: bytes, page: int) -> list[int]:
    """The leaf pages of a tree, in order (see "fileformat2.html")."""
    start = (page - 1) * 4096
    if data[start] in (10, 13):
        return [page]

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[start + at : start + at + size], "big")

    cells = [number(12 + 2 * each, 2) for each in range(number(3, 2))]
    below = [*(number(cell, 4) for cell in cells), number(8, 4)]
    return [leaf for child in below for leaf in leaves(data, child)]


def spoil(path: Path, name: str, fill: int, holding: bytes = b"") -> None:
    """Make a leaf page of a table or index no page: the one in the middle, or in the middle of those that hold some
    bytes."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    data = bytearray(path.read_bytes())
    pages = [page for page in leaves(data, root) if holding in data[(page - 1) * 4096 : page * 4096]]
    page = pages[len(pages) // 2]
    data[(page - 1) * 4096 : page * 4096] = bytes([fill]) * 4096
    path.write_bytes(data)
