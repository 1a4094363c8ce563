"""What can be stored, and how a stored text begins."""

import re
from typing import Any

import sqlalchemy as sa

_LONE = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """Lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def is_id(digits: str) -> bool:
    """Whether it is a whole number that a column holds."""
    return digits.isdecimal() and len(digits) < 20 and int(digits) < 2**63


class _Beginning(sa.TypeDecorator[str]):
    impl = sa.LargeBinary
    cache_ok = True

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.characters = characters

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> str:
        found = value or b""  # of no bytes, SQLite's function makes NULL
        return found.decode(errors="replace")[: self.characters]


def beginning(text: sa.ColumnElement[str], characters: int) -> sa.ColumnElement[Any]:
    """The first characters of a stored text. It is cut as bytes: SQLite's own function stops at a NUL."""
    return sa.func.substr(sa.cast(text, sa.LargeBinary), 1, 4 * characters, type_=_Beginning(characters))
