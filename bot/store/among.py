"""Many ids in one statement, however many."""

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa


def among(ids: Collection[int]) -> Any:
    """Ids as a subquery over one JSON parameter: ``column.in_(among(ids))``."""
    return sa.select(sa.literal_column("value")).select_from(sa.func.json_each(json.dumps(list(ids))))


def given_ids(name: str) -> Any:
    """The same for a statement that is built once: ``json.dumps(ids)`` is given by this name."""
    return sa.select(sa.literal_column("value")).select_from(sa.func.json_each(sa.bindparam(name)))
