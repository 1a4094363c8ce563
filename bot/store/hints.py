"""`with_hint` for SQLite: which index a query has to go through. (SQLAlchemy leaves such hints out for SQLite.)"""

from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteCompiler


class HintingCompiler(SQLiteCompiler):
    """Writes the hint of a table after its name: INDEXED BY fails where the index is gone, it is never ignored."""

    def get_from_hint_text(self, _table: Any, text: str | None) -> str | None:
        return text
